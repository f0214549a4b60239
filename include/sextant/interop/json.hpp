// SPDX-License-Identifier: Apache-2.0
/// @file  JSON (RFC 8259) read and written, as far as weights, tokenizers and tables need it.
#pragma once

#include <algorithm>    // min
#include <cstddef>      // size_t
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

#include <sextant/interop/text_reader.hpp>

namespace sextant::detail {

/// Length in bytes of the UTF-8 character at the start of `text`, which is not empty; 0 where there is none: overlong
/// forms, surrogates, beyond U+10FFFF or cut off (RFC 3629).
constexpr std::size_t utf8_length(std::string_view text) {
  const auto at = [text](std::size_t i) {
    return i < text.size() ? unsigned(static_cast<unsigned char>(text[i])) : 0u;
  };
  const auto tail = [&](std::size_t i) { return (at(i) & 0xc0u) == 0x80u; };
  const unsigned a = at(0), b = at(1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf && tail(1)) return 2;
  if (a >= 0xe0 && a <= 0xef && tail(1) && tail(2) && (a != 0xe0 || b >= 0xa0) && (a != 0xed || b <= 0x9f)) return 3;
  if (a >= 0xf0 && a <= 0xf4 && tail(1) && tail(2) && tail(3) && (a != 0xf0 || b >= 0x90) && (a != 0xf4 || b <= 0x8f))
    return 4;
  return 0;
}

/// Reads JSON: strings, arrays of natural numbers, signs; what else there is, as it stands.
class json_reader : public text_reader {
 public:
  using text_reader::text_reader;

  /// A string, appended to `into` with its escapes resolved.
  bool take_string(std::string& into) {
    if (!take('"')) return false;
    while (!rest.empty()) {
      const char c = rest.front();
      if (c == '"') return rest.remove_prefix(1), true;
      if (c == '\\') {
        rest.remove_prefix(1);
        if (!take_escape(into)) return false;
        continue;
      }
      const std::size_t length = static_cast<unsigned char>(c) < ' ' ? 0 : utf8_length(rest);
      if (length == 0) return false;
      into.append(rest.substr(0, length));
      rest.remove_prefix(length);
    }
    return false;
  }
  /// A natural number of JSON: digits, no sign, no leading zero. One that no index_t holds is `overflowed`.
  bool take_number(index_t& into) {
    skip_blanks();
    const std::string_view number = rest;
    const std::size_t digits = take_digits(into);
    if (digits == 1 || (digits > 1 && number.front() != '0')) return true;
    rest = number;
    return false;
  }
  /// An array of natural numbers, appended to `into`.
  bool take_numbers(std::vector<index_t>& into) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      index_t n = 0;
      if (!take_number(n)) return false;
      into.push_back(n);
    } while (take(','));
    return take(']');
  }
  /// A number, true, false or null, whatever it is: up to the next sign of JSON's.
  bool take_plain() {
    skip_blanks();
    const std::size_t length = std::min(rest.find_first_of(",:{}[]\" \n\t\r"), rest.size());
    rest.remove_prefix(length);
    return length > 0;
  }

 private:
  bool take_code_unit(unsigned& into) {
    if (rest.size() < 4) return false;
    into = 0;
    for (const char c : rest.substr(0, 4)) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return false;
      into = into * 16 + unsigned(digit);
    }
    rest.remove_prefix(4);
    return true;
  }
  /// What stands behind a backslash; \uXXXX, in pairs where they are surrogates, becomes UTF-8.
  bool take_escape(std::string& into) {
    if (rest.empty()) return false;
    constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const char c = rest.front();
    rest.remove_prefix(1);
    if (const std::size_t at = letters.find(c); at != std::string_view::npos) return into += meanings[at], true;
    unsigned code = 0;
    if (c != 'u' || !take_code_unit(code) || (code >= 0xdc00 && code <= 0xdfff)) return false;
    if (code >= 0xd800 && code <= 0xdbff) {
      unsigned low = 0;
      if (!rest.starts_with("\\u")) return false;
      rest.remove_prefix(2);
      if (!take_code_unit(low) || low < 0xdc00 || low > 0xdfff) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code < 0x80) into += char(code);
    else if (code < 0x800) (into += char(0xc0 | code >> 6)) += char(0x80 | (code & 63));
    else if (code < 0x10000)
      ((into += char(0xe0 | code >> 12)) += char(0x80 | (code >> 6 & 63))) += char(0x80 | (code & 63));
    else
      (((into += char(0xf0 | code >> 18)) += char(0x80 | (code >> 12 & 63))) += char(0x80 | (code >> 6 & 63))) +=
          char(0x80 | (code & 63));
    return true;
  }
};

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

}  // namespace sextant::detail
