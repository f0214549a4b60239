// SPDX-License-Identifier: Apache-2.0
/// @file  The header of a safetensors file: JSON of one shape, parsed strictly and written.
#pragma once

#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <span>         // span
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <vector>       // vector

#include <sextant/interop/json.hpp>
#include <sextant/interop/safetensors_numbers.hpp>
#include <sextant/interop/untrusted.hpp>

namespace sextant::safetensors::detail {

using header_reader = sextant::detail::json_reader;
using sextant::detail::json_string;
using sextant::detail::utf8_length;

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

}  // namespace sextant::safetensors::detail
