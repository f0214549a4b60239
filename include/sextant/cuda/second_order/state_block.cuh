// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the states: a block's shared memory, and the items of tokens that it walks through.
#pragma once

#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/second_order/tiles.cuh>

namespace sextant::gpu::second {

/// Two warpgroups sum products of two different keys, a third one squares and the normaliser.
inline constexpr int state_threads = 256, state_stages = 4, row_stages = 2;

/// Shared memory of a block: tiles of keys and values and their gates, 128 tokens at a time; what their keys' rows are multiplied
/// by; and for each warp 16 rows of each of its four tiles of a state, as they go to memory, or of one tile in float.
struct state_memory {
  static constexpr int stride = tile + 8;
  std::uint16_t k[state_stages][2][tile_numbers], v[state_stages][2][tile_numbers];
  union alignas(1024) {
    std::uint16_t shown[4][16 * tile];
    float rows[16 * stride];
  } of_warp[state_threads / 32];
  float gates[state_stages][2][2][tile];  // by tile: what states are summed with, of the normaliser and of the state
  // k_m w by tile, 16 tokens, block of keys, m % 4, two tokens of eight, half of the 16 tokens: those of four m.
  uint4 rows[row_stages][2][4][2][4][4][2];
  // Of a stage: its copies have landed; no warp reads them any more. Phase k of either is the k-th item's there.
  ptx::mbarrier landed[state_stages], released[state_stages];
};
inline constexpr std::size_t state_shared_bytes = sizeof(state_memory) + 1024;

/// A block as one of its threads sees it: a quarter of a head's state, which walks through one segment of the sequence.
struct state_block {
  const device_call<float>& c;
  const token_maps& maps;
  const division& d;
  state_memory& memory;
  const head_tokens tokens;
  const int head, slice, quarter, segment, group, warp, lane;

  __device__ state_block(const device_call<float>& call, const token_maps& its_maps, const division& its,
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

  __device__ __forceinline__ int first_chunk() const { return segment * d.segment_chunks; }
  __device__ __forceinline__ int behind_chunk() const { return d.last_chunk(segment); }
  /// Whether what there is when a chunk begins goes to memory.
  __device__ __forceinline__ bool shows(int chunk) const {
    return d.segments == 1 ? chunk > 0 || d.enters : chunk > first_chunk();
  }
  /// What chunk `chunk` leaves of a state; chunks come one after the other, and 32 of them are read at once, by the lanes.
  __device__ __forceinline__ float left_by(int chunk, float& logs) const {
    const int number = (chunk - first_chunk()) % 32;
    if (number == 0) logs = d.log_of(head, min(chunk + lane, d.chunks - 1));
    return ptx::exp2_approx(__shfl_sync(~0u, logs, number));
  }
  /// Whether a segment's sums, or the call's final state, go to memory at its end.
  __device__ __forceinline__ bool hands_over() const { return d.segments > 1; }
  __device__ __forceinline__ bool ends_call() const { return d.segments == 1 && d.walked == d.chunks; }

  /// Up to 128 tokens of a chunk, the next ones behind them.
  struct item {
    int chunk, t, number;
  };
  __device__ __forceinline__ item first_item() const { return {first_chunk(), d.begin(first_chunk()), 0}; }
  __device__ __forceinline__ int tiles_of(item i) const { return i.t + tile < d.end(i.chunk) ? 2 : 1; }
  __device__ __forceinline__ bool ends_chunk(item i) const { return i.t + 2 * tile >= d.end(i.chunk); }
  __device__ __forceinline__ item behind(item i) const {
    const bool next = ends_chunk(i);
    return {i.chunk + next, next ? d.end(i.chunk) : i.t + 2 * tile, i.number + 1};
  }
  /// Of an item, in the block's memory.
  static __device__ __forceinline__ int stage_of(item i) { return i.number % state_stages; }
  __device__ __forceinline__ void wait_released(int number) const {
    memory.released[number % state_stages].wait(number / state_stages);
  }
  /// Where the block's warpgroups meet before each item: its rows of weighted keys are made, and those of the one before are
  /// read.
  static __device__ __forceinline__ void meet() { ptx::synchronise(1, state_threads + 128); }
  __device__ __forceinline__ void release(int number) const {
    __syncwarp();
    if (lane == 0) memory.released[number % state_stages].arrive();
  }
};

}  // namespace sextant::gpu::second
