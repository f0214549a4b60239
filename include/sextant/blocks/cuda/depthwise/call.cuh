// SPDX-License-Identifier: Apache-2.0
/// @file  Depthwise 3x3 on a GPU: a call as the kernels see it, and how blocks divide it.
#pragma once

#include <algorithm>  // max, min

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/blocks/module.hpp>

namespace sextant::gpu::blockwise {

/// A call as the kernels see it. Strides count elements.
template <class E> struct depthwise_call {
  struct picture_strides {
    index_t batch;
    int row, column;
  };
  const E *x, *plus;
  const real_of<E>*weight, *bias;
  E* y;
  picture_strides of_x, of_y, of_plus;
  int height, width, rows, columns, channels;  ///< of x, of y, of both
  int pictures;
  activation act;
  bool plus_input;
  // The layer norm that follows, of all channels of a pixel of y; null: none.
  const real_of<E>*norm_weight = nullptr, *norm_bias = nullptr;
  real_of<E> eps = 0, part = 0;  ///< part: 1 / channels
  E* normed = nullptr;
  picture_strides of_normed{};
  // How blocks divide it: slices of 2^group_bits pieces of channels, tiles of columns, strips of rows.
  int group_bits, slices, tile_columns, tiles, strip_rows, strips;

  template <class View> static picture_strides strides_of(const View& v) {
    return {v.stride(0), int(v.stride(1)), int(v.stride(2))};
  }
  static depthwise_call of(const image<const E>& x, const modules::depthwise<E>& w, const image<E>& y,
                           const after_convolution<E>& after) {
    return {.x = x.data(),
            .plus = after.plus.data(),
            .weight = w.weight.data(),
            .bias = w.bias.data(),
            .y = y.data(),
            .of_x = strides_of(x),
            .of_y = strides_of(y),
            .of_plus = strides_of(after.plus),
            .height = int(x.extent(1)),
            .width = int(x.extent(2)),
            .rows = int(y.extent(1)),
            .columns = int(y.extent(2)),
            .channels = int(x.extent(3)),
            .pictures = int(x.extent(0)),
            .act = after.act,
            .plus_input = after.plus_input,
            .group_bits = 0,
            .slices = 1,
            .tile_columns = 1,
            .tiles = 1,
            .strip_rows = 1,
            .strips = 1};
  }
};

/// What a block makes: a slice of channels and a tile of columns of rows first_row .. end_row of a picture.
struct depthwise_part {
  int slice, first_column, first_row, end_row, picture;

  template <class E> static __device__ __forceinline__ depthwise_part of(const depthwise_call<E>& c) {
    int at = int(blockIdx.x);
    depthwise_part its;
    its.slice = at % c.slices;
    at /= c.slices;
    its.first_column = at % c.tiles * c.tile_columns;
    at /= c.tiles;
    its.first_row = at % c.strips * c.strip_rows, its.end_row = min(its.first_row + c.strip_rows, c.rows);
    its.picture = at / c.strips;
    return its;
  }
};

/// Divides the rows of a call, whose slices and tiles are known, into strips of whole steps of `out` rows, as long as leave two
/// blocks to a multiprocessor of a large GPU; the number of all blocks.
template <class E> index_t cut_into_strips(depthwise_call<E>& c, int out) {
  constexpr int enough_blocks = 256;
  const index_t of_strip = index_t(c.pictures) * c.slices * c.tiles, steps = (c.rows + out - 1) / out;
  const index_t strips = std::min(std::max<index_t>(1, enough_blocks / of_strip), steps);
  c.strip_rows = int((steps + strips - 1) / strips) * out;
  c.strips = (c.rows + c.strip_rows - 1) / c.strip_rows;
  return of_strip * c.strips;
}

/// Threads of a block at most.
inline constexpr int most_threads = 256;

/// Whether offsets within a picture are ints, which the kernel for whole pieces counts with.
template <class E> bool has_small_offsets(const depthwise_call<E>& c) {
  const index_t row = c.of_x.row < 0 ? -index_t(c.of_x.row) : c.of_x.row;
  const index_t column = c.of_x.column < 0 ? -index_t(c.of_x.column) : c.of_x.column;
  return row * c.height + column * c.width < index_t(1) << 31;
}

}  // namespace sextant::gpu::blockwise
