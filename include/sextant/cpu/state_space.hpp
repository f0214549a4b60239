// SPDX-License-Identifier: Apache-2.0
/// @file  State spaces that are the same for every token: the recurrent form and the chunked one, with channels in lanes.
#pragma once

#include <utility>  // integer_sequence

#include <sextant/cpu/finisher.hpp>
#include <sextant/cpu/gates.hpp>
#include <sextant/cpu/state_space_powers.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The recurrence of some channels of a head, for one sequence after another. Recurrent: token by token,
///   x <- F x + B u,  y = Re(2 c x),
/// 6 products for each number of the state. Chunked: for L tokens at once, with powers of F worked out beforehand,
///   y_t = sum_{s<=t} kernel_{t-s} u_s + Re(2 c F^{t+1} x),  x <- F^L x + sum_s F^{L-1-s} B u_s,
/// 2 products for each number of the state, 2 / L for the state itself and L / 2 for what tokens say to one another; and x is
/// rounded once a chunk. What is left of a tile goes token by token. F and F^L are kept in two parts, so that the rounding of
/// a number which multiplies thousands of times does not tell.
///
/// Every time-invariant design. O(T K V) per head; memory does not grow with T. An item is a block of channels of a head and
/// some sequences, so that powers are worked out for many of them.
template <class Real, bool Chunked> struct state_space {
  static constexpr index_t tile = 64, most_values = 32;
  /// Chunks that share the powers as these are read: with their sums they fill the registers.
  static constexpr int at_once = SEXTANT_CPU_BYTES == 64 ? 4 : 2;
  using vector = simd<Real>;

  static index_t block(const plan<Real>& p) { return padded<Real>(p.values < most_values ? p.values : most_values); }
  static index_t blocks(const plan<Real>& p) { return p.values == 0 ? 0 : (p.values + block(p) - 1) / block(p); }
  /// Groups of sequences: two items or more for every worker, where there are enough.
  static index_t groups(const plan<Real>& p, int workers) {
    const index_t others = p.heads * blocks(p);
    if (others == 0) return 0;
    const index_t wanted = (2 * index_t(workers) + others - 1) / others;
    return wanted < p.sequences ? wanted : p.sequences;
  }
  static index_t items(const plan<Real>& p, int workers) { return p.heads * blocks(p) * groups(p, workers); }

  const plan<Real>& p;
  index_t values, keys;  // padded
  Real *x, *v, *u, *y;   // x: [keys][values]; the others [tile][values]
  Real* before;          // the state before each of some chunks, [at_once][keys][lanes]
  gate_tiles<Real> gates;
  finisher<Real> finish;
  state_space_powers<Real> powers;

  state_space(const plan<Real>& the_plan, int, arena& memory) : p{the_plan} {
    values = block(p);
    keys = padded_keys<Real>(p.width);
    x = memory.take<Real>(keys * values);
    v = memory.take<Real>(tile * values);
    u = p.input.is_one ? v : memory.take<Real>(tile * values);
    y = memory.take<Real>(tile * values);
    before = memory.take<Real>(Chunked ? at_once * keys * lanes<Real> : 0);
    gates.allocate(memory, p, tile, keys, values, 0);
    finish.allocate(memory, p, values);
    powers.allocate(memory, p, keys, values, Chunked ? (p.chunk_length > 0 ? p.chunk_length : 8) : 0);
  }

  void run(index_t item, int workers) {
    const index_t count = groups(p, workers), group = item % count, of_head = blocks(p);
    window w;
    w.h = item / count / of_head;
    w.v = item / count % of_head * values;
    w.values = p.values - w.v < values ? p.values - w.v : values;
    gates.start(p, w);  // the rates among them: a
    finish.start(p, w);
    powers.start(p, w, gates.rate);
    for (w.n = group * p.sequences / count; w.n < (group + 1) * p.sequences / count; ++w.n) run_sequence(w);
  }

 private:
  void run_sequence(window w) {
    read_state(p, w, x, values, keys, values);
    const index_t T = p.length(w.n);
    for (w.t = 0; w.t < T; w.t += tile) {
      w.count = T - w.t < tile ? T - w.t : tile;
      read_channels(p, p.v, w, v, values);
      gates.load(p, w, v, u);
      for (index_t c = 0; c < padded<Real>(w.values); c += lanes<Real>) {
        index_t t = 0;
        if constexpr (Chunked) {
          using some = std::make_integer_sequence<int, at_once>;
          using one = std::make_integer_sequence<int, 1>;
          const index_t L = powers.length;
          for (; t + at_once * L <= w.count; t += at_once * L) meet_chunks(t, c, some{});
          for (; t + L <= w.count; t += L) meet_chunks(t, c, one{});
        }
        for (; t < w.count; ++t) meet_token(t, c);
      }
      finish.store(p, w, y, v, nullptr);
    }
    state_block<Real>(p, w, x, values, keys).finish();
  }

  /// What pair (key, key + 1) adds to (re, im) beside F x: the other part of F x.
  struct pair {
    vector re, im;
  };
  SEXTANT_INLINE static pair times(const Real* F, index_t ld, vector re, vector im, pair add) {
    const vector F_re = vector::load(F), F_im = vector::load(F + ld);
    return {fma(F_re, re, fma(-F_im, im, add.re)), fma(F_re, im, fma(F_im, re, add.im))};
  }
  /// F x + add, F in two parts where they are wanted: the smaller one first.
  SEXTANT_INLINE static pair forget(const Real* F, const Real* rest, index_t ld, vector re, vector im, pair add) {
    if constexpr (state_space_powers<Real>::in_two_parts) add = times(rest, ld, re, im, add);
    return times(F, ld, re, im, add);
  }

  void meet_token(index_t t, index_t c) const {
    const index_t ld = values, all = keys;
    const vector u_t = vector::load(u + t * ld + c);
    const Real *const F = powers.F + c, *const rest = powers.rest_of_F + c, *const B = powers.B + c,
                      *const C = powers.C + c;
    Real* const state = x + c;
    vector y_re(Real(0)), y_im(Real(0));
    for (index_t k = 0; k < all * ld; k += 2 * ld) {
      const pair enters{vector::load(B + k) * u_t, vector::load(B + k + ld) * u_t};
      const pair now = forget(F + k, rest + k, ld, vector::load(state + k), vector::load(state + k + ld), enters);
      now.re.store(state + k), now.im.store(state + k + ld);
      y_re = fma(vector::load(C + k), now.re, y_re);
      y_im = fma(vector::load(C + k + ld), now.im, y_im);
    }
    (y_re + y_im).store(y + t * ld + c);
  }

  /// Four sums, of neighbouring tokens or keys.
  struct sums {
    vector at0{Real(0)}, at1{Real(0)}, at2{Real(0)}, at3{Real(0)};
    SEXTANT_INLINE void add(const vector (&by)[4], vector all) {
      at0 = fma(by[0], all, at0), at1 = fma(by[1], all, at1), at2 = fma(by[2], all, at2), at3 = fma(by[3], all, at3);
    }
  };
  /// Chunks of L tokens from t on, as many as there are numbers in N: what the tokens of each say to the state, the states
  /// one after another, and y. The packs unroll: an array of vectors indexed by a loop variable would live in memory.
  template <int... N> void meet_chunks(index_t t, index_t c, std::integer_sequence<int, N...> chunks) const {
    const Real* const u_0 = u + t * values + c;
    for (index_t k = 0; k < keys; k += 4) update_keys(u_0, k, c, chunks);
    for (index_t i = 0; i < powers.length; i += 4) read_tokens(u_0, i, y + (t + i) * values + c, c, chunks);
  }
  /// Keys k to k + 3: the states before each chunk to `before`, and that after the last.
  template <int... N>
  SEXTANT_INLINE void update_keys(const Real* u_0, index_t k, index_t c, std::integer_sequence<int, N...>) const {
    const index_t L = powers.length, ld = values, chunk = L * ld;
    constexpr index_t next = lanes<Real>;
    const Real* Q = powers.inputs + (c * keys + k * next) * L;  // [tokens][4 keys][lanes]
    sums enters[sizeof...(N)];
    for (index_t s = 0; s < L; ++s, Q += 4 * next) {
      const vector Q_s[] = {vector::load(Q), vector::load(Q + next), vector::load(Q + 2 * next),
                            vector::load(Q + 3 * next)};
      (enters[N].add(Q_s, vector::load(u_0 + N * chunk + s * ld)), ...);
    }
    Real *const state = x + k * ld + c, *const to = before + k * next;
    const Real *const F = powers.F_chunk + k * ld + c, *const rest = powers.rest_of_chunk + k * ld + c;
    pair first{vector::load(state), vector::load(state + ld)};
    pair second{vector::load(state + 2 * ld), vector::load(state + 3 * ld)};
    const index_t all = keys * next;
    const auto carry = [&](const sums& enter, Real* kept) {
      first.re.store(kept), first.im.store(kept + next);
      second.re.store(kept + 2 * next), second.im.store(kept + 3 * next);
      first = forget(F, rest, ld, first.re, first.im, {enter.at0, enter.at1});
      second = forget(F + 2 * ld, rest + 2 * ld, ld, second.re, second.im, {enter.at2, enter.at3});
    };
    (carry(enters[N], to + N * all), ...);
    first.re.store(state), first.im.store(state + ld);
    second.re.store(state + 2 * ld), second.im.store(state + 3 * ld);
  }
  /// y of tokens i to i + 3 of each chunk: what the tokens before them say, and the state.
  template <int... N>
  SEXTANT_INLINE void read_tokens(const Real* u_0, index_t i, Real* to, index_t c,
                                  std::integer_sequence<int, N...>) const {
    const index_t ld = values, all = keys, chunk = powers.length * ld;
    constexpr index_t next = lanes<Real>;
    const Real* kernel = powers.kernel + i * ld + c;
    sums sum[sizeof...(N)];
    for (index_t s = 0; s < i; ++s, kernel -= ld) {
      const vector k_s[] = {vector::load(kernel), vector::load(kernel + ld), vector::load(kernel + 2 * ld),
                            vector::load(kernel + 3 * ld)};
      (sum[N].add(k_s, vector::load(u_0 + N * chunk + s * ld)), ...);
    }
    const auto among_themselves = [&](sums& of, const Real* u_i) {
      const vector k0 = vector::load(kernel), k1 = vector::load(kernel + ld), k2 = vector::load(kernel + 2 * ld);
      const vector u0 = vector::load(u_i), u1 = vector::load(u_i + ld), u2 = vector::load(u_i + 2 * ld);
      of.at0 = fma(k0, u0, of.at0);
      of.at1 = fma(k0, u1, fma(k1, u0, of.at1));
      of.at2 = fma(k0, u2, fma(k1, u1, fma(k2, u0, of.at2)));
      of.at3 =
          fma(k0, vector::load(u_i + 3 * ld), fma(k1, u2, fma(k2, u1, fma(vector::load(kernel + 3 * ld), u0, of.at3))));
    };
    (among_themselves(sum[N], u_0 + N * chunk + i * ld), ...);
    const Real *P = powers.outputs + (c * powers.length + i * next) * all, *x_k = before;  // P: [keys][4 tokens][lanes]
    for (index_t k = 0; k < all; ++k, P += 4 * next, x_k += next) {
      const vector P_k[] = {vector::load(P), vector::load(P + next), vector::load(P + 2 * next),
                            vector::load(P + 3 * next)};
      (sum[N].add(P_k, vector::load(x_k + N * all * next)), ...);
    }
    const auto store = [ld](const sums& of, Real* y_i) {
      of.at0.store(y_i), of.at1.store(y_i + ld), of.at2.store(y_i + 2 * ld), of.at3.store(y_i + 3 * ld);
    };
    (store(sum[N], to + N * chunk), ...);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
