// SPDX-License-Identifier: Apache-2.0
/// @file  Second order: tiles of rows in shared memory, and pairs of 16-bit numbers in registers.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/second_order/plan.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::second {

using wgmma::piece_of;

/// Rows of one head's tokens, counted in the order in which the state meets them, as one thread of a block copies them: the same
/// 16 bytes of every (threads / 8)-th row. `width` bytes of a row exist.
struct token_rows {
  const std::byte* first;
  int step, row;
  std::uint32_t place;
  bool inside;

  __device__ __forceinline__ token_rows(const tensor<float>& x, const device_call<float>& c, index_t n, index_t head,
                                        index_t from, int width, int thread)
      : step{int(c.order == order_kind::reversed ? -x.time : x.time)},
        row{thread / 8},
        place{piece_of(0, thread / 8, thread % 8)},
        inside{thread % 8 * 16 < width} {
    first = x.at(n, c.order == order_kind::reversed ? c.tokens - 1 : 0, head) + from * x.element + thread % 8 * 16;
  }
  /// Begins to copy rows t..t+63 into a swizzled tile; what does not exist, from token
  /// `behind` on too, becomes 0. By `threads` threads.
  __device__ __forceinline__ void load(std::uint32_t to, int t, int behind, int threads) const {
#pragma unroll 1
    for (int i = 0; row + i < tile; i += threads / 8) {
      const bool exists = inside && t + row + i < behind;
      ptx::copy_async_or_zeros(to + place + i * 128, exists ? first + index_t(t + row + i) * step : first, exists);
    }
  }
};

/// Two products of bfloat16 numbers, each rounded once.
__device__ __forceinline__ std::uint32_t multiply_pairs(std::uint32_t x, std::uint32_t y) {
  std::uint32_t z;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(z) : "r"(x), "r"(y));
  return z;
}
/// The same with factors in float.
template <class Token> __device__ __forceinline__ std::uint32_t multiply_pair(std::uint32_t x, float2 by) {
  float low, high;
  detail::widen_pair<Token>(x, low, high);
  return detail::round_pair<Token>(low * by.x, high * by.y);
}
/// The lower or the upper number of a pair, twice.
__device__ __forceinline__ std::uint32_t both(std::uint32_t pair, bool upper) {
  return __byte_perm(pair, 0, upper ? 0x3232 : 0x1010);
}

/// Rows 16 warp .. + 15 of a tile, columns 16 block .. + 15, as a first factor.
__device__ __forceinline__ void load_rows(std::uint32_t (&to)[4], std::uint32_t from, int block, int warp, int lane) {
  ptx::load_matrices(to, piece_of(from, 16 * warp + lane / 8 % 2 * 8 + lane % 8, 2 * block + lane / 16));
}
/// The same of the transposed tile: numbers 16 block .. + 15 of rows 16 step .. + 15.
__device__ __forceinline__ void load_columns(std::uint32_t (&to)[4], std::uint32_t from, int block, int step,
                                             int lane) {
  ptx::load_transposed(to, piece_of(from, 16 * step + lane / 16 * 8 + lane % 8, 2 * block + lane / 8 % 2));
}

}  // namespace sextant::gpu::second
