// SPDX-License-Identifier: Apache-2.0
/// @file  Any text as a JSON string (RFC 8259).
#pragma once

#include <cstddef>      // size_t
#include <string>       // string
#include <string_view>  // string_view

namespace ablation::detail {

/// The length of the valid UTF-8 character at the front, 0 where there is none (RFC 3629: no overlong form, no
/// surrogate, nothing above U+10FFFF).
inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0), second = byte(1);
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool in_range = (first != 0xe0 || second >= 0xa0) && (first != 0xed || second <= 0x9f);
    return in_range && follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool in_range = (first != 0xf0 || second >= 0x90) && (first != 0xf4 || second <= 0x8f);
    return in_range && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

/// Quoted and escaped; a byte that is not UTF-8 becomes U+FFFD, so that the result is always valid.
inline std::string json_string(std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto c = static_cast<unsigned char>(text.front());
    if (length == 0) out += "\xef\xbf\xbd";
    else if (length > 1) out += text.substr(0, length);
    else if (c == '"' || c == '\\') (out += '\\') += text.front();
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (c == '\r') out += "\\r";
    else if (c < 0x20) ((out += "\\u00") += hex[c >> 4]) += hex[c & 15];
    else out += text.front();
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

}  // namespace ablation::detail
