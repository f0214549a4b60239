// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, what queries and keys are before they decay: the feature map, the input gate
///        and positions.
#pragma once

#include <sextant/cuda/chunked_wgmma/gates.cuh>  // value_of_gate
#include <sextant/cuda/keyed_wgmma/rotations.cuh>

namespace sextant::gpu::wgmma {

/// Queries and keys through the map, keys times the input gate of their token: of the 16 tokens of a step lane l has the gate
/// of row l % 16, and the raw number of the next step that its warp will have, on its way. Of a gate that is none it has
/// whether there is such a token.
template <class Plan, class Call> struct step_features {
  using design = typename Plan::design_type;
  using input = typename design::input_type;

  static constexpr bool weighs = Plan::weighs_keys;

  const Call& call;
  const key_turns<Plan>& turns;
  const int first_pair;  // of the warp's keys
  float bias = 0.0f, admitted = 1.0f;
  std::uint32_t next = 0;

  __device__ __forceinline__ step_features(const Call& its_call, const key_turns<Plan>& its_turns, int head, int slab)
      : call{its_call}, turns{its_turns}, first_pair{32 * slab} {
    if constexpr (Plan::admits && reads_step<input>)
      if (call.x.bias) bias = call.x.bias(head);
  }
  /// Asks for the number of row lane % 16 of a step that begins with token `first`.
  __device__ __forceinline__ void fetch(int batch, int first, int head, int lane) {
    if constexpr (Plan::admits) {
      const int t = first + lane % 16;
      if (t < 0 || t >= call.tokens) return;
      if constexpr (reads_step<input>) next = call.x.dt(batch, t, head).bits;
      else if constexpr (reads_own<input>) next = call.x.input(batch, t, head).bits;
    } else if constexpr (Plan::weighs_keys) {
      next = first + lane % 16 < call.tokens;
    }
  }
  /// What has been asked for is the gate's.
  __device__ __forceinline__ void take() {
    if constexpr (Plan::admits) {
      float x = widened<typename Plan::token>(next);
      if constexpr (reads_step<input>) x = softplus<true>(x + bias);
      admitted = value_of_gate(call.design.input_gate, x, 0.0f);
    } else if constexpr (Plan::weighs_keys) {
      admitted = next != 0 ? 1.0f : 0.0f;
    }
  }
  /// The gate of a row.
  __device__ __forceinline__ float admitted_in(int row) const {
    if constexpr (Plan::weighs_keys) return __shfl_sync(~0u, admitted, row);
    else return (void)row, 1.0f;
  }
  __device__ __forceinline__ float query(float x) const {
    if constexpr (Plan::maps) return float(call.design.feature_map(approximate(x)));
    else return x;
  }
  __device__ __forceinline__ float key(float x) const {
    const auto& map = call.design.feature_map;
    if constexpr (Plan::maps) return float(map(approximate(x * key_scale<float>(map, index_t(Plan::keys)))));
    else return (void)map, x;
  }
  /// The rotations of a lane's four keys, beginning with token t.
  template <bool Forwards> __device__ __forceinline__ lane_rotations<Plan> rotations(int lane, int t) const {
    lane_rotations<Plan> its;
    its.template begin<Forwards>(call, turns, first_pair + lane % 16 * 2, t);
    return its;
  }
};

}  // namespace sextant::gpu::wgmma
