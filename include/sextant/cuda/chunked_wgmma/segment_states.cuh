// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernels, the states that the segments of a long sequence hand over.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>

namespace sextant::gpu::wgmma {

/// The states that the segments of a sequence begin with, in memory of the device. Record 0 is the initial state: a copy,
/// since the last segment may write the final one in its place. Record j is at first what segment j - 1 makes of zeros,
/// and once states are passed on, what comes of all before it. Numbers lie as warpgroups hold them, so that neighbouring
/// threads have neighbours.
template <int SliceNumbers, int Slices, int NormaliserNumbers> struct handed_states {
  static constexpr int slice_numbers = SliceNumbers, slices = Slices, normaliser_numbers = NormaliserNumbers;
  static constexpr int state_numbers = Slices * SliceNumbers, numbers = state_numbers + NormaliserNumbers;
  static constexpr int record_numbers = numbers + 32;  ///< and what is left in record j of record j - 1, for each slice

  float* handed;
  int segments, number;  // number: of the block among those of its segment

  __device__ float* record(int j) const { return handed + (std::int64_t(number) * segments + j) * record_numbers; }
  __device__ float& left(int j, int slice) const { return record(j)[numbers + slice]; }
  __device__ float* normaliser(int j) const { return record(j) + state_numbers; }  // of one head after the other
};

/// Those of a plan.
template <class Plan>
struct segment_states : handed_states<64 * Plan::keys, Plan::slices, Plan::normalised ? Plan::heads * Plan::keys : 0> {
  using base = handed_states<64 * Plan::keys, Plan::slices, Plan::normalised ? Plan::heads * Plan::keys : 0>;

  __device__ segment_states(float* its_handed, int its_segments, int its_number)
      : base{its_handed, its_segments, its_number} {}

  /// Floats for all blocks.
  static std::size_t count(int segments, int blocks) {
    return segments == 1 ? 0 : std::size_t(blocks) * std::size_t(segments) * std::size_t(base::record_numbers);
  }
  __device__ __forceinline__ void store(const float (&S)[Plan::keys / 2], int j, int slice, int thread) const {
    float* const to = this->record(j) + slice * base::slice_numbers + thread;
#pragma unroll
    for (int i = 0; i < Plan::keys / 2; ++i) to[128 * i] = S[i];
  }
  __device__ __forceinline__ void load(float (&S)[Plan::keys / 2], int j, int slice, int thread) const {
    const float* const from = this->record(j) + slice * base::slice_numbers + thread;
#pragma unroll
    for (int i = 0; i < Plan::keys / 2; ++i) S[i] = from[128 * i];
  }
};

/// Passes states on: record j += left_j record (j - 1), where a normaliser `Decays` too. Blocks of 256 threads, a thread
/// for each number.
template <int SliceNumbers, int Slices, int NormaliserNumbers, bool Decays>
__global__ void __launch_bounds__(256) pass_on_kernel(float* handed, int segments) {
  using states = handed_states<SliceNumbers, Slices, NormaliserNumbers>;
  constexpr int at_once = 8, keys = SliceNumbers / 64;
  const states its{handed, segments, int(blockIdx.y)};
  const int i = int(blockIdx.x) * 256 + int(threadIdx.x);
  if (i >= states::numbers) return;
  const bool is_z = i >= states::state_numbers;
  const int slice = is_z ? (i - states::state_numbers) / keys : i / SliceNumbers;
  float state = its.record(0)[i];
  for (int first = 1; first < segments; first += at_once) {
    float added[at_once], left[at_once];
#pragma unroll
    for (int n = 0; n < at_once; ++n) {
      const int j = first + n < segments ? first + n : first;
      added[n] = its.record(j)[i], left[n] = is_z && !Decays ? 1.0f : its.left(j, slice);
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
