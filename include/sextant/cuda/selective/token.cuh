// SPDX-License-Identifier: Apache-2.0
/// @file  One token of the recurrence for the channels of a warp, their states in registers.
#pragma once

#include <sextant/cuda/selective/gates.cuh>

namespace sextant::gpu::lanes {

/// The states of a lane: `states` keys of one channel, and what its forget gate needs to know of them.
template <class Layout> struct lane_states {
  static constexpr int states = Layout::states, lanes = Layout::lanes, channels = Layout::channels;
  static constexpr decay_kind decay = Layout::decay;
  array<float, states> S, rate;  ///< rate: of the forget gate, or its value where it reads no token

  /// F of token t from the number that the forget gate reads of it, or that it is.
  template <class Gate>
  __device__ __forceinline__ void decays(const Gate& gate, float number, array<float, states>& F, int t) const {
    const forget_of_design<Layout> forget{gate};
#pragma unroll
    for (int i = 0; i < states; ++i) {
      if constexpr (decay == decay_kind::state)
        F[i] = forget(number, rate[i], (t * states + i) % Layout::polynomial_every == 0);
      else if constexpr (decay == decay_kind::fixed) F[i] = rate[i];
      else F[i] = number;
    }
  }
  /// S <- F S + phi(k) w; answers this lane's part of phi(q) S where there are Outputs.
  template <bool Outputs, class Rows>
  __device__ __forceinline__ float update(const array<float, states>& F, const Rows& rows, float w) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < states; i += 4) {
      const auto k = rows.k(i);
#pragma unroll
      for (int j = 0; j < 4; ++j) S[i + j] = fmaf(F[i + j], S[i + j], k.at[j] * w);
      if constexpr (Outputs) {
        const auto q = rows.q(i);
#pragma unroll
        for (int j = 0; j < 4; ++j) sum = i + j == 0 ? S[i + j] * q.at[j] : fmaf(S[i + j], q.at[j], sum);
      }
    }
    return sum;
  }
  /// Sums of `Lanes` tokens over the lanes of a channel: lane q is left with token q's.
  template <int Half = lanes / 2> static __device__ __forceinline__ float sum_over_lanes(float* part, int q) {
    if constexpr (Half > 0) {
      const bool upper = (q & Half) != 0;
#pragma unroll
      for (int i = 0; i < Half; ++i) {
        const float given = upper ? part[i] : part[i + Half], kept = upper ? part[i + Half] : part[i];
        part[i] = kept + __shfl_xor_sync(~0u, given, Half * channels);
      }
      return sum_over_lanes<Half / 2>(part, q);
    } else return part[0];
  }
};

/// A lane's part of the rows phi(k) and phi(q) of a token, in registers.
template <int States> struct kept_rows {
  array<together<float, 4>, States / 4> of_k, of_q;

  template <int Keys> __device__ __forceinline__ void load(const float* row) {
#pragma unroll
    for (int i = 0; i < States / 4; ++i) {
      of_k[i] = load_together<4>(row + 4 * i);
      of_q[i] = load_together<4>(row + Keys + 4 * i);
    }
  }
  __device__ __forceinline__ together<float, 4> k(int i) const { return of_k[i / 4]; }
  __device__ __forceinline__ together<float, 4> q(int i) const { return of_q[i / 4]; }
};
/// The same in shared memory, where they would take too many registers.
template <int States> struct rows_in_memory {
  const float* row;
  int keys;

  template <int Keys> __device__ __forceinline__ void load(const float* its_row) { row = its_row, keys = Keys; }
  __device__ __forceinline__ together<float, 4> k(int i) const { return load_together<4>(row + i); }
  __device__ __forceinline__ together<float, 4> q(int i) const { return load_together<4>(row + keys + i); }
};

}  // namespace sextant::gpu::lanes
