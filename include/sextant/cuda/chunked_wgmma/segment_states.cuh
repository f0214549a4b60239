// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernels, the states that the segments of a long sequence hand over.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>

namespace sextant::gpu::wgmma {

/// The states that the segments of a sequence begin with, in memory of the device, of one head's 64 channels. Record j is at
/// first what segment j - 1 makes of zeros, and once states are passed on, what comes of all before it; record 0 is the
/// initial state: a copy, since the last segment may write the final one in its place. S lies key by key; z, which each 64
/// channels have again, comes after it.
template <int Keys, bool Normalised> struct handed_states {
  static constexpr int keys = Keys, state_numbers = 64 * Keys, numbers = state_numbers + (Normalised ? Keys : 0);
  static constexpr int record_numbers = numbers + 32;  ///< and what is left in record j of record j - 1

  float* handed;
  int segments, number;  // number: of the 64 channels among those of all heads of all sequences

  __device__ __forceinline__ float* record(int j) const {
    return handed + (std::int64_t(number) * segments + j) * record_numbers;
  }
  __device__ __forceinline__ float& left(int j) const { return record(j)[numbers]; }
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

/// Passes states on: record j += left_j record (j - 1), where a normaliser `Decays` too. Blocks of 256 threads, a thread
/// for each number.
template <int Keys, bool Normalised, bool Decays>
__global__ void __launch_bounds__(256)
    pass_on_kernel(float* handed, int segments, bhkv<const float> S, bhk<const float> z, int slices_of_head) {
  using states = handed_states<Keys, Normalised>;
  constexpr int at_once = 8;
  const states its{handed, segments, int(blockIdx.y)};
  const int i = int(blockIdx.x) * 256 + int(threadIdx.x);
  if (i >= states::numbers) return;
  const bool is_z = i >= states::state_numbers, stays = !Decays && is_z;
  const int head = its.number / slices_of_head, heads = is_z ? int(z.extent(1)) : int(S.extent(1));
  float state = 0.0f;
  if (is_z && z) state = z(head / heads, head % heads, i - states::state_numbers);
  if (!is_z && S) state = S(head / heads, head % heads, i / 64, its.number % slices_of_head * 64 + i % 64);
  its.record(0)[i] = state;
  for (int first = 1; first < segments; first += at_once) {
    float added[at_once], left[at_once];
#pragma unroll
    for (int n = 0; n < at_once; ++n) {
      const int j = first + n < segments ? first + n : first;
      added[n] = its.record(j)[i], left[n] = stays ? 1.0f : its.left(j);
    }
#pragma unroll
    for (int n = 0; n < at_once; ++n) {
      if (first + n >= segments) break;
      state = fmaf(left[n], state, added[n]);
      its.record(first + n)[i] = state;
    }
  }
}

}  // namespace sextant::gpu::wgmma
