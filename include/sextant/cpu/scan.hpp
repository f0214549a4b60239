// SPDX-License-Identifier: Apache-2.0
/// @file  The scan form: segments of time in parallel, joined by the associative operator.
#pragma once

#include <sextant/cpu/recurrent.hpp>
#include <sextant/design/scan_operator.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The scan form. Causal and reversed designs with any gate, abs_max's stabiliser excepted. A sequence is cut into
/// segments of time, 8 or as many as the workers need, in three phases:
///   1. every segment but the last by itself: its transition (F, S), the product of its decays and the state that it
///      reaches from zeros;
///   2. the transitions applied one after another: the state before every segment;
///   3. every segment from its own initial state, as the recurrent form does it.
/// O(T K' V) per head, about twice the work of the recurrent form: for many cores and few heads and channels. The
/// memory, a state and its decays for each segment, does not grow with T. Gates above 1 whose product over a segment
/// leaves the range of numbers give NaN here, where the recurrence may stay finite.
template <class Real> struct scan {
  static constexpr int phases = 3;
  static constexpr index_t tile = recurrent<Real>::tile, least_segments = 8, most_segments = 256;

  /// Segments of each sequence.
  static index_t segments(const plan<Real>& p, int workers) {
    const index_t others = recurrent<Real>::items(p, workers);
    index_t count = least_segments;
    while (count < most_segments && others * count < 2 * index_t(workers)) count *= 2;
    return count;
  }
  static index_t items(const plan<Real>& p, int workers, int phase) {
    const index_t others = recurrent<Real>::items(p, workers), count = segments(p, workers);
    return phase == 0 ? others * (count - 1) : phase == 1 ? others : others * count;
  }

  const plan<Real>& p;
  recurrent<Real> tokens;
  index_t count, state_size, decay_size;
  Real *states, *normalisers, *decays;  // of every item of the recurrent form, of every segment

  scan(const plan<Real>& the_plan, int workers, arena& own, arena& shared)
      : p{the_plan}, tokens(the_plan, workers, own), count{segments(the_plan, workers)} {
    const per varies = tokens.gates.varies(p);
    state_size = tokens.keys * tokens.values;
    decay_size = varies == per::nothing   ? 0
                 : varies == per::head    ? lanes<Real>
                 : varies == per::key     ? tokens.keys
                 : varies == per::channel ? tokens.values
                                          : state_size;
    const index_t all = recurrent<Real>::items(p, workers) * count;
    states = shared.take<Real>(all * state_size);
    normalisers = shared.take<Real>(p.normalises() ? all * tokens.keys : 0);
    decays = shared.take<Real>(all * decay_size);
  }

  void run(index_t item, int workers, int phase) {
    const index_t pieces = phase == 0 ? count - 1 : phase == 1 ? 1 : count;
    const index_t s = item % pieces;
    window w = tokens.start(item / pieces, workers);
    const index_t first = item / pieces * count;  // this item's first segment among all
    if (phase == 0) summarise(w, s, first + s + 1);
    else if (phase == 1) join(w, first);
    else finish(w, s, first + s);
  }

 private:
  Real* state_of(index_t at) const { return states + at * state_size; }
  Real* decay_of(index_t at) const { return decays + at * decay_size; }
  Real* normaliser_of(index_t at) const { return normalisers + at * tokens.keys; }
  /// The first token of segment s: whole tiles, as evenly as they go.
  index_t begin(const window& w, index_t s) const {
    const index_t T = p.length(w.n), tiles = (T + tile - 1) / tile, t = s * tiles / count * tile;
    return t < T ? t : T;
  }

  /// The transition of segment s, to where the state after it will be.
  void summarise(window& w, index_t s, index_t at) {
    state_block<Real> state(p, w, state_of(at), tokens.values, tokens.keys);
    zero(state_of(at), state_size);
    for (index_t i = 0; i < decay_size; ++i) decay_of(at)[i] = Real(1);
    if (p.normalises()) {
      tokens.z = normaliser_of(at);
      zero(tokens.z, tokens.keys);
    }
    w.t = begin(w, s);
    tokens.sweep(w, begin(w, s + 1), state, false, decay_size > 0 ? decay_of(at) : nullptr);
  }

  /// Transitions into states.
  void join(const window& w, index_t first) {
    read_state(p, w, state_of(first), tokens.values, tokens.keys, tokens.values);
    if (p.normalises()) read_normaliser(p, w, normaliser_of(first), tokens.keys);
    const per varies = tokens.gates.varies(p), z_varies = p.norm == norm_kind::sum ? varies : per::nothing;
    for (index_t at = first + 1; at < first + count; ++at) {
      for (index_t key = 0; key < tokens.keys; ++key)
        step(state_of(at - 1) + key * tokens.values, state_of(at) + key * tokens.values, tokens.values, varies, at,
             key);
      if (p.normalises()) step_normaliser(normaliser_of(at - 1), normaliser_of(at), z_varies, at);
    }
  }
  /// One row of S, channels in lanes.
  void step(const Real* before, Real* S, index_t size, per varies, index_t at, index_t key) const {
    using vector = simd<Real>;
    const Real* const F = decay_of(at);
    for (index_t c = 0; c < size; c += lanes<Real>) {
      const vector decay = varies == per::nothing   ? vector(Real(1))
                           : varies == per::head    ? vector(F[0])
                           : varies == per::key     ? vector(F[key])
                           : varies == per::channel ? vector::load(F + c)
                                                    : vector::load(F + key * size + c);
      const transition<vector> segment{decay, vector::load(S + c)};
      segment(vector::load(before + c)).store(S + c);
    }
  }
  /// z, keys in lanes.
  void step_normaliser(const Real* before, Real* z, per varies, index_t at) const {
    using vector = simd<Real>;
    const Real* const F = decay_of(at);
    for (index_t i = 0; i < tokens.keys; i += lanes<Real>) {
      const vector decay = varies == per::key ? vector::load(F + i) : vector(varies == per::head ? F[0] : Real(1));
      const transition<vector> segment{decay, vector::load(z + i)};
      segment(vector::load(before + i)).store(z + i);
    }
  }

  /// Segment s from the state before it; the last one leaves the final state.
  void finish(window& w, index_t s, index_t at) {
    state_block<Real> state(p, w, state_of(at), tokens.values, tokens.keys);
    if (p.normalises()) tokens.z = normaliser_of(at);
    w.t = begin(w, s);
    tokens.sweep(w, begin(w, s + 1), state, true);
    if (s == count - 1) tokens.hand_out(w, state);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
