// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, segments of long sequences: the states they hand over, and what of them is forgotten.
#pragma once

#include <sextant/cuda/keyed_wgmma/decays.cuh>
#include <sextant/cuda/ptx/convert.cuh>

namespace sextant::gpu::wgmma {

// Sequences of few heads would leave most of a GPU idle while each is walked through from end to end. So they are cut into
// segments: keyed_kernel() finds what every segment but the last makes of zeros, reading keys, values and decays;
// pass_on_keys_kernel() adds these up from segment to segment; keyed_kernel() walks through all segments at once. Where they
// are few, each adds up itself what those before it hand over, and one launch is less.

/// So few.
inline constexpr int most_added_up = 8;

/// How many segments: as many as the multiprocessors have room for, of 256 tokens or more, of few segments 128. Keys, values and
/// decays are read once more, which two segments are not worth.
template <class Plan> int keyed_segments_for(int chunks, int blocks, int multiprocessors) {
  constexpr int fewest = 128 / Plan::rows;
  if (chunks < 4 * fewest || blocks < 1) return 1;
  const int room = multiprocessors / blocks, short_ones = chunks / fewest, long_ones = chunks / (2 * fewest);
  const int possible = short_ones < most_added_up ? short_ones : long_ones < most_added_up ? most_added_up : long_ones;
  const int wanted = room < possible ? room : possible;
  if (wanted < 3) return 1;
  const int of_each = (chunks + wanted - 1) / wanted;  // of all but the last
  return (chunks + of_each - 1) / of_each;
}

/// The states that the segments of a sequence begin with, in memory of the device. Record 0 is the initial state: a copy,
/// since the last segment may write the final one in its place. Record j is at first what segment j - 1 makes of zeros,
/// and once states are passed on, what comes of all before it. Numbers lie as warpgroups hold them, so that neighbouring
/// threads have neighbours; behind them is what is left in record j of each key of record j - 1, and behind that the
/// normaliser's z.
template <int Keys, bool Normalised = false> struct keyed_states {
  static constexpr int slices = 2, slice_numbers = 64 * Keys, state_numbers = slices * slice_numbers;
  static constexpr int handed_numbers = state_numbers + (Normalised ? Keys : 0);  ///< of the state and z
  static constexpr int record_numbers = handed_numbers + Keys;

  float* handed;
  int segments, number;  // number: of the block among those of its segment

  /// Floats for all blocks.
  static std::size_t count(int segments, int blocks) {
    return segments == 1 ? 0 : std::size_t(blocks) * std::size_t(segments) * std::size_t(record_numbers);
  }
  __device__ float* record(int j) const { return handed + (std::int64_t(number) * segments + j) * record_numbers; }
  __device__ float* left(int j) const { return record(j) + state_numbers; }
  __device__ float* sums(int j) const { return left(j) + Keys; }
  /// Where number i of the state and z lies in a record, and its key.
  static __device__ int place_of(int i) { return Normalised && i >= state_numbers ? i + Keys : i; }
  static __device__ int key_of(int i) {
    if (Normalised && i >= state_numbers) return i - state_numbers;
    const int held = i % slice_numbers / 128, lane = i % 32;
    return held / 4 * 8 + 2 * (lane % 4) + held % 2;
  }
  // Keys and channels that are not there are zeros, here as in registers.
  __device__ __forceinline__ void store(const float (&S)[std::size_t(Keys / 2)], int j, int slice, int thread) const {
    float* const to = record(j) + slice * slice_numbers + thread;
#pragma unroll
    for (int i = 0; i < Keys / 2; ++i) to[128 * i] = S[i];
  }
  __device__ __forceinline__ void load(float (&S)[std::size_t(Keys / 2)], int j, int slice, int thread) const {
    const float* const from = record(j) + slice * slice_numbers + thread;
#pragma unroll
    for (int i = 0; i < Keys / 2; ++i) S[i] = from[128 * i];
  }
  __device__ __forceinline__ void add(float (&S)[std::size_t(Keys / 2)], int j, int slice, int thread) const {
    const float* const from = record(j) + slice * slice_numbers + thread;
#pragma unroll
    for (int i = 0; i < Keys / 2; ++i) S[i] += from[128 * i];
  }
};

/// Those of a plan.
template <class Plan> using states_of_keys = keyed_states<Plan::keys, Plan::normalised>;

/// Passes states on: record j += left_j record (j - 1). Blocks of 256 threads, a thread for each number.
template <int Keys, bool Normalised>
__global__ void __launch_bounds__(256) pass_on_keys_kernel(float* handed, int segments) {
  constexpr int at_once = 8;
  using states = keyed_states<Keys, Normalised>;
  const states its{handed, segments, int(blockIdx.y)};
  const int number = int(blockIdx.x) * 256 + int(threadIdx.x), key = its.key_of(number), i = its.place_of(number);
  if (Normalised && number >= states::handed_numbers) return;
  float state = its.record(0)[i];
  for (int first = 1; first < segments; first += at_once) {
    float added[at_once], left[at_once];
#pragma unroll
    for (int n = 0; n < at_once; ++n) {
      const int j = first + n < segments ? first + n : first;
      added[n] = its.record(j)[i], left[n] = its.left(j)[key];
    }
#pragma unroll
    for (int n = 0; n < at_once; ++n) {
      if (first + n >= segments) break;
      state = fmaf(left[n], state, added[n]);
      its.record(first + n)[i] = state;
    }
  }
}

/// What decays by 2^keyed_forgotten is forgotten by a state in float.
inline constexpr float keyed_forgotten = -40.0f;

/// The first of a segment's chunks of which any key has anything left behind its end. All threads call it; `sums` has room for
/// 8 numbers of each key. It looks at the decays from the end on, for as long as it seems worth it: where half of the
/// chunks or more will have to be read, all are.
template <class Plan, class Call>
__device__ int first_remembered(const Call& call, const keyed_block<Plan>& block, float* sums) {
  if constexpr (!is_one_sided<typename Plan::design_type::forget_type>) return 0;
  constexpr int pairs = Plan::keys / 2, rows = 8, parts = 8;  // of a window of 64 tokens
  constexpr int chunk_parts = Plan::rows / rows, window = parts / chunk_parts;
  const int pair = int(threadIdx.x) % pairs, part = int(threadIdx.x) / pairs, key = 2 * pair;
  const bool looks = part < parts && key < call.keys;
  const key_gates<typename Plan::design_type::forget_type, Call, 2> gates(call, block.head, key);
  float2 log_left{0.0f, 0.0f};
  for (int end = block.chunks; end > 0; end -= window) {
    float2 sum{0.0f, 0.0f};
    const int c = end - 1 - part / chunk_parts;
    const int first = c < 0 ? call.tokens : block.first_token(call, c) + part % chunk_parts * rows;
#pragma unroll
    for (int i = 0; i < rows; ++i) {
      if (!looks || first + i >= call.tokens) continue;
      const auto* const at = &call.x.forget(block.batch, first + i, block.head, key);
      sum.x += gates.part(ptx::as_float(at[0]), 0), sum.y += gates.part(ptx::as_float(at[1]), 1);
    }
    if (part < parts) reinterpret_cast<float2*>(sums)[part * pairs + pair] = sum;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < parts; ++i) {
      const float2 its = reinterpret_cast<const float2*>(sums)[i * pairs + pair];
      log_left.x += gates.unit() * its.x, log_left.y += gates.unit() * its.y;
    }
    const float slowest = key < call.keys ? (log_left.x > log_left.y ? log_left.x : log_left.y) : -1e30f;
    const bool is_none = log_left.x != log_left.x || log_left.y != log_left.y;
    const float seen = float(block.chunks - end + window);
    if (!__syncthreads_or(is_none || slowest >= keyed_forgotten)) return end - window > 0 ? end - window : 0;
    if (__syncthreads_or(is_none || slowest * float(block.chunks) >= 2.0f * keyed_forgotten * seen)) return 0;
  }
  return 0;
}

/// What a segment leaves of each key's state, by 64 threads that follow the factors of its steps.
template <class Plan, class Call>
__device__ void follow_factors(const Call& call, const keyed_block<Plan>& block, unsigned char* stages_at,
                               keyed_barriers<Plan>& barriers, int thread, bool forgets) {
  float2 left{1.0f, 1.0f};
  for (int c = 0; c < block.chunks; ++c) {
    const int at = c % keyed_stages<Plan>;
    barriers.decayed[at].wait(c / keyed_stages<Plan>);
    if (2 * thread < Plan::keys) {
#pragma unroll
      for (int i = 0; i < 2 * Plan::steps; ++i) {
        const float2 by = reinterpret_cast<const float2*>(stage_of<Plan>(stages_at, at).factors[i / 2][i % 2])[thread];
        left.x *= by.x, left.y *= by.y;
      }
    }
    barriers.finished[at].arrive();
  }
  if (2 * thread >= Plan::keys) return;
  if (forgets) left = {0.0f, 0.0f};
  const states_of_keys<Plan> states{call.handed, call.segments, block.number};
  reinterpret_cast<float2*>(states.left(block.segment + 1))[thread] = left;
}

}  // namespace sextant::gpu::wgmma
