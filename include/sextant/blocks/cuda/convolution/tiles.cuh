// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions of pictures by the tensor cores: a tile of pixels and what is around it in shared memory, nothing unfolded.
#pragma once

#include <algorithm>  // min
#include <cstdint>    // uint32_t

#include <sextant/blocks/cuda/convolution/call.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>

namespace sextant::gpu::blockwise {

/// How blocks divide a call: tiles of 8 x 16 pixels of y, 32 `Groups` channels of it to a block.
struct convolution_tiles {
  static constexpr int rows = 8, columns = 16, threads = 128;
  static constexpr std::size_t most_bytes = 112 * 1024;  ///< of shared memory: two blocks to a multiprocessor
  int across, down;                                      ///< tiles of a picture
  int seen_rows, seen_columns;                           ///< of x, by a tile
  int pixel_bytes,
      weight_bytes;  ///< from pixel to pixel, from output to output in shared memory: odd numbers of 16 bytes
  int tile_bytes, buffers, weights_at;  ///< of one tile, tiles in shared memory
  index_t tiles;

  template <class E> static convolution_tiles of(const convolution_call<E>& c) {
    convolution_tiles t{};
    t.across = (c.columns + columns - 1) / columns, t.down = (c.rows + rows - 1) / rows;
    t.seen_rows = (rows - 1) * c.stride + c.kernel, t.seen_columns = (columns - 1) * c.stride + c.kernel;
    t.pixel_bytes = 2 * c.inputs + 16;
    t.weight_bytes = 2 * c.kernel * c.kernel * c.inputs + 16;
    t.tile_bytes = t.seen_rows * t.seen_columns * t.pixel_bytes;
    t.tiles = c.pictures * t.across * t.down;
    return t;
  }
  std::size_t bytes(int groups) const {
    return std::size_t(buffers * tile_bytes) + std::size_t(32 * groups) * std::size_t(weight_bytes);
  }
  /// One tile in shared memory, or two where there is room.
  void set_buffers(int groups) {
    buffers = 2;
    if (bytes(groups) > most_bytes) buffers = 1;
    weights_at = buffers * tile_bytes;
  }
};

/// A block keeps its weights in shared memory and goes from tile to tile, the next one's pixels on their way while it computes. A
/// warp has 2 rows of 16 pixels: for each tap they lie, as the first factor of a product wants them, from the pixel that the tap
/// sees on. Weights lie in the order that gives a lane 8 neighbouring channels of each pixel. `Inputs` that are known (0: not)
/// are of 3 x 3 taps, and unrolled.
template <class E, int Groups, int Inputs>
__global__ void __launch_bounds__(convolution_tiles::threads)
    convolution_kernel(const __grid_constant__ convolution_call<E> c, const __grid_constant__ convolution_tiles p) {
  constexpr int threads = convolution_tiles::threads;
  extern __shared__ __align__(128) unsigned char convolution_memory[];
  const std::uint32_t shared = ptx::shared_address(convolution_memory);
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, g = lane / 4, r = lane % 4;
  const int first_output = int(blockIdx.y) * 32 * Groups;
  const int inputs = Inputs > 0 ? Inputs : c.inputs, taps = Inputs > 0 ? 3 : c.kernel, terms = taps * taps * inputs;

  // Row p of a group of 32 holds the output 8 (p % 8 / 2) + 2 (p / 8) + p % 2.
  {
    const int pieces = terms / 8;
    for (int k = int(threadIdx.x); k < 32 * Groups * pieces; k += threads) {
      const int row = k / pieces, piece = k - row * pieces;
      const int output = first_output + row / 32 * 32 + row % 8 / 2 * 8 + row % 32 / 8 * 2 + row % 2;
      const bool there = output < c.outputs;
      ptx::copy_async_or_zeros(shared + unsigned(p.weights_at + row * p.weight_bytes + 16 * piece),
                               there ? c.weight + index_t(output) * terms + 8 * piece : c.weight, there);
    }
  }
  const int pieces_of_pixel = inputs / 8;
  // A thread's first piece of a tile, and how many pixels further on the next one lies.
  const int first_pixel = int(threadIdx.x) / pieces_of_pixel,
            first_piece = int(threadIdx.x) - first_pixel * pieces_of_pixel;
  const int pixels_apart = threads / pieces_of_pixel;
  const bool copies = first_pixel < pixels_apart;
  const int first_i = first_pixel / p.seen_columns, first_j = first_pixel - first_i * p.seen_columns;
  const auto place_of = [&](index_t tile, index_t& picture, int& row, int& column) {
    picture = tile / (p.across * p.down);
    const int at = int(tile - picture * p.across * p.down);
    row = at / p.across * convolution_tiles::rows, column = at % p.across * convolution_tiles::columns;
  };
  const auto send = [&](index_t tile, int half) {
    if (tile < p.tiles) {
      index_t picture;
      int row, column;
      place_of(tile, picture, row, column);
      const E* const x = c.x + picture * c.of_x.batch;
      const int above = row * c.stride - c.padding, before = column * c.stride - c.padding;
      std::uint32_t to = shared + unsigned(half * p.tile_bytes + first_pixel * p.pixel_bytes + 16 * first_piece);
      for (int i = first_i, j = first_j; copies && i < p.seen_rows; to += unsigned(pixels_apart * p.pixel_bytes)) {
        const int from_row = above + i, from_column = before + j;
        const bool there = unsigned(from_row) < unsigned(c.height) && unsigned(from_column) < unsigned(c.width);
        ptx::copy_async_or_zeros(
            to, there ? x + from_row * c.of_x.row + from_column * c.of_x.column + 8 * first_piece : x, there);
        for (j += pixels_apart; j >= p.seen_columns; j -= p.seen_columns) ++i;
      }
    }
    ptx::commit_copies();
  };

  const std::uint32_t weights =
      shared + unsigned(p.weights_at + (lane % 8 + lane / 16 * 8) * p.weight_bytes + lane / 8 % 2 * 16);
  const int pixel = (2 * warp * c.stride * p.seen_columns + lane % 16 * c.stride) * p.pixel_bytes + lane / 16 * 16;
  const int row_below = c.stride * p.seen_columns * p.pixel_bytes;
  const int other = p.buffers - 1;
  send(blockIdx.x, 0);
  int half = 0;
  for (index_t tile = blockIdx.x; tile < p.tiles; tile += gridDim.x, half ^= other) {
    if (other != 0) {
      send(tile + gridDim.x, half ^ 1);
      ptx::await_copies<1>();
    } else {
      ptx::await_copies<0>();
    }
    __syncthreads();
    float sums[2][4 * Groups][4] = {};
    const std::uint32_t pixels = shared + unsigned(half * p.tile_bytes + pixel);
    std::uint32_t weight = weights;
    const auto multiply = [&](std::uint32_t at) {
      std::uint32_t a[2][4];
      ptx::load_matrices(a[0], at);
      ptx::load_matrices(a[1], at + unsigned(row_below));
#pragma unroll
      for (int n = 0; n < 2 * Groups; ++n) {
        std::uint32_t b[4];
        ptx::load_matrices(b, weight + unsigned(16 * n * p.weight_bytes));
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          ptx::multiply_add<E>(sums[m][2 * n], a[m], b[0], b[1]);
          ptx::multiply_add<E>(sums[m][2 * n + 1], a[m], b[2], b[3]);
        }
      }
      weight += 32;
    };
    if constexpr (Inputs > 0) {
#pragma unroll
      for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int j = 0; j < 3; ++j)
#pragma unroll
          for (int k = 0; k < Inputs; k += 16)
            multiply(pixels + unsigned((i * p.seen_columns + j) * p.pixel_bytes + 2 * k));
    } else {
      for (int i = 0; i < taps; ++i)
        for (int j = 0; j < taps; ++j)
          for (int k = 0; k < inputs; k += 16)
            multiply(pixels + unsigned((i * p.seen_columns + j) * p.pixel_bytes + 2 * k));
    }
    __syncthreads();
    if (other == 0) send(tile + gridDim.x, 0);
    index_t picture;
    int row, column;
    place_of(tile, picture, row, column);
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int i = row + 2 * warp + m, j = column + g + 8 * upper;
        if (i >= c.rows || j >= c.columns) continue;
#pragma unroll
        for (int group = 0; group < Groups; ++group) {
          const int channel = first_output + 32 * group + 8 * r;
          if (channel >= c.outputs) continue;
          float numbers[8];
#pragma unroll
          for (int e = 0; e < 8; ++e) numbers[e] = sums[m][4 * group + e / 2][2 * upper + e % 2];
          finish<true>(c, picture, i, j, channel, numbers);
        }
      }
  }
}

/// Whether the tensor cores' kernel takes a call whose rows are whole pieces.
template <class E> bool takes_tiles(const convolution_call<E>& c) {
  if constexpr (sizeof(E) != 2) {
    return false;
  } else {
    auto p = convolution_tiles::of(c);
    p.set_buffers(1);
    return c.inputs % 16 == 0 && c.outputs % 8 == 0 && p.bytes(1) <= convolution_tiles::most_bytes &&
           device_attribute(cudaDevAttrComputeCapabilityMajor) >= 8;
  }
}
template <class E> status run_tiles(const convolution_call<E>& c, const stream& on) {
  auto p = convolution_tiles::of(c);
  p.set_buffers(2);
  const int groups = c.outputs > 32 && p.bytes(2) <= convolution_tiles::most_bytes ? 2 : 1;
  p.set_buffers(groups);
  const int across = (c.outputs + 32 * groups - 1) / (32 * groups);
  const int at_once = std::min(4, std::max(1, int(220 * 1024 / p.bytes(groups))));
  const index_t wanted = std::max(1, device_attribute(cudaDevAttrMultiProcessorCount) * at_once / across);
  const dim3 blocks(unsigned(std::min(p.tiles, wanted)), unsigned(across));
  const bool known = c.kernel == 3 && c.inputs == 32;
  const auto kernel = groups == 2 ? known ? &convolution_kernel<E, 2, 32> : &convolution_kernel<E, 2, 0>
                      : known ? &convolution_kernel<E, 1, 32>
                                  : &convolution_kernel<E, 1, 0>;
  return launch(kernel, blocks, dim3(convolution_tiles::threads), p.bytes(groups), on.handle, c, p);
}

}  // namespace sextant::gpu::blockwise
