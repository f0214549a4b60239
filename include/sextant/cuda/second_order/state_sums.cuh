// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the states: products of two different keys in registers, and their ways to and from memory.
#pragma once

#include <sextant/cuda/second_order/state_block.cuh>

namespace sextant::gpu::second {

/// What a warpgroup has of a quarter of a state, in registers: the four tiles of pair 2 `quarter` + `group`; a warp has of each
/// the 16 products of one m.
struct state_sums : state_block {
  float S[4][32];

  using state_block::state_block;

  // Sum r of four of group j of eight channels of tile i is of these numbers:
  __device__ __forceinline__ int pair() const { return 2 * quarter + group; }
  __device__ __forceinline__ int row(int i) const { return 4 * i + warp; }
  __device__ __forceinline__ int channel(int j, int r) const { return 8 * j + 2 * (lane % 4) + r % 2; }

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
      visit(keys_of(pair(), row(i), at / 8), rows() + at / 8 * state_memory::stride + at % 8 * 8,
            64 * slice + at % 8 * 8);
  }

  __device__ __forceinline__ void start() {
    const call_state from{c, tokens.batch, tokens.head};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int r = 0; r < 32; ++r) S[i][r] = 0.0f;
      if (d.segments > 1 || !c.S_in) continue;
      each_eight(i, [&](two_keys its, float* to, int v) {
        for (int e = 0; e < 8; ++e) to[e] = from.load(c.S_in, its.low, its.high, v + e);
      });
      take_up(S[i]);
    }
  }
  /// What the queries of chunk `chunk` ask: rounded, twice what there is, as each product counts twice. The copy engine stores
  /// it while products go on; what it stored before has to have left this warp's memory.
  template <class Token> __device__ __forceinline__ void show(int chunk) const {
    std::uint16_t* const to = d.state(head, chunk, slice) + 4 * pair() * tile_numbers + 16 * tile * warp;
    std::uint16_t(&shown)[4][16 * tile] = memory.of_warp[4 * group + warp].shown;
    if (lane == 0) ptx::wait_stores_read<0>();
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto rounded = [&](int r) {  // sums r and r + 1
        const bool is_nothing = pair() % 4 == 1 && row(i) == lane / 4 + r / 2 % 2 * 8;
        return is_nothing ? 0u : detail::round_pair<Token>(2.0f * S[i][r], 2.0f * S[i][r + 1]);
      };
#pragma unroll
      for (int j = 0; j < 8; j += 2)
        ptx::store_matrices(wgmma::piece_of(ptx::shared_address(shown[i]), lane / 8 % 2 * 8 + lane % 8, j + lane / 16),
                            rounded(4 * j), rounded(4 * j + 2), rounded(4 * j + 4), rounded(4 * j + 6));
    }
    ptx::publish_to_async_proxy();
    __syncwarp();
    if (lane != 0) return;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      ptx::store_bytes(to + i * tile_numbers, ptx::shared_address(shown[i]), sizeof(shown[i]));
    ptx::commit_stores();
  }
  /// The segment's sums for those behind it, or the call's final state.
  template <class Token> __device__ __forceinline__ void finish() const {
    if (!hands_over() && !ends_call()) show<Token>(d.walked);
    if (lane == 0) ptx::wait_stores_read<0>();
    __syncwarp();
    const call_state to{c, tokens.batch, tokens.head};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (hands_over()) {
        float* const its = d.sum(head, segment, slice) + (4 * pair() + i) * tile_numbers + 16 * tile * warp;
#pragma unroll
        for (int r = 0; r < 32; r += 2)
          *reinterpret_cast<float2*>(its + (lane / 4 + r % 4 / 2 * 8) * tile + channel(r / 4, r % 4)) =
              make_float2(S[i][r], S[i][r + 1]);
      } else if (ends_call()) {
        put_down(S[i]);
        each_eight(i, [&](two_keys its, const float* from, int v) {
          for (int e = 0; e < 8; ++e) to.store(c.S_out, its.low, its.high, v + e, from[e]);
        });
      }
    }
  }
  __device__ __forceinline__ void leave(float left) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int r = 0; r < 32; ++r) S[i][r] *= left;
  }
};

}  // namespace sextant::gpu::second
