// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the states: a quarter of a state in the registers of a block, and its ways to and from memory.
#pragma once

#include <sextant/cuda/second_order/tiles.cuh>

namespace sextant::gpu::second {

inline constexpr int state_threads = 256, state_stages = 4;

/// Shared memory of a block: tiles of keys and values and their gates, 128 tokens at a time, and for each warp 16 rows of each of
/// its four tiles of a state, as they go to memory, or of one tile in float.
struct state_memory {
  static constexpr int stride = tile + 8;
  std::uint16_t k[state_stages][2][tile_numbers], v[state_stages][2][tile_numbers];
  union alignas(1024) {
    std::uint16_t shown[4][16 * tile];
    float rows[16 * stride];
  } of_warp[state_threads / 32];
  float gates[state_stages][2][2][tile];  // by tile: what states are summed with, of the normaliser and of the state
  // Of a stage: its copies have landed; no warp reads them any more. Phase k of either is the k-th item's there.
  ptx::mbarrier landed[state_stages], released[state_stages];
};
inline constexpr std::size_t state_shared_bytes = sizeof(state_memory) + 1024;

/// What a warpgroup of a block has of a quarter of a state, in registers: one tile of each of the four pairs from 4 `group` on,
/// 8 channels of the squares and 8 of the normaliser's columns.
struct state_sums {
  const device_call<float>& c;
  const token_maps& maps;
  const division& d;
  state_memory& memory;
  const head_tokens tokens;
  const int head, slice, quarter, segment, group, warp, lane;
  float S[4][32], squares[4], Z[4];

  __device__ state_sums(const device_call<float>& call, const token_maps& its_maps, const division& its,
                        state_memory& its_memory, int block)
      : c{call},
        maps{its_maps},
        d{its},
        memory{its_memory},
        tokens{call, block / 4 / its.slices / its.segments / int(call.heads),
               block / 4 / its.slices / its.segments % int(call.heads)},
        head{block / 4 / its.slices / its.segments},
        slice{block / 4 % its.slices},
        quarter{block % 4},
        segment{block / 4 / its.slices % its.segments},
        group{__shfl_sync(~0u, int(threadIdx.x) / 128, 0)},
        warp{int(threadIdx.x) / 32 % 4},
        lane{int(threadIdx.x) % 32} {}

  // Sum r of four of group j of eight channels is of these numbers:
  __device__ __forceinline__ int pair(int i) const { return 4 * group + i; }
  __device__ __forceinline__ int row() const { return 4 * quarter + warp; }
  __device__ __forceinline__ int channel(int j, int r) const { return 8 * j + 2 * (lane % 4) + r % 2; }
  __device__ __forceinline__ int normaliser_column(int r) const {
    return 16 * quarter + 8 * group + 2 * (lane % 4) + r % 2;
  }
  __device__ __forceinline__ int normaliser_row(int r) const { return 16 * warp + lane / 4 + r / 2 * 8; }
  // Sum r of four of the squares is of key normaliser_row(r) and channel normaliser_column(r).
  __device__ bool has_normaliser() const { return c.normalises() && slice == 0; }

  /// The 16 rows of a tile that this warp has, between its registers and its own memory.
  __device__ __forceinline__ float* rows() const { return memory.of_warp[4 * group + warp].rows; }
  __device__ __forceinline__ float2* sums_in_rows(int r) const {
    return reinterpret_cast<float2*>(rows() + (lane / 4 + r % 4 / 2 * 8) * state_memory::stride +
                                     channel(r / 4, r % 4));
  }
  __device__ __forceinline__ void put_down(const float (&sums)[32]) const {
    __syncwarp();
#pragma unroll
    for (int r = 0; r < 32; r += 2) *sums_in_rows(r) = make_float2(sums[r], sums[r + 1]);
    __syncwarp();
  }
  __device__ __forceinline__ void take_up(float (&sums)[32]) const {
    __syncwarp();
#pragma unroll
    for (int r = 0; r < 32; r += 2) sums[r] = sums_in_rows(r)->x, sums[r + 1] = sums_in_rows(r)->y;
    __syncwarp();
  }
  /// visit(two keys, eight numbers of their product's row, the first channel) for all of tile i that this warp has in its
  /// memory, by its lanes.
  template <class Visit> __device__ __forceinline__ void each_eight(int i, const Visit& visit) const {
#pragma unroll 1
    for (int at = lane; at < 128; at += 32)
      visit(keys_of(pair(i), row(), at / 8), rows() + at / 8 * state_memory::stride + at % 8 * 8,
            64 * slice + at % 8 * 8);
  }

  __device__ __forceinline__ void start() {
    const call_state from{c, tokens.batch, tokens.head};
    const bool given = d.segments == 1;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int r = 0; r < 32; ++r) S[i][r] = 0.0f;
      if (!given || !c.S_in) continue;
      each_eight(i, [&](two_keys its, float* to, int v) {
        for (int e = 0; e < 8; ++e) to[e] = from.load(c.S_in, its.low, its.high, v + e);
      });
      take_up(S[i]);
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int m = normaliser_row(r);
      squares[r] = given && c.S_in ? from.load(c.S_in, m, m, 64 * slice + normaliser_column(r)) : 0.0f;
      Z[r] = given && has_normaliser() ? from.load(c.z_in, m, normaliser_column(r), 0) : 0.0f;
    }
  }
  /// What the queries of chunk `chunk` ask: rounded, products that count twice twice. The copy engine stores it while products
  /// go on; what it stored before has to have left this warp's memory.
  template <class Token> __device__ __forceinline__ void show(int chunk) const {
    std::uint16_t* const to = d.state(head, chunk, slice);
    std::uint16_t(&shown)[4][16 * tile] = memory.of_warp[4 * group + warp].shown;
    if (lane == 0) ptx::wait_stores_read<0>();
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto rounded = [&](int r) {  // sums r and r + 1
        const bool is_nothing = pair(i) % 4 == 1 && row() == lane / 4 + r / 2 % 2 * 8;
        return is_nothing ? 0u : detail::round_pair<Token>(2.0f * S[i][r], 2.0f * S[i][r + 1]);
      };
#pragma unroll
      for (int j = 0; j < 8; j += 2)
        ptx::store_matrices(wgmma::piece_of(ptx::shared_address(shown[i]), lane / 8 % 2 * 8 + lane % 8, j + lane / 16),
                            rounded(4 * j), rounded(4 * j + 2), rounded(4 * j + 4), rounded(4 * j + 6));
    }
    ptx::publish_to_async_proxy();
    __syncwarp();
    if (lane == 0) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        ptx::store_bytes(to + (4 * pair(i) + quarter) * tile_numbers + 16 * tile * warp, ptx::shared_address(shown[i]),
                         sizeof(shown[i]));
      ptx::commit_stores();
    }
    const auto put = [&](int which, int r, float x, float next) {
      const auto place = unsigned(place_in_tile(normaliser_row(r), normaliser_column(r)));
      *reinterpret_cast<std::uint32_t*>(to + which * tile_numbers + place) = detail::round_pair<Token>(x, next);
    };
    put(squares_tile, 0, squares[0], squares[1]), put(squares_tile, 2, squares[2], squares[3]);
    if (!has_normaliser()) return;
#pragma unroll
    for (int r = 0; r < 4; r += 2) {
      const float by = times_counted(normaliser_row(r), normaliser_column(r));
      const float next = times_counted(normaliser_row(r), normaliser_column(r + 1));
      put(normaliser_tile, r, by == 0.0f ? 0.0f : Z[r] * by, next == 0.0f ? 0.0f : Z[r + 1] * next);
    }
  }
  /// The segment's sums for those behind it, or the call's final state.
  template <class Token> __device__ __forceinline__ void finish() const {
    const bool hands_over = d.segments > 1;
    if (!hands_over && d.walked < d.chunks) show<Token>(d.walked);
    if (lane == 0) ptx::wait_stores_read<0>();
    __syncwarp();
    if (!hands_over && d.walked < d.chunks) return;
    const call_state to{c, tokens.batch, tokens.head};
    float* const sums = hands_over ? d.sum(head, segment, slice) : nullptr;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (hands_over) {
        float* const its = sums + (4 * pair(i) + quarter) * tile_numbers + 16 * tile * warp;
#pragma unroll
        for (int r = 0; r < 32; r += 2)
          *reinterpret_cast<float2*>(its + (lane / 4 + r % 4 / 2 * 8) * tile + channel(r / 4, r % 4)) =
              make_float2(S[i][r], S[i][r + 1]);
        continue;
      }
      put_down(S[i]);
      each_eight(i, [&](two_keys its, const float* from, int v) {
        for (int e = 0; e < 8; ++e) to.store(c.S_out, its.low, its.high, v + e, from[e]);
      });
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int m = normaliser_row(r), column = normaliser_column(r);
      if (hands_over) sums[squares_tile * tile_numbers + m * tile + column] = squares[r];
      else to.store(c.S_out, m, m, 64 * slice + column, squares[r]);
      if (!has_normaliser()) continue;
      if (hands_over) sums[normaliser_tile * tile_numbers + m * tile + column] = Z[r];
      else to.store(c.z_out, m, column, 0, Z[r]);
    }
  }
  __device__ __forceinline__ void leave(float left) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int r = 0; r < 32; ++r) S[i][r] *= left;
#pragma unroll
    for (int r = 0; r < 4; ++r) squares[r] *= left, Z[r] *= left;
  }
};

}  // namespace sextant::gpu::second
