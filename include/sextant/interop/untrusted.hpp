// SPDX-License-Identifier: Apache-2.0
/// @file  What is read of somebody's file: sizes that may overflow, and text that has to fit into an error.
#pragma once

#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <limits>       // numeric_limits
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view

#include <sextant/config.hpp>

namespace sextant::detail {

/// `unit` times the extents of a shape; 0 where one of them is. False where an extent is negative, or the product of those
/// above 0 is more than an index_t holds: axes of length 0 don't excuse the others, from which code computes strides.
inline bool size_of_shape(std::span<const index_t> shape, std::uint64_t unit, std::uint64_t& size) {
  constexpr auto limit = std::uint64_t(std::numeric_limits<index_t>::max());
  bool empty = false;
  size = unit;
  for (const index_t extent : shape) {
    if (extent < 0) return false;
    const auto n = std::uint64_t(extent);
    if (n == 0) empty = true;
    else if (size > limit / n) return false;
    else size *= n;
  }
  if (empty) size = 0;
  return true;
}

/// A piece of a file in quotes, on one line, cut where it is longer than `longest`.
inline std::string quoted(std::string_view text, std::size_t longest) {
  std::string out = "'";
  for (const char c : text.substr(0, longest)) out += c >= ' ' && c <= '~' ? c : '.';
  return out + (text.size() > longest ? "...'" : "'");
}

}  // namespace sextant::detail
