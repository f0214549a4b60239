// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions of 3 x 3 taps from 32 channels to 32 by wgmma (sm_90a): a stem's, which are bound by what they move.
#pragma once

#include <algorithm>  // max, min
#include <cstdint>    // uint32_t, uint64_t

#include <sextant/blocks/cuda/convolution/call.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/mbarrier.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>

namespace sextant::gpu::blockwise {

/// The sizes of the kernel, and where things lie in shared memory, in bytes: as in two_layers_sizes pieces of 16 bytes of
/// neighbouring pixels or outputs one behind another; piece by piece, a tile's pixels row by row.
struct wgmma_tiles_sizes {
  static constexpr int inputs = 32, outputs = 32, terms = 9 * inputs;
  static constexpr int groups = 2, threads = 128 * groups, blocks_at_once = 3;
  static constexpr int rows = 16, columns = 8, seen_rows = rows + 2, seen_columns = columns + 2;
  static constexpr int row_bytes = seen_columns * 16, piece_bytes = seen_rows * row_bytes + 96,
                       tile_bytes = inputs / 8 * piece_bytes;
  static constexpr int bytes = 2 * groups * tile_bytes, weight_piece = outputs * 16 + 16,
                       weight_bytes = terms / 8 * weight_piece;
  static_assert(piece_bytes % 128 == 32, "pieces of two neighbouring pixels meet in no bank");
};

/// A block keeps the weights in shared memory; each of its warpgroups goes from tile to tile of 16 x 8 pixels of y, the next one's
/// pixels on their way while it computes. Each tap's pixels are the same tile from another byte on.
template <class E>
__global__ void __launch_bounds__(wgmma_tiles_sizes::threads, wgmma_tiles_sizes::blocks_at_once)
    wgmma_tiles_kernel(const __grid_constant__ convolution_call<E> c, const __grid_constant__ int across,
                       const __grid_constant__ int down) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using sizes = wgmma_tiles_sizes;
  // That this is static is also how the host sees that the kernel has a body.
  __shared__ __align__(128) unsigned char weight_memory[sizes::weight_bytes];
  extern __shared__ __align__(128) unsigned char wgmma_tiles_memory[];
  const std::uint32_t shared = ptx::shared_address(wgmma_tiles_memory), weights_at = ptx::shared_address(weight_memory);
  const int group = int(threadIdx.x) / 128, thread = int(threadIdx.x) % 128, lane = thread % 32, warp = thread / 32,
            g = lane / 4, r = lane % 4;
  const index_t tiles = c.pictures * across * down, stride = index_t(gridDim.x) * sizes::groups;
  const std::uint32_t tile_at = shared + unsigned(2 * group * sizes::tile_bytes);
  struct place {
    index_t picture;
    int row, column;
  };
  const auto place_of = [&](index_t tile) {
    const index_t picture = tile / (across * down);
    const int at = int(tile - picture * across * down);
    return place{picture, at / across * sizes::rows, at % across * sizes::columns};
  };
  const auto send = [&](index_t tile, int half) {
    if (tile < tiles) {
      const place at = place_of(tile);
      constexpr int pieces = sizes::inputs / 8, apart = 128 / pieces;
      const int piece = thread % pieces, above = at.row - c.padding, before = at.column - c.padding;
      const E* const x = c.x + at.picture * c.of_x.batch + 8 * piece;
      const std::uint32_t to = tile_at + unsigned(half * sizes::tile_bytes + piece * sizes::piece_bytes);
#pragma unroll
      for (int k = 0; k < sizes::seen_rows * sizes::seen_columns; k += apart) {
        const int pixel = k + thread / pieces, i = pixel / sizes::seen_columns, j = pixel % sizes::seen_columns;
        if (pixel >= sizes::seen_rows * sizes::seen_columns) break;
        const bool there = unsigned(above + i) < unsigned(c.height) && unsigned(before + j) < unsigned(c.width);
        ptx::copy_async_or_zeros(to + unsigned(pixel * 16),
                                 there ? x + (above + i) * c.of_x.row + (before + j) * c.of_x.column : x, there);
      }
    }
    ptx::commit_copies();
  };
  {
    // Row p of the 32 holds the output 8 (p % 8 / 2) + 2 (p / 8) + p % 2, so that a lane has 8 in a row.
    constexpr int pieces = sizes::terms / 8;
    for (int k = int(threadIdx.x); k < sizes::outputs * pieces; k += sizes::threads) {
      const int row = k / pieces, piece = k % pieces;
      const int output = row % 8 / 2 * 8 + row / 8 * 2 + row % 2;
      ptx::copy_async<16>(weights_at + unsigned(piece * sizes::weight_piece + row * 16),
                          c.weight + output * sizes::terms + 8 * piece);
    }
  }
  index_t tile = index_t(blockIdx.x) * sizes::groups + group;
  send(tile, 0);
  ptx::await_copies<0>();
  ptx::publish_to_async_proxy();
  __syncthreads();
  const std::uint64_t weights = ptx::rows_in_eights(weights_at, sizes::weight_piece, 128);
  int half = 0;
  for (; tile < tiles; tile += stride, half ^= 1) {
    send(tile + stride, half ^ 1);
    ptx::await_copies<1>();
    ptx::publish_to_async_proxy();
    ptx::synchronise(1 + group, 128);
    const std::uint64_t pixels =
        ptx::rows_in_eights(tile_at + unsigned(half * sizes::tile_bytes), sizes::piece_bytes, sizes::row_bytes);
    float sums[2][sizes::outputs / 2];  // of which the first products need nothing
    ptx::begin_products();
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int tap = 0; tap < 9; ++tap)
#pragma unroll
        for (int k = 0; k < sizes::inputs / 8; k += 2)
          ptx::multiply<E>(
              sums[m],
              pixels + unsigned((k * sizes::piece_bytes + (tap / 3 + 8 * m) * sizes::row_bytes + tap % 3 * 16) / 16),
              weights + unsigned((tap * sizes::inputs / 8 + k) * sizes::weight_piece / 16), tap + k > 0);
    ptx::commit_products();
    ptx::wait_products<0>();
    ptx::synchronise(1 + group, 128);  // all warps are through with the pixels
    const place at = place_of(tile);
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int row = at.row + 8 * m + 2 * warp + upper, column = at.column + g;
        if (row >= c.rows || column >= c.columns) continue;
        float numbers[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) numbers[e] = sums[m][e / 2 * 4 + 2 * upper + e % 2];
        finish<true>(c, at.picture, row, column, 8 * r, numbers);
      }
  }
#endif
}

/// Whether the kernel takes a call whose rows are whole pieces: its sizes, code for sm_90a, a GPU of its kind.
template <class E> bool takes_wgmma_tiles(const convolution_call<E>& c) {
  if constexpr (sizeof(E) != 2) {
    return false;
  } else {
    using sizes = wgmma_tiles_sizes;
    if (c.inputs != sizes::inputs || c.outputs != sizes::outputs || c.kernel != 3 || c.stride != 1 ||
        device_attribute(cudaDevAttrComputeCapabilityMajor) != 9)
      return false;
    cudaFuncAttributes attributes;
    return cudaFuncGetAttributes(&attributes, wgmma_tiles_kernel<E>) == cudaSuccess && attributes.sharedSizeBytes > 0;
  }
}
template <class E> status run_wgmma_tiles(const convolution_call<E>& c, const stream& on) {
  using sizes = wgmma_tiles_sizes;
  const int across = (c.columns + sizes::columns - 1) / sizes::columns, down = (c.rows + sizes::rows - 1) / sizes::rows;
  const index_t wanted = (c.pictures * across * down + sizes::groups - 1) / sizes::groups;
  const index_t most = sizes::blocks_at_once * std::max(1, device_attribute(cudaDevAttrMultiProcessorCount));
  return launch(&wgmma_tiles_kernel<E>, dim3(unsigned(std::min(wanted, most))), dim3(sizes::threads), sizes::bytes,
                on.handle, c, across, down);
}

}  // namespace sextant::gpu::blockwise
