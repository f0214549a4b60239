// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernels, the states that the segments of a long sequence hand over.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/stabiliser.cuh>

namespace sextant::gpu::wgmma {

/// The states that the segments of a sequence begin with, in memory of the device, of one head's 64 channels. Record j is at
/// first what segment j - 1 makes of zeros, and once states are passed on, what comes of all before it; record 0 is the
/// initial state, where one is given: a copy, since the last segment may write the final one in its place. S lies key by key;
/// z, which each 64 channels have again, comes after it.
template <int Keys, bool Normalised> struct handed_states {
  static constexpr int keys = Keys, state_numbers = 64 * Keys, numbers = state_numbers + (Normalised ? Keys : 0);
  /// So few segments each add up what those before them hand over: one launch is less.
  static constexpr int most_added_up = 8;
  /// And what is left in record j of record j - 1. With a stabiliser its logarithm, what m the segment before has come to by
  /// itself, and the m of what record j is once states are passed on.
  static constexpr int record_numbers = numbers + 32;

  float* handed;
  int segments, number;  // number: of the 64 channels among those of all heads of all sequences

  __device__ __forceinline__ float* record(int j) const {
    return handed + (std::int64_t(number) * segments + j) * record_numbers;
  }
  __device__ __forceinline__ float& left(int j) const { return record(j)[numbers]; }
  __device__ __forceinline__ float& own_stabiliser(int j) const { return record(j)[numbers + 1]; }
  __device__ __forceinline__ float& stabiliser(int j) const { return record(j)[numbers + 2]; }
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

/// m of states that are added up from segment to segment, and what a sum so far and what comes to it are multiplied by.
struct handed_stabiliser {
  float m = 0, left = 0, entered = 1;

  /// A segment whose decays' logarithms add up to log_left and that comes to an m of its own.
  __device__ __forceinline__ void add(float log_left, float own) {
    const float after = larger(log_left + m, own);
    left = ptx::exp2_approx((log_left + (m - after)) * log2_e), entered = ptx::exp2_approx((own - after) * log2_e);
    m = after;
  }
  /// Record number j of those that add up to what a segment begins with, see handed_states.
  template <class States> __device__ __forceinline__ void take(const States& states, int j) {
    if (j == 0 || states.segments > States::most_added_up) m = states.stabiliser(j), left = 0.0f, entered = 1.0f;
    else add(states.left(j), states.own_stabiliser(j));
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
  if constexpr (Plan::stabilises) given = given || call.x.initial_state.m;
  return given;
}
/// Writes record 0 of the 64 channels from `value` on, if the block has the first segment and an initial state is given. By the
/// 128 threads of a warpgroup.
template <class Plan, class Call>
__device__ __forceinline__ void copy_initial_state(const Call& call, const chunked_block<Plan>& block, int value,
                                                   int thread) {
  if (block.segment > 0 || !is_given<Plan>(call)) return;
  const states_of<Plan> states = states_of_head<Plan>(call, block, 0, value);
  if constexpr (Plan::stabilises) {
    const auto& m = call.x.initial_state.m;
    if (thread == 0) states.stabiliser(0) = m ? m(block.batch, block.head) : 0.0f;
  }
  float* to = states.record(0) + thread;
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

/// Passes states on: record j += left_j record (j - 1), of whose `numbers` numbers the first `decaying` ones decay; with a
/// stabiliser as it says. Blocks of 256 threads, a thread for each number; `AtOnce` records are on their way together.
template <int AtOnce, bool Stabilised>
__global__ void __launch_bounds__(256)
    pass_on_kernel(float* handed, bool given, int segments, int numbers, int record_numbers, int decaying) {
  const int i = int(blockIdx.x) * 256 + int(threadIdx.x);
  if (i >= numbers) return;
  float* const its = handed + std::int64_t(blockIdx.y) * segments * record_numbers;
  const auto record = [&](int j) { return its + j * record_numbers; };
  float state = given ? its[i] : 0.0f;
  [[maybe_unused]] handed_stabiliser stabilised;
  if constexpr (Stabilised) stabilised.m = given ? its[numbers + 2] : 0.0f;
  for (int first = 1; first < segments; first += AtOnce) {
    float added[AtOnce], left[AtOnce];
    [[maybe_unused]] float own[AtOnce];
#pragma unroll
    for (int n = 0; n < AtOnce; ++n) {
      const float* const from = record(first + n < segments ? first + n : first);
      added[n] = from[i], left[n] = Stabilised || i < decaying ? from[numbers] : 1.0f;
      if constexpr (Stabilised) own[n] = from[numbers + 1];
    }
#pragma unroll
    for (int n = 0; n < AtOnce; ++n) {
      if (first + n >= segments) break;
      if constexpr (Stabilised) {
        stabilised.add(left[n], own[n]);
        left[n] = stabilised.left, added[n] *= stabilised.entered;
        if (i == 0) record(first + n)[numbers + 2] = stabilised.m;
      }
      state = fmaf(left[n], state, added[n]);
      record(first + n)[i] = state;
    }
  }
}

}  // namespace sextant::gpu::wgmma
