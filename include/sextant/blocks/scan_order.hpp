// SPDX-License-Identifier: Apache-2.0
/// @file  In which order a scan visits the pixels of a picture, as index maps.
#pragma once

#include <sextant/config.hpp>

/// Orders of a picture's pixels. Each is a permutation: order(t) is the pixel, counted row by row, that comes at place t, and
/// order.place(pixel) where a pixel comes; reorder() takes either. A backward scan needs none: order::reversed computes on
/// the tokens where they lie.
namespace sextant::blocks::scan {

/// Row by row: the tokens as they lie.
struct rows_first {
  SEXTANT_FN constexpr index_t operator()(index_t t) const { return t; }
  SEXTANT_FN constexpr index_t place(index_t pixel) const { return pixel; }
};

/// Column by column (VMamba's second direction: Liu et al. 2024, arXiv 2401.10166).
struct columns_first {
  index_t height = 1, width = 1;
  SEXTANT_FN constexpr index_t operator()(index_t t) const { return t % height * width + t / height; }
  SEXTANT_FN constexpr index_t place(index_t pixel) const { return pixel % width * height + pixel / width; }
};

/// Window by window, row by row inside, windows row by row (LocalMamba: Huang et al. 2024, arXiv 2403.09338). Windows at the
/// right and the lower edge are as small as what is left of the picture; LocalMamba's code fills them up with zeros.
struct windows {
  index_t height = 1, width = 1, side = 1;

  SEXTANT_FN constexpr index_t operator()(index_t t) const {
    const index_t band = t / (side * width), first_row = band * side;  // whole rows of windows come before
    const index_t rows = least(side, height - first_row), in_band = t - first_row * width;
    const index_t column = in_band / (rows * side), first_column = column * side;
    const index_t columns = least(side, width - first_column), inside = in_band - first_column * rows;
    return (first_row + inside / columns) * width + first_column + inside % columns;
  }
  SEXTANT_FN constexpr index_t place(index_t pixel) const {
    const index_t i = pixel / width, j = pixel % width, first_row = i / side * side, first_column = j / side * side;
    const index_t rows = least(side, height - first_row), columns = least(side, width - first_column);
    return first_row * width + first_column * rows + (i - first_row) * columns + j - first_column;
  }

 private:
  SEXTANT_FN static constexpr index_t least(index_t a, index_t b) { return a < b ? a : b; }
};

/// An order the other way: from pixels to places.
template <class Order> struct inverse {
  Order order{};
  SEXTANT_FN constexpr index_t operator()(index_t pixel) const { return order.place(pixel); }
  SEXTANT_FN constexpr index_t place(index_t t) const { return order(t); }
};

}  // namespace sextant::blocks::scan
