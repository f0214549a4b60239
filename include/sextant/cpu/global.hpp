// SPDX-License-Identifier: Apache-2.0
/// @file  The global form: two passes over the tokens of a sequence, sums first and products after.
#pragma once

#include <sextant/cpu/chunk_division.hpp>
#include <sextant/cpu/finisher.hpp>
#include <sextant/cpu/matrix.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The global form, for order::global (Katharopoulos et al. 2020, equation 6; MILA):
///   S = sum of k_t^T (I_t (.) v_t),  z = sum of k_t,  then  y_t = (scale q_t S) / (q_t z + eps, or 1) + shortcut.
/// Products of matrices over tiles of tokens; O(T (2 K' V)) per head; memory does not grow with T. An item is a
/// sequence and columns of one or more key heads. abs_max takes a pass before, for the largest gate.
template <class Real> struct global {
  static index_t items(const plan<Real>& p, int workers) { return divide_chunks(p, workers).items(p.sequences); }

  const plan<Real>& p;
  chunk_division d;
  index_t keys, keys_ld, values;  // padded keys, and numbers from one row to the next
  rotation<Real> turning;
  gate_tiles<Real> gates;
  finisher<Real> finish;
  Real *raw, *turned, *plain, *v, *u, *y, *factor;  // of a tile; turned and plain queries or keys
  Real *S, *z;                                      // of every column of a key head
  double* m;
  index_t first = 0, last = 0;  // columns of the item

  global(const plan<Real>& the_plan, int workers, arena& memory) : p{the_plan}, d{divide_chunks(the_plan, workers)} {
    keys = padded_keys<Real>(p.width);
    keys_ld = row_length<Real>(keys);
    values = row_length<Real>(d.block);
    turning.allocate(memory, p, d.length);
    gates.allocate(memory, p, d.length, keys_ld, values, 0);
    gates.keys_whole = keys;
    finish.allocate(memory, p, values);
    raw = memory.take<Real>(padded<Real>(p.keys));
    plain = memory.take<Real>(d.length * keys_ld);
    turned = p.position == position_kind::none ? plain : memory.take<Real>(d.length * keys_ld);
    v = memory.take<Real>(d.length * values);
    u = p.input.is_one && !gates.stabilises(p) ? v : memory.take<Real>(d.length * values);
    y = memory.take<Real>(d.length * values);
    factor = memory.take<Real>(padded<Real>(d.length));
    S = memory.take<Real>(d.columns * keys * values);
    z = memory.take<Real>(p.normalises() ? d.columns * keys_ld : 0);
    m = memory.take<double>(d.columns);
  }

  void run(index_t item, int) {
    const index_t part = item % d.parts, bundle = item / d.parts % d.bundles;
    first = d.first_column(part), last = d.first_column(part + 1);
    window w;
    w.ahead = 16;
    w.n = item / d.parts / d.bundles;
    for (index_t g = d.first_key_head(bundle); g < d.first_key_head(bundle + 1); ++g) {
      turning.start(p, g);
      for_columns(w, g, [&](index_t at) { start(w, at); });
      for_tiles(w, g, p.k, true, [&](index_t at) { add(w, at); });
      for_tiles(w, g, p.q, false, [&](index_t at) { read(w, at); });
      for_columns(w, g, [&](index_t at) { hand_out(w, at); });
    }
  }

 private:
  /// visit(its number) for every column of key head g, the window set to it.
  template <class Visit> void for_columns(window& w, index_t g, const Visit& visit) {
    for (index_t c = first; c < last; ++c) {
      w.h = g * (p.heads / p.key_heads) + c / d.blocks;
      w.v = c % d.blocks * d.block;
      w.values = p.values - w.v < d.block ? p.values - w.v : d.block;
      gates.values_whole = finish.whole = padded<Real>(w.values);
      visit(c - first);
    }
  }
  /// For every tile the queries or keys of key head g, then visit(column) for its columns.
  template <class Visit> void for_tiles(window& w, index_t g, const tensor<Real>& x, bool is_key, const Visit& visit) {
    const index_t T = p.length(w.n);
    for (w.t = 0; w.t < T; w.t += d.length) {
      w.count = T - w.t < d.length ? T - w.t : d.length;
      turning.start_tile(p, w.n, w.t, w.count);
      read_mapped(p, x, w, g, turning, is_key, raw, turned, plain, keys_ld);
      for_columns(w, g, visit);
    }
  }

  Real* state(index_t at) const { return S + at * keys * values; }
  Real* sums(index_t at) const { return z + at * keys_ld; }
  void tile_gates(const window& w, index_t at) {
    gates.start(p, w);
    gates.m = m[at];
    gates.keep();
    gates.load(p, w, v, u);
  }

  /// The initial state; under abs_max as seen from the largest m of all tokens.
  void start(window& w, index_t at) {
    read_state(p, w, state(at), values, keys, values);
    if (p.normalises()) read_normaliser(p, w, sums(at), keys_ld);
    gates.start(p, w);
    const double before = gates.m;
    if (gates.stabilises(p)) {
      const index_t T = p.length(w.n);
      for (w.t = 0; w.t < T; w.t += d.length) {
        w.count = T - w.t < d.length ? T - w.t : d.length;
        gates.load(p, w, v, v);
      }
      const Real less = Real(math::exp(before - gates.m));
      for (index_t i = 0; i < keys * values; ++i) state(at)[i] *= less;
      for (index_t i = 0; i < keys_ld; ++i) sums(at)[i] *= less;
    }
    m[at] = gates.m;
  }
  /// S += k^T u, z += sum of k, for a tile whose keys are loaded.
  void add(const window& w, index_t at) {
    using vector = simd<Real>;
    read_channels(p, p.v, w, v, values, finish.whole);
    if (u != v) tile_gates(w, at);
    multiply<Real>(p.width, finish.whole, w.count, {turned, 1, keys_ld}, {u, values}, {state(at), values}, update::add);
    if (!p.normalises()) return;
    const bool weighs = gates.stabilises(p);
    for (index_t i = 0; i < keys; i += lanes<Real>) {
      vector total(Real(0));  // of the tile, so that few roundings meet in each sum
      for (index_t t = 0; t < w.count; ++t) {
        const vector k_t = vector::load(plain + t * keys_ld + i);
        total = weighs ? fma(vector(gates.I[t]), k_t, total) : total + k_t;
      }
      (vector::load(sums(at) + i) + total).store(sums(at) + i);
    }
  }
  /// y = (scale q S) / divisor + shortcut, for a tile whose queries are loaded.
  void read(const window& w, index_t at) {
    using vector = simd<Real>;
    if (p.d) read_channels(p, p.v, w, v, values, finish.whole);
    finish.start(p, w);
    multiply<Real>(w.count, finish.whole, p.width, {turned, keys_ld}, {state(at), values}, {y, values},
                   update::overwrite);
    if (p.normalises()) {
      const Real least = Real(math::exp(-m[at]));
      for (index_t t = 0; t < w.count; ++t) {
        vector qz(Real(0));
        for (index_t i = 0; i < keys; i += lanes<Real>)
          qz = fma(vector::load(plain + t * keys_ld + i), vector::load(sums(at) + i), qz);
        if (gates.stabilises(p)) gates.floor[t] = least;
        factor[t] = p.scale / gates.divisor(p, w, t, sum(qz));
      }
    }
    finish.store(p, w, y, v, p.normalises() ? factor : nullptr);
  }
  void hand_out(const window& w, index_t at) {
    if (p.S_out)
      for (index_t i = 0; i < p.width; ++i)
        p.S_out.write(state(at) + i * values, w.values, p.S_out.at(w.n, 0, w.h) + i * p.S_out.key + w.v * p.S_out.value,
                      p.S_out.value);
    if (p.normalises()) write_normaliser(p, w, sums(at));
    gates.m = m[at];
    gates.finish(p, w);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
