// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, positions: pairs of keys turned before they decay.
#pragma once

#include <sextant/cuda/keyed_wgmma/plan.cuh>
#include <sextant/cuda/tile/rotation.cuh>

namespace sextant::gpu::wgmma {

/// Finds what turns the pairs of the block's keys; a barrier must follow. Pairs that are not there are zeros however turned.
template <class Plan, class Call> __device__ __forceinline__ void fill_turns(const Call& call, key_turns<Plan>& turns) {
  if constexpr (Plan::turns) {
    const int pair = int(threadIdx.x);
    if (pair >= Plan::keys / 2) return;
    const std::uint64_t its = turns_per_unit(call.design.position.base, pair, 0.5 * call.keys);
    turns.of_pair[pair] = its;
    turns.one[pair] = cosine_and_sine<true>(Plan::reversed ? std::uint64_t(0) - its : its);
  } else {
    (void)call, (void)turns;
  }
}

/// Cosine and sine of what turns pair `pair` of token t.
template <class Plan, class Call>
__device__ __forceinline__ float2 rotation_of(const Call& call, const key_turns<Plan>& turns, int pair, int t) {
  return cosine_and_sine<false>(turns.of_pair[pair] * std::uint64_t(call.x.first_position + t));
}

/// Two neighbouring pairs of a lane, row after row. Without positions there is nothing of it.
template <class Plan> struct lane_rotations {
  float2 by[2], next[2];

  /// Begins with token t, from which positions go on as the state meets them, or `Forwards` as rows lie.
  template <bool Forwards, class Call>
  __device__ __forceinline__ void begin(const Call& call, const key_turns<Plan>& turns, int pair, int t) {
    if constexpr (Plan::turns) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        by[i] = rotation_of(call, turns, pair + i, t), next[i] = turns.one[pair + i];
        if (Forwards && Plan::reversed) next[i].y = -next[i].y;
      }
    } else {
      (void)call, (void)turns, (void)pair, (void)t;
    }
  }
  /// A pair, the first or the second, turned.
  __device__ __forceinline__ void turn(int i, float& x, float& y) const {
    if constexpr (Plan::turns) {
      const float2 its = turned(float2{x, y}, by[i]);
      x = its.x, y = its.y;
    } else {
      (void)i, (void)x, (void)y;
    }
  }
  /// On to the next row.
  __device__ __forceinline__ void go_on() {
    if constexpr (Plan::turns) by[0] = turned(by[0], next[0]), by[1] = turned(by[1], next[1]);
  }
};

}  // namespace sextant::gpu::wgmma
