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

  /// Pair i of the state's blocks, four tiles: four products in flight while the next four's factors are made.
  template <class Token> __device__ __forceinline__ void ask_state(int i) {
    std::uint32_t columns[4], rows[4], factor[2][4][4];
    const std::uint32_t queries = memory.queries(group), tiles_of_state = memory.stage(i);
    load_rows(columns, queries, column_block(i), warp, lane);
    load_rows(rows, queries, row_block(i), warp, lane);
#pragma unroll
    for (int t = 0; t < 4; ++t) {
      if (t > 0) ptx::wait_products<1>();
#pragma unroll
      for (int m = 0; m < 4; m += 2) {
        const int from = lane / 4 * 4 + t % 2 * 2 + m / 2;
        const std::uint32_t upper = __shfl_sync(~0u, rows[t / 2 * 2], from),
                            lower = __shfl_sync(~0u, rows[t / 2 * 2 + 1], from);
#pragma unroll
        for (int which = 0; which < 2; ++which)
#pragma unroll
          for (int r = 0; r < 4; ++r)
            factor[t % 2][m + which][r] = multiply_pairs(columns[r], both(r % 2 ? lower : upper, which));
      }
      add_tile<Token>(factor[t % 2], tiles_of_state, t);
    }
    ptx::wait_products<0>();
  }
  /// The same of a folded pair: above its diagonal numbers of one block of q, below of the next.
  template <class Token> __device__ __forceinline__ void ask_folded(int i) {
    std::uint32_t q[2][4], factor[2][4][4];
    const std::uint32_t queries = memory.queries(group), tiles_of_state = memory.stage(i);
#pragma unroll
    for (int b = 0; b < 2; ++b) load_rows(q[b], queries, row_block(i) + b, warp, lane);
#pragma unroll
    for (int t = 0; t < 4; ++t) {
      if (t > 0) ptx::wait_products<1>();
#pragma unroll
      for (int m = 0; m < 4; m += 2) {
        const int from = lane / 4 * 4 + t % 2 * 2 + m / 2;
        std::uint32_t row[2][2];
#pragma unroll
        for (int r = 0; r < 2; ++r)
#pragma unroll
          for (int b = 0; b < 2; ++b) row[b][r] = __shfl_sync(~0u, q[b][t / 2 * 2 + r], from);
#pragma unroll
        for (int which = 0; which < 2; ++which)
#pragma unroll
          for (int r = 0; r < 4; ++r) {
            // This register has numbers n = 2 (lane % 4) and n + 1 of eight, of which the row's m is number `at`.
            const int at = 4 * t + m + which - r / 2 * 8;
            const auto of_block = [&](int b) { return multiply_pairs(q[b][r], both(row[b][r % 2], which)); };
            if (at < 0) factor[t % 2][m + which][r] = of_block(0);
            else if (at >= 8) factor[t % 2][m + which][r] = of_block(1);
            else
              factor[t % 2][m + which][r] =
                  __byte_perm(of_block(0), of_block(1),
                              (lane % 4 * 2 > at ? 0x0010 : 0x0054) | (lane % 4 * 2 + 1 > at ? 0x3200 : 0x7600));
          }
      }
      add_tile<Token>(factor[t % 2], tiles_of_state, t);
    }
    ptx::wait_products<0>();
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
  /// Begins the four products of tile t of the state.
  template <class Token>
  __device__ __forceinline__ void add_tile(const std::uint32_t (&factor)[4][4], std::uint32_t tiles_of_state, int t) {
    ptx::begin_products();
#pragma unroll
    for (int m = 0; m < 4; ++m)
      ptx::multiply<Token, true>(Y, factor[m], ptx::rows_across_sum(tiles_of_state, t * tile_bytes + m * 2048, 0), true);
    ptx::commit_products();
  }
};

}  // namespace sextant::gpu::second
