// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form: matrix products inside chunks of tokens, a state between them.
#pragma once

#include <sextant/cpu/chunk_decays.hpp>
#include <sextant/cpu/recurrent.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The chunked form (Dao and Gu 2024, arXiv 2405.21060; with gates per key Yang et al. 2024, arXiv 2312.06635). With
/// cum the logarithms of the decays, summed from the chunk's first token on, and S the state before it,
///   Y = exp(cum_t) (.) (Q S) + ((Q K^T) (.) exp(cum_t - cum_s), s <= t) U,
///   S <- exp(cum_last) S + K^T (exp(cum_last - cum_s) (.) U).
/// Causal and reversed designs whose forget gate does not vary over channels; O(T (2 K' V + length (K + V) / 2)) per
/// head; memory does not grow with T. An item is a sequence and columns of one or more key heads; scores Q K^T are
/// computed once for all columns of a key head in it.
template <class Real> struct chunked {
  static constexpr index_t slab = 128;  // keys whose rows of S are read and updated together

  static index_t items(const plan<Real>& p, int workers) { return divide_chunks(p, workers).items(p.sequences); }

  const plan<Real>& p;
  chunk_division d;
  per varies;
  bool folds;                  // the input gate goes into weights and not into v
  index_t state_keys, values;  // rows of S in scratch, and numbers from one to the next
  chunk_keys<Real> rows;
  gate_tiles<Real> gates;
  head_decays<Real> by_head;
  key_decays<Real> by_key, by_key_plain;
  finisher<Real> finish;
  Real *scores, *plain_scores, *weights, *plain_weights;  // [length][rows.square_ld]
  Real *v, *u, *u_last, *y;                               // [length][values]
  Real *factor, *enter, *keep;
  Real *S, *z;                                            // of every column of the item
  double* m;
  rows_ahead ahead;
  index_t first = 0, last = 0, first_head = 0, last_head = 0;  // of the item: columns, key heads

  chunked(const plan<Real>& the_plan, int workers, arena& memory) : p{the_plan}, d{divide_chunks(the_plan, workers)} {
    varies = gates.varies(p);
    const bool gated_by_head = gates.stabilises(p) || p.input.varies == per::head;
    folds = varies == per::head && gated_by_head;
    state_keys = padded_keys<Real>(p.width);
    values = row_length<Real>(d.block);
    rows.allocate(memory, p, d.length);
    gates.allocate(memory, p, d.length, rows.ld, values, 0, varies == per::head);
    gates.keys_whole = rows.whole;
    if (varies == per::head) by_head.allocate(memory, d.length);
    if (varies == per::key) by_key.allocate(memory, d.length, rows.ld);
    if (varies == per::key && rows.turns(p)) by_key_plain.allocate(memory, d.length, rows.ld);
    finish.allocate(memory, p, values);
    for (Real** square : {&scores, &plain_scores, &weights, &plain_weights})
      *square = memory.take<Real>(d.length * rows.square_ld);
    for (Real** channels : {&v, &u_last, &y}) *channels = memory.take<Real>(d.length * values);
    u = folds || (p.input.is_one && !gates.stabilises(p)) ? v : memory.take<Real>(d.length * values);
    for (Real** numbers : {&factor, &enter}) *numbers = memory.take<Real>(padded<Real>(d.length));
    keep = memory.take<Real>(rows.ld);
    S = memory.take<Real>(d.most_columns() * state_keys * values);
    z = memory.take<Real>(p.normalises() ? d.most_columns() * rows.ld : 0);
    m = memory.take<double>(d.most_columns());
  }

  void run(index_t item, int) {
    const index_t part = item % d.parts, bundle = item / d.parts % d.bundles;
    first = d.first_column(part), last = d.first_column(part + 1);
    first_head = d.first_key_head(bundle), last_head = d.first_key_head(bundle + 1);
    window w;
    w.n = item / d.parts / d.bundles;
    const index_t T = p.length(w.n);
    rows.turning.start(p, first_head);
    for_columns(w, [&](index_t at) {
      read_state(p, w, S + at * state_keys * values, values, state_keys, values);
      if (p.normalises()) read_normaliser(p, w, z + at * rows.ld, rows.ld);
      gates.start(p, w);
      m[at] = gates.m;
    });
    for (w.t = 0; w.t < T; w.t += d.length) {
      w.count = T - w.t < d.length ? T - w.t : d.length;
      rows.turning.start_tile(p, w.n, w.t, w.count);
      index_t loaded = -1;
      for_columns(w, [&](index_t at) {
        if (p.key_head(w.h) != loaded) load(w, loaded = p.key_head(w.h));
        gates.start(p, w);
        gates.m = m[at];
        finish.start(p, w);
        look_ahead(w, T);
        column(w, S + at * state_keys * values, z + at * rows.ld);
        m[at] = gates.m;
      });
    }
    for_columns(w, [&](index_t at) {
      write_state(w, S + at * state_keys * values);
      if (p.normalises()) write_normaliser(p, w, z + at * rows.ld);
      gates.m = m[at];
      gates.finish(p, w);
    });
  }

 private:
  bool decayed_normaliser() const { return p.normalises() && p.norm != norm_kind::sum_undecayed; }
  [[gnu::noinline]] void at_column(window& w, index_t g, index_t column) const {
    w.h = g * (p.heads / p.key_heads) + column / d.blocks;
    w.v = column % d.blocks * d.block;
    w.values = p.values - w.v < d.block ? p.values - w.v : d.block;
  }
  /// visit(its number in the item) for every column of the item, the window set to it.
  template <class Visit> void for_columns(window& w, const Visit& visit) {
    index_t at = 0;
    for (index_t g = first_head; g < last_head; ++g)
      for (index_t c = first; c < last; ++c, ++at) {
        at_column(w, g, c);
        visit(at);
      }
  }
  /// What the column after this one reads and writes: the next one of the key head, the next key head's first, or the
  /// first one of the next chunk.
  void look_ahead(const window& w, index_t T) {
    const index_t g = p.key_head(w.h), c = (w.h - g * (p.heads / p.key_heads)) * d.blocks + w.v / d.block + 1;
    const bool next_head = c == last, next_chunk = next_head && g + 1 == last_head;
    const index_t next_g = next_chunk ? first_head : next_head ? g + 1 : g;
    window next = w;
    at_column(next, next_g, next_head ? first : c);
    if (next_chunk) next.t += w.count;
    next.count = T - next.t < d.length ? T - next.t : d.length;
    ahead.begin(next.count);
    if (next.count <= 0) return;
    const auto add = [&](const tensor<Real>& x, index_t head, index_t offset, index_t bytes) {
      const token_rows these = rows_of(p, x, next, head);
      ahead.add(these.first + offset, these.step, bytes);
    };
    if (next_head)
      for (const tensor<Real>* x : {&p.q, &p.k}) add(*x, next_g, 0, p.keys * x->key);
    if (varies == per::key && !p.forget.from_step && p.forget.raw_varies == per::key)
      add(p.forget.raw, next.h, 0, p.width * p.forget.raw.key);
    for (const tensor<Real>* x : {&p.v, &p.y, &p.output_gate})
      if (*x) add(*x, next.h, next.v * x->value, next.values * x->value);
    const index_t panels = (finish.whole + 2 * lanes<Real> - 1) / (2 * lanes<Real>);
    ahead.spread(panels * (w.count + p.width) / detail::wide_rows);
  }
  void write_state(const window& w, const Real* from) const {
    if (!p.S_out) return;
    for (index_t i = 0; i < p.width; ++i, from += values)
      p.S_out.write(from, w.values, p.S_out.at(w.n, 0, w.h) + i * p.S_out.key + w.v * p.S_out.value, p.S_out.value);
  }

  /// What all columns of a key head share in a chunk.
  void load(const window& w, index_t g) {
    rows.load(p, w, g);
    if (varies != per::key) rows.score(p, w, scores);
    const bool undecayed = p.normalises() && p.norm == norm_kind::sum_undecayed;
    if (varies == per::key ? undecayed : p.normalises() && rows.turns(p)) rows.score_plain(p, w, plain_scores);
  }

  void column(const window& w, Real* state, Real* sums) {
    gates.values_whole = finish.whole = padded<Real>(w.values);
    read_channels(p, p.v, w, v, values, finish.whole);
    gates.load(p, w, v, u);
    switch (varies) {
      case per::nothing: column_without_decay(w, state, sums); break;
      case per::head: column_of_head_decay(w, state, sums); break;
      default:
        if (column_of_key_decay(w, state, sums)) return;
    }
    finish.store(p, w, y, v, p.normalises() ? factor : nullptr);
  }
  void column_without_decay(const window& w, Real* state, Real* sums) {
    if (p.normalises())
      normalise(w, rows.turns(p) ? plain_scores : scores, rows.q_plain, rows.k_plain, nullptr, nullptr, nullptr, sums);
    products(w, rows.q, rows.k, u, scores, nullptr, nullptr, state, {y, values});
  }
  void column_of_head_decay(const window& w, Real* state, Real* sums) {
    using vector = simd<Real>;
    const Real* const inputs = folds ? gates.I : nullptr;
    by_head.start(gates.log2_F, w.count);
    by_head.weigh(scores, inputs, weights, rows.square_ld, w.count);
    for (index_t i = 0; i < rows.whole; ++i) keep[i] = by_head.whole;
    if (decayed_normaliser()) {
      // abs_max's z takes keys in with the input gate, the others' without.
      const bool same = !rows.turns(p) && (!folds || gates.stabilises(p));
      if (!same)
        by_head.weigh(rows.turns(p) ? plain_scores : scores, gates.stabilises(p) ? gates.I : nullptr, plain_weights,
                      rows.square_ld, w.count);
      for (index_t s = 0; s < w.count; ++s) enter[s] = by_head.to_end[s] * gates.normaliser_weight(p, s);
      normalise(w, same ? weights : plain_weights, rows.q_plain, rows.k_plain, by_head.from_start, enter, keep, sums);
    } else if (p.normalises()) {
      normalise(w, rows.turns(p) ? plain_scores : scores, rows.q_plain, rows.k_plain, nullptr, nullptr, nullptr, sums);
    }
    for (index_t s = 0; s < w.count; ++s) {
      const vector by(folds ? by_head.to_end[s] * gates.I[s] : by_head.to_end[s]);
      for (index_t c = s * values; c < s * values + finish.whole; c += lanes<Real>)
        (by * vector::load(u + c)).store(u_last + c);
    }
    products(w, rows.q, rows.k, u_last, weights, by_head.from_start, keep, state, {y, values});
  }
  /// True where y is stored already: the queries may take the scale along, so that nothing is left to be done to q S.
  bool column_of_key_decay(const window& w, Real* state, Real* sums) {
    const bool straight = finish.only_scales(p, w) && !p.normalises();
    if (!by_key.scale(gates.F, w.count, p.width, rows.whole, rows.ld, rows.q, rows.k, straight ? p.scale : Real(1)))
      return by_tokens(w, state, sums), false;
    rows.products(by_key.q, by_key.k, rows.ld, p.width, w.count, scores);
    if (decayed_normaliser() && rows.turns(p)) {
      by_key_plain.scale(gates.F, w.count, p.width, rows.whole, rows.ld, rows.q_plain, rows.k_plain,
                         Real(1));
      rows.products(by_key_plain.q, by_key_plain.k, rows.ld, p.width, w.count, plain_weights);
      normalise(w, plain_weights, by_key_plain.q, by_key_plain.k_last, nullptr, nullptr, by_key.E, sums);
    } else if (decayed_normaliser()) {
      normalise(w, scores, by_key.q, by_key.k_last, nullptr, nullptr, by_key.E, sums);
    } else if (p.normalises()) {
      normalise(w, plain_scores, rows.q_plain, rows.k_plain, nullptr, nullptr, nullptr, sums);
    }
    matrix_rows<Real> out{y, values};
    if (straight) out = {finish.place(p, w), p.direction() * p.y.time / index_t(sizeof(Real))};
    products(w, by_key.q, by_key.k_last, u, scores, nullptr, by_key.E, state, out);
    return straight;
  }
  /// The recurrence itself, for a chunk whose decays per key leave the range of products.
  void by_tokens(const window& w, Real* state, Real* sums) {
    using vector = simd<Real>;
    recurrence<Real> r;
    r.tokens = w.count, r.keys = state_keys, r.values = finish.whole;
    r.q = rows.q, r.k = rows.k, r.key_ld = rows.ld;
    r.u = u, r.y = y, r.value_ld = values;
    r.from = r.to = state;
    r.from_ld = r.to_ld = values;
    r.F = gates.decay(p);
    zero(y, w.count * values);
    r.run(per::key);
    for (index_t t = 0; p.normalises() && t < w.count; ++t) {
      vector qz(Real(0));
      for (index_t i = 0; i < rows.whole; i += lanes<Real>) {
        const vector k_i = vector::load(rows.k_plain + t * rows.ld + i);
        const vector z_i = gates.decayed_normaliser(p, t, i, vector::load(sums + i)) + k_i;
        z_i.store(sums + i);
        qz = fma(vector::load(rows.q_plain + t * rows.ld + i), z_i, qz);
      }
      factor[t] = p.scale / gates.divisor(p, w, t, sum(qz));
    }
  }

  /// out = start (.) (q S) + within u, and S <- keep (.) S + k^T u'. Null factors are ones.
  void products(const window& w, const Real* q, const Real* k, const Real* u_end, const Real* within,
                const Real* start, const Real* keeps, Real* state, const matrix_rows<Real>& out) {
    constexpr index_t panel = 2 * lanes<Real>;
    for (index_t key = 0; key == 0 || key < p.width; key += slab) {
      const index_t keys = p.width - key < slab ? p.width - key : slab;
      Real* const S_rows = state + key * values;
      const bool is_last = key + slab >= p.width;
      detail::tile_work<Real> reads{q + key, rows.ld, 1,     S_rows,  values, out.data, out.row, start, 0,
                                    key > 0 ? update::add : update::overwrite,
                                    within,  rows.square_ld, u, values, &ahead};
      detail::tile_work<Real> writes{k + key, 1, rows.ld, u_end, values, S_rows, values,
                                     keeps == nullptr ? nullptr : keeps + key, 0,
                                     keeps == nullptr ? update::add : update::decay};
      writes.ahead = &ahead;
      for (index_t c = 0; c < finish.whole; c += panel) {
        if (c + panel <= finish.whole) {
          detail::multiply_panel<Real, 2, false>(reads, w.count, 0, keys, triangle::none, c, is_last ? w.count : 0);
          detail::multiply_panel<Real, 2, false>(writes, keys, 0, w.count, triangle::none, c);
        } else {
          detail::multiply_panel<Real, 1, false>(reads, w.count, 0, keys, triangle::none, c, is_last ? w.count : 0);
          detail::multiply_panel<Real, 1, false>(writes, keys, 0, w.count, triangle::none, c);
        }
        reads.b += panel, reads.b2 += panel, reads.c += panel;
        writes.b += panel, writes.c += panel;
      }
    }
  }

  /// factor = scale / divisor of q z = start (.) (q z) + sums of the weights, and z <- keep (.) z + sum of enter k.
  /// Null factors are ones.
  void normalise(const window& w, const Real* within, const Real* q, const Real* k, const Real* start,
                 const Real* enters, const Real* keeps, Real* sums) const {
    using vector = simd<Real>;
    for (index_t t = 0; t < w.count; ++t) {
      vector qz(Real(0)), inside(Real(0));
      for (index_t i = 0; i < rows.whole; i += lanes<Real>)
        qz = fma(vector::load(q + t * rows.ld + i), vector::load(sums + i), qz);
      for (index_t s = 0; s <= t; s += lanes<Real>) inside += vector::load(within + t * rows.square_ld + s);
      const Real before = start == nullptr ? sum(qz) : start[t] * sum(qz);
      factor[t] = p.scale / gates.divisor(p, w, t, before + sum(inside));
    }
    for (index_t i = 0; i < rows.whole; i += lanes<Real>) {
      vector z_i = vector::load(sums + i);
      if (keeps != nullptr) z_i *= vector::load(keeps + i);
      for (index_t s = 0; s < w.count; ++s)
        z_i = fma(vector(enters == nullptr ? Real(1) : enters[s]), vector::load(k + s * rows.ld + i), z_i);
      z_i.store(sums + i);
    }
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
