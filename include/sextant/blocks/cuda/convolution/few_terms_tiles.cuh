// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions with few terms to a sum by mma.sync, where rows of the picture are whole pieces: nothing is unfolded.
#pragma once

#include <cstdint>  // uint32_t

#include <sextant/blocks/cuda/convolution/call.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/shared_words.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>

namespace sextant::gpu::blockwise {

/// How blocks divide a call: tiles of 8 rows (4 where shared memory is short) and up to 128 columns of y, 32 of their
/// channels. What a pixel of y sees in a row of x is a segment of kernel x inputs numbers one after another. It is read
/// as words of two, so that a segment begins with a number more where it would else begin in the middle of a word, and
/// is filled up to whole words.
struct few_terms_tiles {
  static constexpr int most_columns = 128, outputs = 32, threads = 128, steps = 4, most_bytes = 48 * 1024;
  static constexpr int margin = 16;  ///< bytes of x before the first column of a tile
  int across, down;                  ///< tiles of a picture
  int rows, columns;                 ///< of a tile; columns a multiple of 16
  int seen_rows, row_bytes;          ///< of x, of a tile in shared memory
  int front, segment;                ///< numbers before those that a pixel sees in a row of x, and with them
  index_t tiles;

  template <class E> static few_terms_tiles of(const convolution_call<E>& c) {
    few_terms_tiles t{};
    t.across = (c.columns + most_columns - 1) / most_columns;
    t.columns = ((c.columns + t.across - 1) / t.across + 15) / 16 * 16;
    t.front = c.padding * c.inputs % 2;
    t.segment = (t.front + c.kernel * c.inputs + 1) / 2 * 2;
    const int numbers = (t.columns - 1) * c.stride * c.inputs + t.segment;
    t.row_bytes = (margin + 2 * numbers + 15) / 16 * 16;
    for (t.rows = 8;; t.rows = 4) {
      t.seen_rows = (t.rows - 1) * c.stride + c.kernel;
      if (t.rows == 4 || t.bytes() <= most_bytes) break;
    }
    t.down = (c.rows + t.rows - 1) / t.rows;
    t.tiles = c.pictures * t.across * t.down;
    return t;
  }
  std::size_t bytes() const { return std::size_t(seen_rows * row_bytes); }
};

/// A warp has 16 neighbouring pixels of y at a time. The first factor of a product is read from rows of x as they lie
/// in shared memory; the second one, the weights, stays in registers, in the order that gives a lane 8 neighbouring
/// channels of a pixel.
template <class E, int Steps>
__global__ void __launch_bounds__(few_terms_tiles::threads)
    few_terms_tiles_kernel(const __grid_constant__ convolution_call<E> c, const __grid_constant__ few_terms_tiles p) {
  using sizes = few_terms_tiles;
  extern __shared__ __align__(128) unsigned char few_terms_memory[];
  const std::uint32_t shared = ptx::shared_address(few_terms_memory);
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, g = lane / 4, r = lane % 4;
  const index_t tile = blockIdx.x, picture = tile / (p.across * p.down);
  const int at = int(tile - picture * p.across * p.down);
  const int first_row = at / p.across * p.rows, first_column = at % p.across * p.columns;
  const int first_output = int(blockIdx.y) * sizes::outputs;
  {
    const int pieces = p.row_bytes / 16, of_row = 2 * c.width * c.inputs;  // bytes of a row of x
    const int from = 2 * first_column * c.stride * c.inputs - sizes::margin, above = first_row * c.stride - c.padding;
    const unsigned char* const x = reinterpret_cast<const unsigned char*>(c.x + picture * c.of_x.batch);
    for (int k = int(threadIdx.x); k < p.seen_rows * pieces; k += sizes::threads) {
      const int row = k / pieces, byte = from + k % pieces * 16;
      const bool there = unsigned(above + row) < unsigned(c.height) && byte >= 0 && byte < of_row;
      ptx::copy_async_some(shared + 16u * unsigned(k), there ? x + 2 * ((above + row) * c.of_x.row) + byte : x,
                           there ? min(16, of_row - byte) : 0);
    }
    ptx::commit_copies();
  }
  // Of a lane's words of the first factor: where they lie behind a pixel's first segment, and what of them is seen.
  const int seen = c.kernel * c.inputs;
  int offsets[2 * Steps];
  std::uint32_t masks[2 * Steps], w[Steps][4][2];
#pragma unroll
  for (int i = 0; i < 2 * Steps; ++i) {
    const int term = 8 * i + 2 * r, row = term / p.segment, number = term - row * p.segment;
    const auto is_seen = [&](int n) { return row < c.kernel && n >= p.front && n - p.front < seen; };
    offsets[i] = row < c.kernel ? row * p.row_bytes + 2 * number : 0;
    masks[i] = (is_seen(number) ? 0x0000ffffu : 0u) | (is_seen(number + 1) ? 0xffff0000u : 0u);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int output = first_output + 8 * (g / 2) + 2 * n + g % 2;
      const E* const from = c.weight + index_t(output) * c.kernel * seen + row * seen + number - p.front;
      const bool there = output < c.outputs;
      const auto bits = [&](int e) {
        return there && is_seen(number + e) ? std::uint32_t(from[e].bits) : std::uint32_t(0);
      };
      w[i / 2][n][i % 2] = bits(0) | bits(1) << 16;
    }
  }
  ptx::await_copies<0>();
  __syncthreads();
  const int in_row = p.columns / 16, pixel_bytes = 2 * c.stride * c.inputs, channel = first_output + 8 * r;
  // A pixel's first number lies `padding` pixels and `front` numbers before its own column's.
  const std::uint32_t pixels = shared + unsigned(sizes::margin - 2 * (c.padding * c.inputs + p.front));
  for (int k = warp; k < p.rows * in_row; k += sizes::threads / 32) {
    const int row = k / in_row, column = k % in_row * 16 + g;
    if (first_row + row >= c.rows) break;
    const std::uint32_t from = pixels + unsigned(row * c.stride * p.row_bytes + column * pixel_bytes);
    float sums[4][4] = {};
#pragma unroll
    for (int s = 0; s < Steps; ++s) {
      const std::uint32_t a[4] = {
          ptx::load_word<0>(from + unsigned(offsets[2 * s])) & masks[2 * s],
          ptx::load_word<0>(from + unsigned(offsets[2 * s] + 8 * pixel_bytes)) & masks[2 * s],
          ptx::load_word<0>(from + unsigned(offsets[2 * s + 1])) & masks[2 * s + 1],
          ptx::load_word<0>(from + unsigned(offsets[2 * s + 1] + 8 * pixel_bytes)) & masks[2 * s + 1]};
#pragma unroll
      for (int n = 0; n < 4; ++n) ptx::multiply_add<E>(sums[n], a, w[s][n][0], w[s][n][1]);
    }
    if (channel >= c.outputs) continue;
#pragma unroll
    for (int upper = 0; upper < 2; ++upper) {
      const int its_column = first_column + column + 8 * upper;
      if (its_column >= c.columns || column + 8 * upper >= p.columns) continue;
      float numbers[8];
#pragma unroll
      for (int e = 0; e < 8; ++e) numbers[e] = sums[e / 2][2 * upper + e % 2];
      finish<true>(c, picture, first_row + row, its_column, channel, numbers);
    }
  }
}

/// Whether the kernel takes a call whose y is whole pieces: rows of x whose pixels follow each other and begin at multiples of 16
/// bytes, pixels of y that see words of them, not too many terms.
template <class E> bool takes_few_terms_tiles(const convolution_call<E>& c) {
  if constexpr (sizeof(E) != 2) {
    return false;
  } else {
    const auto p = few_terms_tiles::of(c);
    return c.of_x.column == c.inputs && c.of_x.row % 8 == 0 && c.of_x.batch % 8 == 0 && gpu::holds_packets(c.x) &&
           c.stride * c.inputs % 2 == 0 && 2 * (c.padding * c.inputs + p.front) <= few_terms_tiles::margin &&
           c.kernel * p.segment <= 16 * few_terms_tiles::steps && p.bytes() <= few_terms_tiles::most_bytes &&
           p.tiles < index_t(1) << 31 && device_attribute(cudaDevAttrComputeCapabilityMajor) >= 8;
  }
}
template <class E> status run_few_terms_tiles(const convolution_call<E>& c, const stream& on) {
  using sizes = few_terms_tiles;
  const auto p = sizes::of(c);
  const dim3 blocks(unsigned(p.tiles), unsigned((c.outputs + sizes::outputs - 1) / sizes::outputs));
  const auto kernel = c.kernel * p.segment <= 32 ? &few_terms_tiles_kernel<E, 2> : &few_terms_tiles_kernel<E, 4>;
  return launch(kernel, blocks, dim3(sizes::threads), p.bytes(), on.handle, c, p);
}

}  // namespace sextant::gpu::blockwise
