// SPDX-License-Identifier: Apache-2.0
/// @file  The header of a .npy file: a Python dictionary of dtype, order and shape, parsed and written.
#pragma once

#include <bit>          // endian
#include <cstddef>      // ptrdiff_t, size_t
#include <cstdint>      // uint64_t
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

#include <sextant/interop/text_reader.hpp>
#include <sextant/interop/untrusted.hpp>

namespace sextant::npy::detail {

static_assert(std::endian::native == std::endian::little, "sextant/interop/npy.hpp needs a little-endian machine");

inline constexpr unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
inline constexpr std::uint64_t max_header_bytes = 65535;  // what version 1.0 can say; a float array needs far less
inline constexpr std::size_t max_axes = 64;               // NumPy's own limit

/// What a header says.
struct header {
  bool is_double = false;
  std::vector<std::ptrdiff_t> shape;
  std::uint64_t count = 0;  ///< elements
};

/// The number of elements of a shape; false where it, or the size in bytes, or any axis alone overflows.
inline bool element_count(const std::vector<std::ptrdiff_t>& shape, std::size_t item_bytes, std::uint64_t& count) {
  if (!sextant::detail::size_of_shape(shape, item_bytes, count)) return false;
  count /= item_bytes;
  return true;
}

/// A shape as Python writes it: (), (3,), (2, 3).
inline std::string shape_text(const std::vector<std::ptrdiff_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += std::string(i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

/// A piece of somebody's file, fit to stand in an error of one line.
inline std::string quoted(std::string_view text) { return sextant::detail::quoted(text, 40); }

/// A reader of the one Python dictionary that a header may be.
class header_reader : public sextant::detail::text_reader {
 public:
  using text_reader::text_reader;

  bool take_word(std::string_view word) {
    skip_blanks();
    if (!rest.starts_with(word)) return false;
    rest.remove_prefix(word.size());
    return true;
  }
  bool take_string(std::string_view& into) {
    skip_blanks();
    if (rest.empty() || (rest.front() != '\'' && rest.front() != '"')) return false;
    const std::size_t end = rest.find(rest.front(), 1);
    if (end == std::string_view::npos) return false;
    into = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    return true;
  }
  /// A length of an axis. Python 2 wrote a long one with an L behind it.
  bool take_extent(std::ptrdiff_t& into) {
    if (take_digits(into) == 0) return false;
    if (!rest.empty() && rest.front() == 'L') rest.remove_prefix(1);
    return true;
  }
  /// A tuple: () or (3,) or (2, 3) or (2, 3,); (3) is a number in Python, so it is refused.
  bool take_shape(std::vector<std::ptrdiff_t>& into) {
    if (!take('(')) return false;
    into.clear();
    bool comma = true;
    while (!take(')')) {
      std::ptrdiff_t extent = 0;
      if (!comma || !take_extent(extent)) return false;
      into.push_back(extent);
      comma = take(',');
    }
    return into.size() != 1 || comma;
  }
};

/// Reads a dtype; returns the reason where it is not a native 32-bit or 64-bit float.
inline std::string parse_dtype(std::string_view dtype, bool& is_double) {
  std::string_view type = dtype;
  // '=' is this machine's byte order, '|' says that the order doesn't matter; NumPy takes both, and none, as native.
  if (!type.empty() && (type.front() == '<' || type.front() == '=' || type.front() == '|')) type.remove_prefix(1);
  const bool prefixed = type.size() != dtype.size();
  if (type == "f4" || type == "f" || (!prefixed && type == "float32")) is_double = false;
  else if (type == "f8" || type == "d" || (!prefixed && type == "float64")) is_double = true;
  else if (dtype == ">f4" || dtype == ">f8") return "is big-endian (" + std::string(dtype) + "); <f4 and <f8 are read";
  else return std::string("has dtype ") + quoted(dtype) + "; <f4 and <f8 are read";
  return {};
}

/// Parses a header; returns the reason where the array is broken or not one that can be read in C order.
inline std::string parse(std::string_view text, header& into) {
  const std::string broken = "has a broken .npy header";
  header_reader reader(text);
  bool has_dtype = false, has_order = false, has_shape = false, fortran = false;
  std::string_view key, dtype;
  if (!reader.take('{')) return broken;
  for (bool comma = true; !reader.take('}'); comma = reader.take(',')) {
    if (!comma || !reader.take_string(key) || !reader.take(':')) return broken;
    bool* seen = key == "descr"           ? &has_dtype
                 : key == "fortran_order" ? &has_order
                 : key == "shape"         ? &has_shape
                                          : nullptr;
    if (!seen) return broken + ": unknown key " + quoted(key);
    if (*seen) return broken + ": the key " + quoted(key) + " stands twice";
    *seen = true;
    if (seen == &has_dtype) {
      if (!reader.take_string(dtype)) return "has a structured dtype; <f4 and <f8 are read";
    } else if (seen == &has_order) {
      fortran = reader.take_word("True");
      if (!fortran && !reader.take_word("False")) return broken + ": fortran_order is neither True nor False";
    } else if (!reader.take_shape(into.shape)) {
      return broken + ": its shape is not a tuple of lengths";
    }
  }
  if (!reader.at_end()) return broken + ": something follows the dictionary";
  if (!has_dtype || !has_order || !has_shape) return broken + ": descr, fortran_order or shape is missing";

  if (std::string reason = parse_dtype(dtype, into.is_double); !reason.empty()) return reason;
  if (into.shape.size() > max_axes)
    return std::string("has ") + std::to_string(into.shape.size()) + " axes; at most 64 are read";
  if (reader.overflowed || !element_count(into.shape, into.is_double ? sizeof(double) : sizeof(float), into.count))
    return "has a shape of more bytes than can be addressed";
  int long_axes = 0;
  for (const std::ptrdiff_t extent : into.shape) long_axes += extent > 1;
  if (fortran && into.count > 0 && long_axes > 1)
    return std::string("is in Fortran order, shape ") + shape_text(into.shape) + "; save numpy.ascontiguousarray of it";
  return {};
}

/// Magic, version 1.0, length and dictionary as numpy.save writes them: room for the first axis to grow to 21 digits,
/// then blanks up to the next multiple of 64 bytes (a whole 64 where none are needed, as there), the last byte a
/// newline.
inline std::string header_bytes(bool is_double, const std::vector<std::ptrdiff_t>& shape) {
  std::string text = std::string("{'descr': '") + (is_double ? "<f8" : "<f4") +
                     "', 'fortran_order': False, 'shape': " + shape_text(shape) + ", }";
  if (!shape.empty()) text.append(21 - std::to_string(shape.front()).size(), ' ');
  text.append(64 - (10 + text.size() + 1) % 64, ' ');
  text += '\n';
  std::string out(reinterpret_cast<const char*>(magic), sizeof magic);
  out += {'\x01', '\x00', static_cast<char>(text.size() % 256), static_cast<char>(text.size() / 256)};
  return out + text;
}

}  // namespace sextant::npy::detail
