// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the answers: what queries take of the state that enters their chunk.
#pragma once

#include <sextant/cuda/ptx/wgmma.cuh>
#include <sextant/cuda/second_order/answer_block.cuh>

namespace sextant::gpu::second {

/// The sums of a warpgroup's 64 queries, and what the state adds to them: the factor q_m q_n of a step is a row's q_m times 16
/// of its q_n.
struct answer_sums : answer_block {
  float Y[32], divisor[2];

  using answer_block::answer_block;

  /// What a pair's factors are made of: columns of one block of q, rows of one; folded, of two.
  struct pair_of_queries {
    std::uint32_t columns[4], rows[4];
  };
  /// The factor of row m of a pair: q_m times 16 q_n. `row`, `next_row`: this lane's two rows' q_m of either block.
  template <bool Folded>
  __device__ __forceinline__ void make_factor(const pair_of_queries& its, const std::uint32_t (&row)[2],
                                              const std::uint32_t (&next_row)[2], int m,
                                              std::uint32_t (&factor)[4]) const {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if constexpr (!Folded) {
        factor[r] = multiply_pairs(its.columns[r], both(row[r % 2], m % 2));
      } else {
        // This register has numbers n = 2 (lane % 4) and n + 1 of eight, of which the row's m is number `at`: above the
        // diagonal those of the rows' block, below of the next, which is the columns'.
        const int at = m - r / 2 * 8;
        const std::uint32_t above = multiply_pairs(its.rows[r], both(row[r % 2], m % 2));
        const std::uint32_t below = multiply_pairs(its.columns[r], both(next_row[r % 2], m % 2));
        factor[r] =
            at < 0    ? above
            : at >= 8 ? below
                      : __byte_perm(above, below,
                                    (lane % 4 * 2 > at ? 0x0010 : 0x0054) | (lane % 4 * 2 + 1 > at ? 0x3200 : 0x7600));
      }
    }
  }
  /// The share of four pairs from `from` on, pair by pair without a pause: a product's factor takes the place of the fourth one
  /// before.
  template <class Token> __device__ __forceinline__ void ask_pairs(int from) {
    std::uint32_t factor[4][4];
    ask_pair<Token, 0>(from, factor);
    ask_pair<Token, 1>(from, factor);
    ask_pair<Token, 2>(from, factor);
    ask_pair<Token, 3>(from, factor);
    ptx::wait_products<0>();
    release(from + 3);
  }
  /// The share of the squares, and the divisor's share of the state, q Z q.
  template <class Token> __device__ __forceinline__ void ask_squares(int i) {
    std::uint32_t q[4][4], factor[4][4];
    float qz[32];
#pragma unroll
    for (int b = 0; b < 4; ++b) load_rows(q[b], memory.queries(group), b, warp, lane);
#pragma unroll
    for (int r = 0; r < 16; ++r) factor[r / 4][r % 4] = multiply_pairs(q[r / 4][r % 4], q[r / 4][r % 4]);
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b)
      ptx::multiply<Token, true>(Y, factor[b], ptx::rows_across_sum(memory.stage(i), 2048 * b, 0), true);
    ptx::commit_products();
    ptx::wait_products<0>();
    if (!c.normalises()) return;
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b)
      ptx::multiply<Token, true>(qz, q[b], ptx::rows_across_sum(memory.stage(i), tile_bytes + 2048 * b, 0), b > 0);
    ptx::commit_products();
    ptx::wait_products<0>();
#pragma unroll
    for (int j = 0; j < 32; j += 2) {
      float x, y;
      detail::widen_pair<Token>(q[j / 8][j / 4 % 2 * 2 + j / 2 % 2], x, y);
      divisor[j / 2 % 2] += qz[j] * x + qz[j + 1] * y;
    }
  }
  /// Multiplies what there is so far: what a state leaves until this tile, and what tiles leave until each query.
  __device__ __forceinline__ void leave(float upper, float lower) {
    divisor[0] *= upper, divisor[1] *= lower;
#pragma unroll
    for (int i = 0; i < 32; ++i) Y[i] *= i / 2 % 2 == 0 ? upper : lower;
  }

 private:
  /// The share of pair `from` + Of.
  template <class Token, int Of> __device__ __forceinline__ void ask_pair(int from, std::uint32_t (&factor)[4][4]) {
    constexpr bool folded = Of == 1;
    pair_of_queries its;
    std::uint32_t row[2], next_row[2];
    load_rows(its.columns, memory.queries(group), column_block(from + Of), warp, lane);
    load_rows(its.rows, memory.queries(group), row_block(from + Of), warp, lane);
    enter(from + Of);
    const std::uint32_t tiles_of_state = memory.stage(from + Of);
#pragma unroll
    for (int m = 0; m < 16; ++m) {
      if (m % 2 == 0) {
        const int its_lane = lane / 4 * 4 + m % 8 / 2;
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          row[r] = __shfl_sync(~0u, its.rows[m / 8 * 2 + r], its_lane);
          next_row[r] = folded ? __shfl_sync(~0u, its.columns[m / 8 * 2 + r], its_lane) : 0u;
        }
      }
      if (Of > 0 || m > 3) ptx::wait_products<3>();
      if (Of > 0 && m == 3) release(from + Of - 1);
      make_factor<folded>(its, row, next_row, m, factor[m % 4]);
      ptx::begin_products();
      ptx::multiply<Token, true>(Y, factor[m % 4], ptx::rows_across_sum(tiles_of_state, m * 2048, 0), true);
      ptx::commit_products();
    }
  }
};

}  // namespace sextant::gpu::second
