// SPDX-License-Identifier: Apache-2.0
/// @file  Second order: tiles of rows in shared memory, and pairs of 16-bit numbers in registers.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/bulk_copy.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/second_order/plan.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::second {

using wgmma::piece_of;

/// The tensors that tiles are copied from, of keys and values two tiles at a time.
struct token_maps {
  CUtensorMap q, k, v;
};
/// Where tiles of tokens of one head begin, tokens counted in the order in which the state meets them. Of reversed order a
/// tile lies in memory from its last token on, and so it stays: its rows are places.
struct head_tokens {
  int batch, key_head, head, tokens;
  bool reversed;

  __device__ __forceinline__ head_tokens(const device_call<float>& c, int n, int h)
      : batch{n},
        key_head{int(c.key_head(h))},
        head{h},
        tokens{int(c.tokens)},
        reversed{c.order == order_kind::reversed} {}

  /// Of tile t..t + 63.
  __device__ __forceinline__ int first_place(int t) const { return reversed ? tokens - tile - t : t; }
  // Begin to copy tokens from t on; what does not exist becomes 0. One thread.
  __device__ __forceinline__ void load_queries(std::uint32_t to, const CUtensorMap& map, ptx::mbarrier& landed,
                                               int t) const {
    ptx::load_box(to, map, landed, 0, key_head, first_place(t), batch);
  }
  __device__ __forceinline__ void load_two_tiles(std::uint32_t to, const CUtensorMap& map, ptx::mbarrier& landed, int t,
                                                 int its_head, int number) const {
    ptx::load_box(to, map, landed, number, its_head, first_place(reversed ? t + tile : t), batch);
  }
  /// Which of two tiles that were copied together is tile `which` in the order of the tokens.
  __device__ __forceinline__ int half(int which) const { return reversed ? 1 - which : which; }
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
/// The row that a lane names of the transposed tile's first factor: numbers 16 block .. + 15 of rows 0 .. 15; of the next 16
/// rows it lies 2048 bytes further.
__device__ __forceinline__ std::uint32_t column_place(std::uint32_t from, int block, int lane) {
  return piece_of(from, lane / 16 * 8 + lane % 8, 2 * block + lane / 8 % 2);
}

}  // namespace sextant::gpu::second
