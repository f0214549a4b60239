// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the states: sums over tokens of the products of two keys and a value.
#pragma once

#include <cstddef>  // size_t

#include <sextant/cuda/ptx/early_launch.cuh>
#include <sextant/cuda/ptx/register_budget.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>
#include <sextant/cuda/second_order/square_sums.cuh>
#include <sextant/cuda/second_order/state_sums.cuh>

namespace sextant::gpu::second {

/// A warpgroup that walks one segment of one head with one pair of blocks of keys, which may be a folded one.
///   S_mn += (k_m w) k_n u: the first factor, k_m w of one warp's m times 16 n, is made in registers from K^T.
template <class Token> struct state_walk : state_sums {
  using state_sums::state_sums;

  /// Sixteen tokens: this warp's 16 numbers n of a block of keys, and its four m of a block, k_m w; of a folded pair of two blocks.
  template <int Blocks> struct fragments {
    std::uint32_t columns[std::size_t(Blocks)][4];
    uint4 rows[std::size_t(Blocks)][2];

    __device__ __forceinline__ void load_columns(const std::uint32_t (&at)[std::size_t(Blocks)], int step) {
#pragma unroll
      for (int b = 0; b < Blocks; ++b) ptx::load_transposed(columns[b], at[b] + 2048 * step);
    }
    __device__ __forceinline__ void load_rows(const uint4* at, int step) {
#pragma unroll
      for (int b = 0; b < 2 * Blocks; ++b) rows[b / 2][b % 2] = at[step * 64 + b / 2 * 32 + b % 2];
    }
    __device__ __forceinline__ std::uint32_t row(int b, int half, int i) const {
      const uint4 x = rows[b][half];
      return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w;
    }
    /// Register r of the first factor of tile i. Folded, numbers n = lane / 4 (+ 8) behind m are of the first block, those
    /// before it of the second.
    __device__ __forceinline__ std::uint32_t factor(int i, int r, const bool (&behind)[2]) const {
      if constexpr (Blocks == 1) {
        return multiply_pairs(columns[0][r], row(0, r / 2, i));
      } else {
        const bool first = i / 2 == r % 2 ? behind[i % 2] : i / 2 < r % 2;
        return multiply_pairs(first ? columns[0][r] : columns[1][r], first ? row(0, r / 2, i) : row(1, r / 2, i));
      }
    }
  };
  /// Where fragments of an item lie in shared memory.
  template <int Blocks> struct fragment_places {
    std::uint32_t columns[std::size_t(Blocks)];
    const uint4* rows;

    __device__ __forceinline__ fragment_places(const state_walk& walk, item its) {
      const std::uint32_t keys = ptx::shared_address(walk.memory.k[stage_of(its)][walk.tokens.half(0)]);
      const int row_block = second::row_block(walk.pair());
#pragma unroll
      for (int b = 0; b < Blocks; ++b)
        columns[b] = column_place(keys, Blocks == 1 ? column_block(walk.pair()) : row_block + b, walk.lane);
      rows = &walk.memory
                  .rows[its.number % row_stages][0][0][Blocks == 1 ? row_block % 2 : 0][walk.warp][walk.lane % 4][0];
    }
  };
  /// An item begins: its keys, values and rows are there. The fragments of its first 16 tokens.
  template <int Blocks> __device__ __forceinline__ void enter(item its, fragments<Blocks>& first) const {
    memory.landed[stage_of(its)].wait(its.number / state_stages);
    meet();
    if constexpr (Blocks == 1) {  // of a folded pair they have no registers from item to item
      const fragment_places<Blocks> at(*this, its);
      first.load_columns(at.columns, 0), first.load_rows(at.rows, 0);
    }
  }
  /// The tokens of an item that has been entered, 16 at a time, the products of all four tiles begun together: while they run, the
  /// factors of the next 16 tokens are made, and while the last ones do, the next item is entered, if there is one.
  template <int Blocks, int Tiles>
  __device__ __forceinline__ void add_tokens(item its, fragments<Blocks>& first, bool last) {
    const std::uint32_t to_next = tokens.reversed ? 0u - std::uint32_t(tile_bytes) : std::uint32_t(tile_bytes);
    const std::uint32_t values = ptx::shared_address(memory.v[stage_of(its)][tokens.half(0)]);
    fragment_places<Blocks> at(*this, its);
    const bool behind_row[2] = {lane / 4 > warp, lane / 4 > 4 + warp};
    fragments<Blocks> second;
    std::uint32_t factor[2][4][4];
#pragma unroll
    for (int step = 0; step < 4 * Tiles; ++step) {
      fragments<Blocks>&now = step % 2 == 0 ? first : second, &next = step % 2 == 0 ? second : first;
      if (Blocks == 2 && step == 0) now.load_columns(at.columns, 0);
      if (Blocks == 2) now.load_rows(at.rows, step);
      if (step == 3) {
#pragma unroll
        for (int b = 0; b < Blocks; ++b) at.columns[b] += to_next;
      }
      if (step + 1 < 4 * Tiles) {
        next.load_columns(at.columns, (step + 1) % 4);
        if (Blocks == 1) next.load_rows(at.rows, step + 1);
      }
      auto& made = factor[step % 2];  // which the products of the step before the last one have read
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r) made[i][r] = now.factor(i, r, behind_row);
      ptx::begin_products();
#pragma unroll
      for (int i = 0; i < 4; ++i)
        ptx::multiply<Token, true>(S[i], made[i],
                                   ptx::rows_across_sum(values + step / 4 * to_next, 2048 * (step % 4), 0), true);
      ptx::commit_products();
      if (step + 1 < 4 * Tiles) ptx::wait_products<1>();
    }
    if (!last) enter(behind(its), first);
    ptx::wait_products<0>();
    release(its.number);
  }

  template <int Blocks> __device__ __forceinline__ void walk() {
    const int behind_all = behind_chunk();
    float logs = 0.0f;  // a lane's of 32 chunks
    item i = first_item();
    fragments<Blocks> first;
    start();
    if (i.chunk < behind_all) enter(i, first);
#pragma unroll 1
    while (i.chunk < behind_all) {
      if (shows(i.chunk)) show<Token>(i.chunk);
      const int chunk = i.chunk;
      if (d.gated()) leave(left_by(chunk, logs));
#pragma unroll 1
      while (i.chunk == chunk) {
        const item next = behind(i);
        const bool last = next.chunk == behind_all;
        if (tiles_of(i) == 2) add_tokens<Blocks, 2>(i, first, last);
        else add_tokens<Blocks, 1>(i, first, last);
        i = next;
      }
    }
    finish<Token>();
  }
  __device__ __forceinline__ void run() {
    if (pair() % 4 == 1) walk<2>();
    else walk<1>();
  }
};

/// What enters the chunks of a segment, and what the segment leaves: blocks of 4 quarters of a state, by slice, segment, head.
template <class Token, bool Admits>
__global__ void __launch_bounds__(state_threads + 128, 1)
    states_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ token_maps maps,
                  const __grid_constant__ division d) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char shared[];
  ptx::let_next_launch_begin();
  auto& memory = *reinterpret_cast<state_memory*>(shared + (-ptx::shared_address(shared) & 1023u));
  if (threadIdx.x == 0) {
    for (int i = 0; i < state_stages; ++i) memory.landed[i].init(1), memory.released[i].init(state_threads / 32 + 4);
    ptx::publish_mbarriers();
  }
  if (!d.gated())
    for (int i = int(threadIdx.x); i < int(sizeof(memory.gates) / sizeof(float)); i += state_threads + 128)
      (&memory.gates[0][0][0][0])[i] = 1.0f;
  ptx::wait_for_launch_before();
  __syncthreads();
  if (threadIdx.x < state_threads) {
    ptx::grow_registers<208>();
    state_walk<Token>(c, maps, d, memory, int(blockIdx.x)).run();
  } else {
    ptx::shrink_registers<88>();
    square_sums<Token, Admits>(c, maps, d, memory, int(blockIdx.x)).run();
  }
#else
  (void)c, (void)maps, (void)d;
#endif
}

}  // namespace sextant::gpu::second
