// SPDX-License-Identifier: Apache-2.0
/// @file  A convolution of stride 2 and the product behind it in one kernel by wgmma (sm_90a): the channels between stay in registers.
#pragma once

#include <algorithm>  // max, min
#include <cstdint>    // uint32_t, uint64_t

#include <sextant/blocks/cuda/convolution/call.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/mbarrier.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>

namespace sextant::gpu::blockwise {

/// The sizes of the kernel, and where things lie in shared memory, in bytes. Pieces are 8 terms of a sum, 16 bytes. Everything is
/// as wgmma takes it: a piece of 8 neighbouring pixels or outputs one behind another. Pixels of a tile lie piece by piece, then row
/// by row, the even columns before the odd ones, so that pixels that a tap sees one after another are neighbours. Distances are
/// such that copies of neighbouring pieces meet no bank twice.
struct two_layers_sizes {
  static constexpr int inputs = 32, hidden = 256, outputs = 64, terms = 9 * inputs, at_once = 128;
  static constexpr int groups = 2, threads = 128 * groups;
  static constexpr int side = 8, seen = 2 * side + 1;  ///< pixels of a tile along a side, of y and of x
  static constexpr int odd_columns = 192, row_bytes = odd_columns + 128, piece_bytes = seen * row_bytes + 80,
                       tile_bytes = inputs / 8 * piece_bytes;
  static constexpr int w1_piece = hidden * 16 + 16, w2_piece = outputs * 16 + 16;
  static constexpr int w1_at = groups * tile_bytes, w2_at = w1_at + terms / 8 * w1_piece,
                       bytes = w2_at + hidden / 8 * w2_piece;
};

/// relu(x), NaN of NaN.
__device__ __forceinline__ float relu_of(float x) {
  asm("max.NaN.f32 %0, %0, 0f00000000;" : "+f"(x));
  return x;
}

/// y = W_2 relu(w_1 * x + b_1) + b_2, and what `last` says follows. A block keeps both layers' weights in shared
/// memory; each of its warpgroups goes from tile to tile of 8 x 8 pixels of y, and what it has of 128 channels between
/// the layers is, rounded, the first factor of the second product. While one group waits for its pixels or stores, the
/// other one's products run.
template <class E>
__global__ void __launch_bounds__(two_layers_sizes::threads, 1)
    two_layers_kernel(const __grid_constant__ convolution_call<E> c, const __grid_constant__ convolution_call<E> last,
                      const __grid_constant__ int across, const __grid_constant__ int down) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using sizes = two_layers_sizes;
  // That this is static is also how the host sees that the kernel has a body.
  __shared__ __align__(16) float biases[sizes::hidden];
  extern __shared__ __align__(128) unsigned char two_layers_memory[];
  const std::uint32_t shared = ptx::shared_address(two_layers_memory);
  const int group = int(threadIdx.x) / 128, thread = int(threadIdx.x) % 128, lane = thread % 32, warp = thread / 32,
            g = lane / 4, r = lane % 4;
  const index_t tiles = c.pictures * across * down, stride = index_t(gridDim.x) * sizes::groups;
  const std::uint32_t tile_at = shared + unsigned(group * sizes::tile_bytes);
  struct place {
    index_t picture;
    int row, column;
  };
  const auto place_of = [&](index_t tile) {
    const index_t picture = tile / (across * down);
    const int at = int(tile - picture * across * down);
    return place{picture, at / across * sizes::side, at % across * sizes::side};
  };
  const auto send = [&](index_t tile) {
    if (tile < tiles) {
      const place at = place_of(tile);
      constexpr int pieces = sizes::inputs / 8, apart = 128 / pieces;
      const int piece = thread % pieces, above = at.row * 2 - c.padding, before = at.column * 2 - c.padding;
      const E* const x = c.x + at.picture * c.of_x.batch + 8 * piece;
      int i = thread / pieces / sizes::seen, j = thread / pieces % sizes::seen;
      while (i < sizes::seen) {
        const bool there = unsigned(above + i) < unsigned(c.height) && unsigned(before + j) < unsigned(c.width);
        ptx::copy_async_or_zeros(tile_at + unsigned(piece * sizes::piece_bytes + i * sizes::row_bytes +
                                                    j % 2 * sizes::odd_columns + j / 2 * 16),
                                 there ? x + (above + i) * c.of_x.row + (before + j) * c.of_x.column : x, there);
        j += apart % sizes::seen, i += apart / sizes::seen;
        if (j >= sizes::seen) j -= sizes::seen, ++i;
      }
    }
    ptx::commit_copies();
  };
  {
    constexpr int pieces = sizes::terms / 8;
    for (int k = int(threadIdx.x); k < sizes::hidden * pieces; k += sizes::threads)
      ptx::copy_async<16>(shared + unsigned(sizes::w1_at + k % pieces * sizes::w1_piece + k / pieces * 16),
                          c.weight + 8 * k);
  }
  {
    // Row p of a group of 32 holds the output 8 (p % 8 / 2) + 2 (p / 8) + p % 2, so that a lane has 8 in a row.
    constexpr int pieces = sizes::hidden / 8;
    for (int k = int(threadIdx.x); k < sizes::outputs * pieces; k += sizes::threads) {
      const int row = k / pieces, piece = k % pieces;
      const int output = row / 32 * 32 + row % 8 / 2 * 8 + row % 32 / 8 * 2 + row % 2;
      ptx::copy_async<16>(shared + unsigned(sizes::w2_at + piece * sizes::w2_piece + row * 16),
                          last.weight + output * sizes::hidden + 8 * piece);
    }
  }
  for (int k = int(threadIdx.x); k < sizes::hidden; k += sizes::threads)
    biases[k] = c.bias == nullptr ? 0.0f : ptx::as_float(c.bias[k]);
  index_t tile = index_t(blockIdx.x) * sizes::groups + group;
  send(tile);
  ptx::await_copies<0>();
  ptx::publish_to_async_proxy();
  __syncthreads();

  const std::uint64_t pixels = ptx::rows_in_eights(tile_at, sizes::piece_bytes, 2 * sizes::row_bytes),
                      w1 = ptx::rows_in_eights(shared + sizes::w1_at, sizes::w1_piece, 128),
                      w2 = ptx::rows_in_eights(shared + sizes::w2_at, sizes::w2_piece, 128);
  for (; tile < tiles; tile += stride) {
    float sums[sizes::outputs / 2] = {};
#pragma unroll 1
    for (int first = 0; first < sizes::hidden; first += sizes::at_once) {
      float between[sizes::at_once / 2];
#pragma unroll
      for (int n = 0; n < sizes::at_once / 8; ++n) {
        const float2 bias = *reinterpret_cast<const float2*>(biases + first + 8 * n + 2 * r);
        between[4 * n] = between[4 * n + 2] = bias.x, between[4 * n + 1] = between[4 * n + 3] = bias.y;
      }
      ptx::begin_products();
#pragma unroll
      for (int tap = 0; tap < 9; ++tap)
#pragma unroll
        for (int k = 0; k < sizes::inputs / 8; k += 2) {
          const int dx = tap % 3, seen_from = k * sizes::piece_bytes + tap / 3 * sizes::row_bytes +
                                              dx % 2 * sizes::odd_columns + dx / 2 * 16;
          ptx::multiply<E>(between, pixels + unsigned(seen_from / 16),
                           w1 + unsigned(((tap * sizes::inputs / 8 + k) * sizes::w1_piece + first * 16) / 16), true);
        }
      ptx::commit_products();
      ptx::wait_products<0>();
      if (first + sizes::at_once == sizes::hidden) {
        ptx::synchronise(1 + group, 128);  // all warps are through with the pixels
        send(tile + stride);
      }
      std::uint32_t factor[sizes::at_once / 4];
#pragma unroll
      for (int i = 0; i < sizes::at_once / 4; ++i)
        factor[i] = gpu::detail::round_pair<E>(relu_of(between[2 * i]), relu_of(between[2 * i + 1]));
      ptx::begin_products();
#pragma unroll
      for (int k = 0; k < sizes::at_once / 8; k += 2)
        ptx::multiply<E, false>(sums, factor + 2 * k, w2 + unsigned((first / 8 + k) * sizes::w2_piece / 16), true);
      ptx::commit_products();
      ptx::wait_products<0>();
    }
    const place at = place_of(tile);
#pragma unroll
    for (int upper = 0; upper < 2; ++upper) {
      const int row = at.row + 2 * warp + upper, column = at.column + g;
      if (row >= c.rows || column >= c.columns) continue;
#pragma unroll
      for (int half = 0; half < sizes::outputs / 32; ++half) {
        float numbers[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) numbers[e] = sums[16 * half + e / 2 * 4 + 2 * upper + e % 2];
        finish<true>(last, at.picture, row, column, 32 * half + 8 * r, numbers);
      }
    }
    ptx::await_copies<0>();
    ptx::publish_to_async_proxy();
    ptx::synchronise(1 + group, 128);
  }
#endif
}

/// Whether the kernel takes two layers whose rows are whole pieces: its sizes, code for sm_90a, a GPU of its kind.
template <class E> bool takes_two_layers(const convolution_call<E>& c, const convolution_call<E>& last) {
  if constexpr (sizeof(E) != 2) {
    return false;
  } else {
    using sizes = two_layers_sizes;
    if (c.inputs != sizes::inputs || c.outputs != sizes::hidden || c.kernel != 3 || c.stride != 2 ||
        last.inputs != sizes::hidden || last.outputs != sizes::outputs || last.kernel != 1 || last.stride != 1 ||
        last.padding != 0 || c.act != activation::relu || c.plus != nullptr || c.also != nullptr ||
        last.also != nullptr || device_attribute(cudaDevAttrComputeCapabilityMajor) != 9)
      return false;
    cudaFuncAttributes attributes;
    return cudaFuncGetAttributes(&attributes, two_layers_kernel<E>) == cudaSuccess && attributes.sharedSizeBytes > 0;
  }
}
template <class E>
status run_two_layers(const convolution_call<E>& c, const convolution_call<E>& last, const stream& on) {
  using sizes = two_layers_sizes;
  const int across = (c.columns + sizes::side - 1) / sizes::side, down = (c.rows + sizes::side - 1) / sizes::side;
  const index_t wanted = (c.pictures * across * down + sizes::groups - 1) / sizes::groups;
  const index_t most = std::max(1, device_attribute(cudaDevAttrMultiProcessorCount));
  return launch(&two_layers_kernel<E>, dim3(unsigned(std::min(wanted, most))), dim3(sizes::threads), sizes::bytes,
                on.handle, c, last, across, down);
}

}  // namespace sextant::gpu::blockwise
