// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernels, the states that the segments of a long sequence hand over.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>

namespace sextant::gpu::wgmma {

/// The states that the segments of a sequence begin with, in memory of the device, of one head's 64 channels. Record j is at
/// first what segment j - 1 makes of zeros, and once states are passed on, what comes of all before it; record 0 is the
/// initial state, where one is given: a copy, since the last segment may write the final one in its place. S lies key by key;
/// z, which each 64 channels have again, comes after it.
template <int Keys, bool Normalised> struct handed_states {
  static constexpr int keys = Keys, state_numbers = 64 * Keys, numbers = state_numbers + (Normalised ? Keys : 0);
  /// So few segments each add up what those before them hand over: one launch is less.
  static constexpr int most_added_up = 8;
  static constexpr int record_numbers = numbers + 32;  ///< and what is left in record j of record j - 1

  float* handed;
  int segments, number;  // number: of the 64 channels among those of all heads of all sequences

  __device__ __forceinline__ float* record(int j) const {
    return handed + (std::int64_t(number) * segments + j) * record_numbers;
  }
  __device__ __forceinline__ float& left(int j) const { return record(j)[numbers]; }
  /// The first of the records that add up to what segment `segment` begins with; the last one is number `segment`.
  __device__ __forceinline__ int first_of(int segment, bool is_given) const {
    return segments > most_added_up && segment > 0 ? segment : is_given ? 0 : 1;
  }
  __device__ __forceinline__ float* normaliser(int j) const { return record(j) + state_numbers; }
  /// Floats for all of `count` times 64 channels.
  static std::size_t floats(int its_segments, std::size_t count) {
    return its_segments == 1 ? 0 : count * std::size_t(its_segments) * std::size_t(record_numbers);
  }
};

/// Those of a plan.
template <class Plan> using states_of = handed_states<Plan::keys, Plan::normalised>;
/// Those of the 64 channels from `value` on of a block's head number `h`.
template <class Plan, class Call>
__device__ __forceinline__ states_of<Plan> states_of_head(const Call& call, const chunked_block<Plan>& block, int h,
                                                          int value) {
  const int head = block.batch * call.heads + block.head_of(h);
  return {call.handed, call.segments, head * (call.values / 64) + value / 64};
}

/// Whether a call has an initial state, record 0.
template <class Plan, class Call> SEXTANT_FN bool is_given(const Call& call) {
  bool given = bool(call.x.initial_state.S);
  if constexpr (Plan::normalised) given = given || call.x.initial_state.z;
  return given;
}
/// Writes record 0 of the 64 channels from `value` on, if the block has the first segment and an initial state is given. By the
/// 128 threads of a warpgroup.
template <class Plan, class Call>
__device__ __forceinline__ void copy_initial_state(const Call& call, const chunked_block<Plan>& block, int value,
                                                   int thread) {
  if (block.segment > 0 || !is_given<Plan>(call)) return;
  float* to = states_of_head<Plan>(call, block, 0, value).record(0) + thread;
  const auto& S = call.x.initial_state.S;
  const float* from = S ? &S(block.batch, block.head, thread / 64, value + thread % 64) : nullptr;
  const index_t two_keys = 2 * S.stride(2);
#pragma unroll 8
  for (int i = 0; i < Plan::keys / 2; ++i, to += 128, from += two_keys) *to = S ? *from : 0.0f;
  if constexpr (Plan::normalised) {
    const auto& z = call.x.initial_state.z;
    if (thread < Plan::keys) *to = z ? z(block.batch, block.head, thread) : 0.0f;
  }
}

/// Passes states on: record j += left_j record (j - 1), of whose `numbers` numbers the first `decaying` ones decay. Blocks of
/// 256 threads, a thread for each number; `AtOnce` records are on their way together.
template <int AtOnce>
__global__ void __launch_bounds__(256)
    pass_on_kernel(float* handed, bool given, int segments, int numbers, int record_numbers, int decaying) {
  const int i = int(blockIdx.x) * 256 + int(threadIdx.x);
  if (i >= numbers) return;
  float* const its = handed + std::int64_t(blockIdx.y) * segments * record_numbers;
  const auto record = [&](int j) { return its + j * record_numbers; };
  float state = given ? its[i] : 0.0f;
  for (int first = 1; first < segments; first += AtOnce) {
    float added[AtOnce], left[AtOnce];
#pragma unroll
    for (int n = 0; n < AtOnce; ++n) {
      const float* const from = record(first + n < segments ? first + n : first);
      added[n] = from[i], left[n] = i < decaying ? from[numbers] : 1.0f;
    }
#pragma unroll
    for (int n = 0; n < AtOnce; ++n) {
      if (first + n >= segments) break;
      state = fmaf(left[n], state, added[n]);
      record(first + n)[i] = state;
    }
  }
}

}  // namespace sextant::gpu::wgmma
