// SPDX-License-Identifier: Apache-2.0
/// @file  One token of the recurrence for the channels of a warp, their states in registers.
#pragma once

#include <sextant/cuda/selective/gates.cuh>

namespace sextant::gpu::lanes {

/// The states of a lane: `states` keys of its channels, and what their forget gates need to know of them.
template <class Layout> struct lane_states {
  static constexpr int states = Layout::states, vector = Layout::vector, own = Layout::own;
  static constexpr decay_kind decay = Layout::decay;
  using of_own = array<float, own>;
  using of_states = array<array<float, states>, own>;
  /// Whether the gate is a number known beforehand, kept in two parts: a factor, and what is nearly 1 as its difference from 1.
  static constexpr bool in_two_parts = decay == decay_kind::fixed && Layout::exact;
  of_states S, rate;  ///< rate: of the forget gate, or its value or factor where it reads no token
  of_states change;   ///< the other part, if there are two

  /// Reads the states before the first token, of keys from q `states` on, and the rates. Answers each channel's least rate in
  /// size, of all its keys.
  template <class Sequence, class Gate>
  __device__ __forceinline__ void begin(const Sequence& x, const block_place& at, const Gate& gate, int q, int channel,
                                        bool there, of_own& least) {
    const int K = int(x.k.template extent<axis::key>());
#pragma unroll
    for (int c = 0; c < own; ++c) {
      least[c] = __builtin_huge_valf();
#pragma unroll
      for (int i = 0; i < states; ++i) {
        const int key = q * states + i;
        const bool known = there && key < K;
        rate[c][i] = known ? forget_of_design<Layout>::rate(x, at.h, channel + c, key) : 0.0f;
        if (known) least[c] = fminf(least[c], fabsf(rate[c][i]));
        if constexpr (decay == decay_kind::fixed) fix(gate, rate[c][i], change[c][i]);
        S[c][i] = x.initial_state.S && known ? float(x.initial_state.S(at.n, at.h, key, channel + c)) : 0.0f;
      }
      least[c] = Layout::over_lanes(least[c], [](float a, float b) { return fminf(a, b); });
    }
  }
  template <class Precision, class State>
  __device__ __forceinline__ void end(const State& last, const block_place& at, int K, int q, int channel,
                                      bool there) const {
    if (!last.S || !there) return;
#pragma unroll
    for (int i = 0; i < states; ++i)
      if (const int key = q * states + i; key < K)
#pragma unroll
        for (int c = 0; c < own; ++c) last.S(at.n, at.h, key, channel + c) = typename Precision::state(S[c][i]);
  }
  /// What the unit's exponent is raised by for key i of token t: 2^x near 1 comes out 0.4 of 2^-24 too low on average, which
  /// is added; and fractions that differ from token to token, so that a gate that stays the same is not rounded the same way.
  static constexpr float shift(int t, int i) {
    return Layout::exact ? (0.025f + 0.25f * float((t + i) % 4)) * 0x1p-24f * log2_e : 0.0f;
  }
  /// F of token t from the numbers that the forget gate reads of it, or that it is.
  template <class Gate>
  __device__ __forceinline__ void decays(const Gate& gate, const of_own& number, of_states& F, int t) const {
    const forget_of_design<Layout> forget{gate};
#pragma unroll
    for (int i = 0; i < states; ++i)
#pragma unroll
      for (int c = 0; c < own; ++c) {
        if constexpr (decay == decay_kind::state)
          F[c][i] = forget(number[c], rate[c][i], Layout::by_polynomial(t, i * own + c), shift(t, i));
        else if constexpr (decay == decay_kind::fixed) F[c][i] = rate[c][i];
        else if constexpr (decay == decay_kind::one) F[c][i] = 1;
        else F[c][i] = number[c];
      }
  }
  /// S <- F S + phi(k) w, and this lane's part of phi(q) S where there are Outputs.
  template <bool Outputs, class Rows>
  __device__ __forceinline__ void update(const of_states& F, const Rows& rows, const of_own& w, of_own& part) {
    meet<Outputs>(rows, part, [&](int c, int i, float k) {
      if constexpr (decay == decay_kind::one) return fmaf(k, w[c], S[c][i]);
      else return fmaf(F[c][i], in_two_parts ? fmaf(change[c][i], S[c][i], S[c][i]) : S[c][i], k * w[c]);
    });
  }
  /// The same, with what of F is nearly 1 as its difference from 1: for gates of which `x` answers the logarithm. Where keys or
  /// channels share the gate, the difference is multiplied by the factor once for all, and S is rounded once.
  template <bool Outputs, class Rows, class Exponent>
  __device__ __forceinline__ void update_exactly(const Exponent& x, const Rows& rows, const of_own& w, of_own& part) {
    meet<Outputs>(rows, part, [&](int c, int i, float k) {
      const split_power F = split_exp2(x(c, i));
      if constexpr (decay == decay_kind::state) return fmaf(F.factor, fmaf(F.change, S[c][i], S[c][i]), k * w[c]);
      else return fmaf(F.factor, S[c][i], fmaf(F.factor * F.change, S[c][i], k * w[c]));
    });
  }

 private:
  /// A gate that reads no token: its rate becomes its value or factor.
  template <class Gate>
  static __device__ __forceinline__ void fix(const Gate& gate, float& rate_or_factor, float& other_part) {
    const forget_of_design<Layout> forget{gate};
    other_part = 0;
    if constexpr (in_two_parts && forget_of_design<Layout>::by_log) {
      const split_power F = split_exp2(forget.exponent(0.0f, rate_or_factor));
      rate_or_factor = F.factor, other_part = F.change;
    } else rate_or_factor = forget(0.0f, rate_or_factor);
  }
  template <bool Outputs, class Rows, class Next>
  __device__ __forceinline__ void meet(const Rows& rows, of_own& part, const Next& next) {
#pragma unroll
    for (int i = 0; i < states; i += vector) {
      const auto k = rows.k(i);
#pragma unroll
      for (int c = 0; c < own; ++c)
#pragma unroll
        for (int j = 0; j < vector; ++j) S[c][i + j] = next(c, i + j, k.at[j]);
      if constexpr (Outputs) {
        const auto q = rows.q(i);
#pragma unroll
        for (int c = 0; c < own; ++c)
#pragma unroll
          for (int j = 0; j < vector; ++j)
            part[c] = i + j == 0 ? S[c][i + j] * q.at[j] : fmaf(S[c][i + j], q.at[j], part[c]);
      }
    }
  }
};

/// phi(q) S of a round's tokens, from each lane its part: lanes that tend a token and pair of channels add them up.
template <class Layout> struct parts_of_round {
  static constexpr int lanes = Layout::lanes, own = Layout::own, round = Layout::round, half = round / 2;
  static constexpr int tended = Layout::tended;
  using of_own = array<float, own>;
  using two = array<float, 2>;
  /// Floats between the rows: of a token and the one 4 behind it, where lanes have two channels, [half][lane][2][own]; or of
  /// the lanes q, [q][round][channel]. 8 more against bank conflicts.
  static constexpr int apart = own == 2 ? 32 * 4 + 8 : round * Layout::channels + 8;
  alignas(16) array<float, (own == 2 ? half : lanes) * apart> at;

  __device__ __forceinline__ void store(const array<of_own, round>& part, int lane) {
    if constexpr (own == 2) {
#pragma unroll
      for (int t = 0; t < half; ++t)
        store_together(at + t * apart + lane * 4,
                       together<float, 4>{{part[t][0], part[t][1], part[t + half][0], part[t + half][1]}});
    } else {
#pragma unroll
      for (int t = 0; t < round; ++t)
        at[Layout::q_of(lane) * apart + t * Layout::channels + Layout::p_of(lane)] = part[t][0];
    }
  }
  /// Of the tokens that a lane tends.
  __device__ __forceinline__ void sum(int lane, array<two, tended>& to) const {
    const int pair = Layout::pair_of(lane), t = Layout::token_of(lane);
    constexpr int width = 2 * tended;
    const float* const first = at + (own == 2 ? t % half * apart + Layout::lane_of(pair, 0) * 4 + t / half * 2
                                              : t * Layout::channels + pair * 2);
    together<float, width> all;
#pragma unroll
    for (int q = 0; q < lanes; ++q) {
      const auto one = load_together<width>(first + (own == 2 ? Layout::lane_of(0, q) * 4 : q * apart));
#pragma unroll
      for (int i = 0; i < width; ++i) all.at[i] = q == 0 ? one.at[i] : all.at[i] + one.at[i];
    }
#pragma unroll
    for (int i = 0; i < width; ++i) to[i / 2][i % 2] = all.at[i];
  }
};

/// A lane's part of the rows phi(k) and phi(q) of a token, in registers.
template <class Layout> struct kept_rows {
  static constexpr int states = Layout::states, vector = Layout::vector;
  array<together<float, vector>, states / vector> of_k, of_q;

  __device__ __forceinline__ void load(const float* row) {
#pragma unroll
    for (int i = 0; i < states / vector; ++i) {
      of_k[i] = load_together<vector>(row + vector * i);
      of_q[i] = load_together<vector>(row + Layout::keys + vector * i);
    }
  }
  __device__ __forceinline__ const together<float, vector>& k(int i) const { return of_k[i / vector]; }
  __device__ __forceinline__ const together<float, vector>& q(int i) const { return of_q[i / vector]; }
};
/// The same in shared memory, where they would take too many registers.
template <class Layout> struct rows_in_memory {
  const float* row;

  __device__ __forceinline__ void load(const float* its_row) { row = its_row; }
  __device__ __forceinline__ auto k(int i) const { return load_together<Layout::vector>(row + i); }
  __device__ __forceinline__ auto q(int i) const { return load_together<Layout::vector>(row + Layout::keys + i); }
};

}  // namespace sextant::gpu::lanes
