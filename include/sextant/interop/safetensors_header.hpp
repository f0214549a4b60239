// SPDX-License-Identifier: Apache-2.0
/// @file  The header of a safetensors file: JSON of one shape, parsed strictly and written.
#pragma once

#include <algorithm>    // min
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <limits>       // numeric_limits
#include <span>         // span
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <vector>       // vector

#include <sextant/interop/safetensors_numbers.hpp>
#include <sextant/interop/untrusted.hpp>

namespace sextant::safetensors::detail {

inline constexpr std::uint64_t max_header_bytes = 100'000'000;  // the format's own limit

/// A piece of text within the index's own `text`.
struct piece {
  std::size_t at = 0, length = 0;
};

/// What the header says of one tensor. Its data are bytes [begin, end) behind the header.
struct entry {
  piece name;
  dtype type = dtype::f32;
  std::size_t axes_at = 0, axes = 0;  ///< its shape within the index's `extents`
  std::uint64_t begin = 0, end = 0;
};

/// What a header says: names and shapes of all tensors in two arrays, so that an index takes a handful of allocations.
struct index {
  std::string text;
  std::vector<index_t> extents;
  std::vector<entry> entries;
  std::vector<piece> metadata;  ///< key, value, key, value, ...

  std::string_view operator()(piece p) const { return std::string_view(text).substr(p.at, p.length); }
  std::span<const index_t> shape(const entry& e) const { return {extents.data() + e.axes_at, e.axes}; }
};

/// A piece of somebody's file, fit to stand in an error of one line.
inline std::string shown(std::string_view text) { return sextant::detail::quoted(text, 120); }

/// A shape as the header has it: [], [3], [2, 3].
inline std::string shape_text(std::span<const index_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// The number of elements of a shape and the bytes they take; false where any of these overflows, an axis of length 0
/// notwithstanding, or the last byte is not filled.
inline bool sizes(std::span<const index_t> shape, dtype type, std::uint64_t& count, std::uint64_t& bytes) {
  const auto of_one = std::uint64_t(bits(type));
  std::uint64_t all = 0;
  if (!sextant::detail::size_of_shape(shape, of_one, all)) return false;
  count = all / of_one, bytes = all / 8;
  return all % 8 == 0;
}

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

/// Reads the JSON that a header may be: objects of strings, and of arrays of natural numbers.
class header_reader {
 public:
  explicit header_reader(std::string_view text) : rest(text) {}

  /// Takes the next character if it is this one; blanks before it are skipped.
  bool take(char c) {
    skip_blanks();
    if (rest.empty() || rest.front() != c) return false;
    rest.remove_prefix(1);
    return true;
  }
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
    constexpr index_t limit = std::numeric_limits<index_t>::max();
    std::size_t digits = 0;
    into = 0;
    for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9'; ++digits) {
      const index_t d = rest[digits] - '0';
      if (into > (limit - d) / 10) overflowed = true;
      else into = into * 10 + d;
    }
    if (digits == 0 || (digits > 1 && rest.front() == '0')) return false;
    rest.remove_prefix(digits);
    return true;
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
  bool at_end() {
    skip_blanks();
    return rest.empty();
  }
  std::string_view left() const { return rest; }

  bool overflowed = false;

 private:
  void skip_blanks() {
    while (!rest.empty() &&
           (rest.front() == ' ' || rest.front() == '\n' || rest.front() == '\t' || rest.front() == '\r'))
      rest.remove_prefix(1);
  }
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
  std::string_view rest;
};

inline std::string broken_at(const header_reader& reader, const std::string& why) {
  return "has a broken header: " + why +
         (reader.left().empty() ? " at its end" : " before " + shown(reader.left().substr(0, 24)));
}

/// Reads a string into the index's text.
inline bool take_piece(header_reader& reader, index& into, piece& p) {
  p.at = into.text.size();
  if (!reader.take_string(into.text)) return false;
  p.length = into.text.size() - p.at;
  return true;
}

/// Reads {"key": "value", ...} into the index's metadata.
inline std::string parse_metadata(header_reader& reader, index& into) {
  if (!reader.take('{')) return broken_at(reader, "__metadata__ is not an object");
  if (reader.take('}')) return {};
  do {
    piece key, value;
    if (!take_piece(reader, into, key) || !reader.take(':') || !take_piece(reader, into, value))
      return broken_at(reader, "__metadata__ is not a map of strings to strings");
    into.metadata.insert(into.metadata.end(), {key, value});
  } while (reader.take(','));
  return reader.take('}') ? std::string{} : broken_at(reader, "__metadata__ does not end");
}

/// Reads {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, the three in any order, of the tensor `e.name`.
inline std::string parse_entry(header_reader& reader, index& into, entry& e) {
  const std::string who = shown(into(e.name));
  bool has_dtype = false, has_shape = false, has_offsets = false;
  std::string key, type;
  std::vector<index_t> offsets;
  if (!reader.take('{')) return broken_at(reader, who + " is not an object");
  do {
    key.clear();
    if (!reader.take_string(key) || !reader.take(':')) return broken_at(reader, who + " is not an object");
    bool* const seen = key == "dtype"          ? &has_dtype
                       : key == "shape"        ? &has_shape
                       : key == "data_offsets" ? &has_offsets
                                               : nullptr;
    if (!seen) return who + ": has a field " + shown(key) + "; dtype, shape and data_offsets are known";
    if (*seen) return who + ": has two fields " + shown(key);
    *seen = true;
    if (seen == &has_dtype) {
      if (!reader.take_string(type)) return broken_at(reader, "the dtype of " + who + " is not a string");
    } else if (seen == &has_shape) {
      e.axes_at = into.extents.size();
      if (!reader.take_numbers(into.extents))
        return broken_at(reader, "the shape of " + who + " is not an array of lengths");
      e.axes = into.extents.size() - e.axes_at;
    } else if (!reader.take_numbers(offsets) || offsets.size() != 2) {
      return broken_at(reader, "the data_offsets of " + who + " are not two numbers");
    }
  } while (reader.take(','));
  if (!reader.take('}')) return broken_at(reader, who + " does not end");
  if (!has_dtype || !has_shape || !has_offsets)
    return who + ": has no " + (!has_dtype ? "dtype" : !has_shape ? "shape" : "data_offsets");
  if (!find_dtype(type, e.type)) return who + ": has dtype " + shown(type) + ", which is none of the format's";
  std::uint64_t count = 0, bytes = 0;
  if (reader.overflowed || !sizes(into.shape(e), e.type, count, bytes))
    return who + ": its shape or data_offsets are more than can be addressed, or end within a byte";
  e.begin = std::uint64_t(offsets[0]), e.end = std::uint64_t(offsets[1]);
  if (e.end < e.begin || e.end - e.begin != bytes)
    return who + ": " + std::string(name(e.type)) + " of shape " + shape_text(into.shape(e)) + " is " +
           std::to_string(bytes) + " bytes, its data_offsets are " + std::to_string(offsets[0]) + " and " +
           std::to_string(offsets[1]);
  return {};
}

/// Parses a header into an empty index, tensors in its order; returns the reason where it is broken. Whether tensors
/// overlap or names stand twice isn't asked.
inline std::string parse(std::string_view text, index& into) {
  header_reader reader(text);
  if (!text.starts_with('{')) return "is not a safetensors file: its header does not begin with '{'";
  bool has_metadata = false;
  if (!reader.take('{')) return {};
  if (!reader.take('}')) {
    do {
      entry e;
      if (!take_piece(reader, into, e.name) || !reader.take(':')) return broken_at(reader, "no name and colon");
      const bool metadata = into(e.name) == "__metadata__";
      if (metadata && has_metadata) return "has two __metadata__";
      has_metadata |= metadata;
      if (std::string reason = metadata ? parse_metadata(reader, into) : parse_entry(reader, into, e); !reason.empty())
        return reason;
      if (!metadata) into.entries.push_back(e);
    } while (reader.take(','));
    if (!reader.take('}')) return broken_at(reader, "no comma or brace");
  }
  if (!reader.at_end()) return broken_at(reader, "something follows the object");
  return {};
}

/// A string of JSON; what is not ASCII passes as it is, control characters are escaped.
inline std::string json_string(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (static_cast<unsigned char>(c) < ' ') ((out += "\\u00") += digits[c / 16]) += digits[c % 16];
    else out += c;
  }
  return out + "\"";
}

}  // namespace sextant::safetensors::detail
