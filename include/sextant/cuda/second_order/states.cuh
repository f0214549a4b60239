// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the states: sums over tokens of the products of two keys and a value.
#pragma once

#include <sextant/cuda/ptx/register_budget.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>
#include <sextant/cuda/second_order/state_sums.cuh>

namespace sextant::gpu::second {

/// A warpgroup that walks one segment of one head.
///   S_mn += (k_m w) k_n u: the first factor, k_m w of one warp's m times 16 n, is made in registers from K^T.
template <class Token, bool Admits> struct state_walk : state_sums {
  using state_sums::state_sums;

  /// Of this lane's two tokens among eight.
  __device__ __forceinline__ float2 factors(const float* of_tokens, int t) const {
    return *reinterpret_cast<const float2*>(of_tokens + t + 2 * (lane % 4));
  }
  /// Where this lane's rows of the blocks of keys lie in a tile that the factors of 16 tokens are made of: blocks 2 group,
  /// 2 group + 1, those of the last two pairs, and those of the squares' rows and of the normaliser's columns.
  struct key_places {
    std::uint32_t columns[4], rows, quarter;
  };
  __device__ __forceinline__ key_places places_in(std::uint32_t keys) const {
    key_places at;
#pragma unroll
    for (int i = 0; i < 4; ++i) at.columns[i] = column_place(keys, i < 2 ? 2 * group + i : column_block(pair(i)), lane);
    at.rows = column_place(keys, warp, lane), at.quarter = column_place(keys, quarter, lane);
    return at;
  }
  static __device__ __forceinline__ void load_keys(std::uint32_t (&columns)[4][4], const key_places& at, int step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) ptx::load_transposed(columns[i], at.columns[i] + 2048 * step);
  }
  /// Begins the products of 16 tokens, the four pairs one after the other: a pair's factor takes the place of the one before
  /// once that is read, while the other three pairs' products run. rows: this warp's k_m w of the first two blocks.
  __device__ __forceinline__ void begin_products(const std::uint32_t (&columns)[4][4],
                                                 const std::uint32_t (&rows)[2][2], std::uint32_t (&factor)[4][4],
                                                 std::uint32_t values, int step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (step > 0) ptx::wait_products<3>();
#pragma unroll
      for (int r = 0; r < 4; ++r)
        if (i ==
            1) {  // folded: number n = lane / 4 (+ 8) of the first block's half behind m, of the second's before it
          const std::uint32_t behind = lane / 4 + r % 2 * 8 > row() ? ~0u : 0u;
          factor[i][r] = multiply_pairs((columns[0][r] & behind) | (columns[1][r] & ~behind),
                                        (rows[0][r / 2] & behind) | (rows[1][r / 2] & ~behind));
        } else {
          factor[i][r] = multiply_pairs(columns[i == 0 ? 1 : i][r], rows[i == 3][r / 2]);
        }
      ptx::begin_products();
      ptx::multiply<Token, true>(S[i], factor[i], ptx::rows_across_sum(values, 2048 * step, 0), true);
      ptx::commit_products();
    }
  }
  /// The tokens of one or two tiles of a stage, 16 at a time. A load of fragments is answered late, and so is a lane by its
  /// neighbour: each is asked for before work that does not need it.
  __device__ __forceinline__ void add_tokens(int stage, int tiles) {
    constexpr std::uint32_t from_keys_to_values = state_stages * 2 * tile_bytes;
    std::uint32_t values = ptx::shared_address(memory.v[stage][tokens.half(0)]);
    const std::uint32_t to_next = tokens.reversed ? 0u - std::uint32_t(tile_bytes) : std::uint32_t(tile_bytes);
    const std::uint32_t is_upper = row() < 8 ? ~0u : 0u;
    const int row_lane = row() % 8 * 4 + lane % 4;
    key_places at = places_in(ptx::shared_address(memory.k[stage][tokens.half(0)]));
    std::uint32_t columns[4][4];
    load_keys(columns, at, 0);
#pragma unroll 1
    for (int i = 0; i < tiles; ++i) {
      const float* const weights = memory.gates[stage][i][0];
      std::uint32_t factor[4][4];
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        std::uint32_t first[4], second[4], third[4], rows[2][2];
        float2 its[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) its[half] = factors(weights + (Admits ? tile : 0), 16 * step + 8 * half);
        ptx::load_transposed(first, at.rows + 2048 * step);
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
          for (int b = 0; b < 2; ++b)
            rows[b][half] =
                __shfl_sync(~0u, (columns[b][2 * half] & is_upper) | (columns[b][2 * half + 1] & ~is_upper), row_lane);
        ptx::load_transposed(second, at.quarter + from_keys_to_values + 2048 * step);
        if constexpr (!Admits) ptx::load_transposed(third, at.quarter + 2048 * step);
        std::uint32_t weighted[4];
#pragma unroll
        for (int r = 0; r < 4; ++r) weighted[r] = multiply_pair<Token>(first[r], its[r / 2]);
#pragma unroll
        for (int r = 0; r < 4; ++r) rows[r / 2][r % 2] = multiply_pair<Token>(rows[r / 2][r % 2], its[r % 2]);
        begin_products(columns, rows, factor, values, step);
        if (step == 3) {
#pragma unroll
          for (int b = 0; b < 4; ++b) at.columns[b] += to_next;
        }
        if (step < 3 || i + 1 < tiles) load_keys(columns, at, (step + 1) % 4);
        // The squares, and the normaliser: 16 keys by 8 channels or keys.
        if constexpr (Admits) ptx::load_transposed(third, at.quarter + 2048 * step);
        std::uint32_t square[4];
#pragma unroll
        for (int r = 0; r < 4; ++r) {
          square[r] = multiply_pairs(first[r], weighted[r]);
          if constexpr (Admits) weighted[r] = multiply_pair<Token>(first[r], factors(weights, 16 * step + r / 2 * 8));
        }
        ptx::multiply_add<Token>(squares, square, group == 0 ? second[0] : second[1],
                                 group == 0 ? second[2] : second[3]);
        ptx::multiply_add<Token>(Z, weighted, group == 0 ? third[0] : third[1], group == 0 ? third[2] : third[3]);
      }
      ptx::wait_products<0>();
      at.rows += to_next, at.quarter += to_next, values += to_next;
    }
  }

  /// Copies up to 128 tokens of a chunk at a time, each as soon as its stage is free. One thread.
  __device__ __forceinline__ void load_all() const {
    const int of_gates = d.gated() ? (Admits ? 2 : 1) * tile * int(sizeof(float)) : 0;
    const int first = segment * d.segment_chunks, behind = d.last_chunk(segment);
    int number = 0;
    for (int chunk = first; chunk < behind; ++chunk)
      for (int t = d.begin(chunk); t < d.end(chunk); t += 2 * tile, ++number) {
        const int stage = number % state_stages, tiles = t + tile < d.end(chunk) ? 2 : 1;
        if (number >= state_stages) memory.released[stage].wait(number / state_stages - 1);
        ptx::mbarrier& landed = memory.landed[stage];
        landed.arrive_and_expect(4 * tile_bytes + tiles * of_gates);
        tokens.load_two_tiles(ptx::shared_address(memory.k[stage]), maps.k, landed, t, tokens.key_head, 0);
        tokens.load_two_tiles(ptx::shared_address(memory.v[stage]), maps.v, landed, t, tokens.head, tile * slice);
        for (int i = 0; i < tiles && of_gates > 0; ++i)
          ptx::load_bytes(ptx::shared_address(memory.gates[stage][i]), d.decay(head, t / tile + i), of_gates, landed);
      }
  }
  /// One thread, before the block meets.
  __device__ __forceinline__ void init_barriers() const {
    for (int i = 0; i < state_stages; ++i) memory.landed[i].init(1), memory.released[i].init(state_threads / 32);
    ptx::publish_mbarriers();
  }
  __device__ void run() {
    const int first = segment * d.segment_chunks, behind = d.last_chunk(segment);
    start();
    int number = 0;
    for (int chunk = first; chunk < behind; ++chunk) {
      if (d.segments == 1 ? chunk > 0 || d.enters : chunk > first) show<Token>(chunk);
      const int its_end = d.end(chunk);
      if (d.gated()) leave(ptx::exp2_approx(d.log_of(head, chunk)));
#pragma unroll 1
      for (int t = d.begin(chunk); t < its_end; t += 2 * tile, ++number) {
        const int stage = number % state_stages;
        memory.landed[stage].wait(number / state_stages);
        add_tokens(stage, t + tile < its_end ? 2 : 1);
        __syncwarp();
        if (lane == 0) memory.released[stage].arrive();
      }
    }
    finish<Token>();
  }
};

/// What enters the chunks of a segment, and what the segment leaves: blocks of 4 quarters of a state, by slice, segment, head.
/// The last warpgroup copies.
template <class Token, bool Admits>
__global__ void __launch_bounds__(state_threads + 128, 1)
    states_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ token_maps maps,
                  const __grid_constant__ division d) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char shared[];
  auto& memory = *reinterpret_cast<state_memory*>(shared + (-ptx::shared_address(shared) & 1023u));
  state_walk<Token, Admits> its(c, maps, d, memory, int(blockIdx.x));
  if (threadIdx.x == 0) its.init_barriers();
  if (!d.gated())
    for (int i = int(threadIdx.x); i < int(sizeof(memory.gates) / sizeof(float)); i += state_threads + 128)
      (&memory.gates[0][0][0][0])[i] = 1.0f;
  __syncthreads();
  if (threadIdx.x < state_threads) {
    ptx::grow_registers<240>();
    its.run();
  } else {
    ptx::shrink_registers<24>();
    if (threadIdx.x == state_threads) its.load_all();
  }
#else
  (void)c, (void)maps, (void)d;
#endif
}

}  // namespace sextant::gpu::second
