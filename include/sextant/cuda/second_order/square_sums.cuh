// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the states: sums over tokens of squares of keys, and the normaliser's, beside the products of two keys.
#pragma once

#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>
#include <sextant/cuda/second_order/state_block.cuh>

namespace sextant::gpu::second {

/// The warpgroup of a block that copies, makes rows of weighted keys, and has 16 channels of the squares and 16 columns of the
/// normaliser.
template <class Token, bool Admits> struct square_sums : state_block {
  float squares[8], Z[8];

  using state_block::state_block;

  // Sum r of four of group j of eight columns is of this key, and of this channel or key.
  __device__ __forceinline__ int key(int r) const { return 16 * warp + lane / 4 + r / 2 * 8; }
  __device__ __forceinline__ int column(int j, int r) const { return 16 * quarter + 8 * j + 2 * (lane % 4) + r % 2; }
  __device__ __forceinline__ bool has_normaliser() const { return c.normalises() && slice == 0; }

  __device__ __forceinline__ void start() {
    const call_state from{c, tokens.batch, tokens.head};
    const bool given = d.segments == 1;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int j = i / 4, r = i % 4;
      squares[i] = given && c.S_in ? from.load(c.S_in, key(r), key(r), 64 * slice + column(j, r)) : 0.0f;
      Z[i] = given && has_normaliser() ? from.load(c.z_in, key(r), column(j, r), 0) : 0.0f;
    }
  }
  __device__ __forceinline__ void show(int chunk) const {
    std::uint16_t* const to = d.state(head, chunk, slice);
    // The lane is read again, lest all places that come of it stay in registers while tokens are added up.
    int again;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(again));
    const int first_key = 16 * warp + again / 4, first_column = 16 * quarter + 2 * (again % 4);
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
      const int m = first_key + i % 4 / 2 * 8, n = first_column + i / 4 * 8;
      const auto put = [&](int which, float x, float next) {
        *reinterpret_cast<std::uint32_t*>(to + which * tile_numbers + unsigned(place_in_tile(m, n))) =
            detail::round_pair<Token>(x, next);
      };
      put(squares_tile, squares[i], squares[i + 1]);
      if (!has_normaliser()) continue;
      const float by = times_counted(m, n), next = times_counted(m, n + 1);
      put(normaliser_tile, by == 0.0f ? 0.0f : Z[i] * by, next == 0.0f ? 0.0f : Z[i + 1] * next);
    }
  }
  __device__ __forceinline__ void finish() const {
    if (!hands_over() && !ends_call()) show(d.walked);
    const call_state to{c, tokens.batch, tokens.head};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int j = i / 4, r = i % 4, its = key(r) * tile + column(j, r);
      if (hands_over()) {
        float* const sums = d.sum(head, segment, slice);
        sums[squares_tile * tile_numbers + its] = squares[i];
        if (has_normaliser()) sums[normaliser_tile * tile_numbers + its] = Z[i];
      } else if (ends_call()) {
        to.store(c.S_out, key(r), key(r), 64 * slice + column(j, r), squares[i]);
        if (has_normaliser()) to.store(c.z_out, key(r), column(j, r), 0, Z[i]);
      }
    }
  }

  /// Begins to copy an item: one thread of each warp has a part.
  __device__ __forceinline__ void load(item i) const {
    const int of_gates = d.gated() ? (Admits ? 2 : 1) * tile * int(sizeof(float)) : 0;
    const int stage = stage_of(i), tiles = tiles_of(i);
    ptx::mbarrier& landed = memory.landed[stage];
    if (warp == 0) {
      landed.arrive_and_expect(4 * tile_bytes + tiles * of_gates);
      tokens.load_two_tiles(ptx::shared_address(memory.k[stage]), maps.k, landed, i.t, tokens.key_head, 0);
    } else if (warp == 1) {
      tokens.load_two_tiles(ptx::shared_address(memory.v[stage]), maps.v, landed, i.t, tokens.head, tile * slice);
    } else if (const int j = warp - 2; j < tiles && of_gates > 0) {
      ptx::load_bytes(ptx::shared_address(memory.gates[stage][j]), d.decay(head, i.t / tile + j), of_gates, landed);
    }
  }
  /// The rows k_m w of an item, m of the two blocks that this quarter's pairs take them from: a thread has 16 of two tokens.
  __device__ __forceinline__ void make_rows(item i) const {
    const int thread = 32 * warp + lane, b = thread / 64, which = thread / 32 % 2, t = 2 * lane;
    if (which >= tiles_of(i)) return;
    const uint4* const keys = reinterpret_cast<const uint4*>(memory.k[stage_of(i)][tokens.half(which)]);
    const float2 w = *reinterpret_cast<const float2*>(memory.gates[stage_of(i)][which][Admits] + t);
    const int piece = 2 * (quarter / 2 * 2 + b);
    std::uint32_t made[16];
#pragma unroll
    for (int p = 0; p < 2; ++p) {
      const uint4 x = keys[t * 8 + ((piece + p) ^ t % 8)], next = keys[(t + 1) * 8 + ((piece + p) ^ (t + 1) % 8)];
      const std::uint32_t words[4] = {x.x, x.y, x.z, x.w}, next_words[4] = {next.x, next.y, next.z, next.w};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float low, high, next_low, next_high;
        detail::widen_pair<Token>(words[e], low, high);
        detail::widen_pair<Token>(next_words[e], next_low, next_high);
        made[8 * p + 2 * e] = detail::round_pair<Token>(low * w.x, next_low * w.y);
        made[8 * p + 2 * e + 1] = detail::round_pair<Token>(high * w.x, next_high * w.y);
      }
    }
    auto& to = memory.rows[i.number % row_stages][which][lane / 8][b];
#pragma unroll
    for (int m = 0; m < 4; ++m) to[m][lane % 4][lane / 4 % 2] = {made[m], made[m + 4], made[m + 8], made[m + 12]};
  }
  /// The first factors of 32 tokens: squares of keys, and keys.
  struct fragments {
    std::uint32_t square[2][4], weighted[2][4];
  };
  /// Begins to sum half a tile of tokens of an item, 64 keys by 16 channels or keys, with factors that no products read.
  __device__ __forceinline__ void add_half(fragments& its, item i, int which, int half) {
    const std::uint32_t keys = ptx::shared_address(memory.k[stage_of(i)][tokens.half(which)]);
    const std::uint32_t values = ptx::shared_address(memory.v[stage_of(i)][tokens.half(which)]);
    const std::uint32_t its_keys = column_place(keys, warp, lane) + 4096 * half;
    const auto weight = [&](bool admitted, int t) {
      return *reinterpret_cast<const float2*>(memory.gates[stage_of(i)][which][admitted] + t + 2 * (lane % 4));
    };
    std::uint32_t x[2][4];
#pragma unroll
    for (int step = 0; step < 2; ++step) ptx::load_transposed(x[step], its_keys + 2048 * step);
#pragma unroll
    for (int step = 0; step < 2; ++step)
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const int t = 32 * half + 16 * step + r / 2 * 8;
        std::uint32_t& weighted = its.weighted[step][r];
        weighted = multiply_pair<Token>(x[step][r], weight(Admits, t));
        its.square[step][r] = multiply_pairs(x[step][r], weighted);
        if constexpr (Admits) weighted = multiply_pair<Token>(x[step][r], weight(false, t));
      }
    ptx::begin_products();
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const int row = 2048 * (2 * half + step);
      ptx::multiply_few<Token>(squares, its.square[step], ptx::rows_across_sum(values, row + 32 * quarter, 0), true);
      ptx::multiply_few<Token>(Z, its.weighted[step], ptx::rows_across_sum(keys, row + 32 * quarter, 0), true);
    }
    ptx::commit_products();
  }
  __device__ __forceinline__ void leave(float left) {
#pragma unroll
    for (int i = 0; i < 8; ++i) squares[i] *= left, Z[i] *= left;
  }

  /// Sums of an item's tokens; while products of half a tile run, the next half's factors are made.
  __device__ __forceinline__ void add_tokens(item i) {
#pragma unroll 1
    for (int which = 0, tiles = tiles_of(i); which < tiles; ++which) {
      fragments first, second;
      add_half(first, i, which, 0);
      add_half(second, i, which, 1);
      ptx::wait_products<0>();
    }
  }

  /// Rows are made one item ahead of the products of keys, copies begin two items ahead of that.
  __device__ void run() {
    const int behind_all = behind_chunk();
    float logs = 0.0f;  // a lane's of 32 chunks
    item i = first_item(), ahead = i;
    const auto copy_next = [&] {
      if (lane == 0 && ahead.chunk < behind_all) load(ahead);
      ahead = behind(ahead);
    };
    copy_next(), copy_next();
    start();
    for (; i.chunk < behind_all; i = behind(i)) {
      if (i.number >= 2) wait_released(i.number - 2);
      copy_next();
      memory.landed[stage_of(i)].wait(i.number / state_stages);
      make_rows(i);
      meet();
      if (i.t == d.begin(i.chunk)) {
        if (shows(i.chunk)) show(i.chunk);
        if (d.gated()) leave(left_by(i.chunk, logs));
      }
      add_tokens(i);
      release(i.number);
    }
    finish();
  }
};

}  // namespace sextant::gpu::second
