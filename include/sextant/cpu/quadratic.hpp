// SPDX-License-Identifier: Apache-2.0
/// @file  The quadratic form: every query meets every key that it sees.
#pragma once

#include <utility>  // integer_sequence

#include <sextant/cpu/recurrent.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The quadratic form: masked attention, for every design. An item is a tile of queries; it sweeps over tiles of keys.
/// - A forget gate of heads or channels decays what a query has summed up, so the keys are met in their order:
///     y_i <- F_j (.) y_i + (q_i k_j) u_j.  abs_max's stabiliser comes along.
/// - A gate that varies over keys stands between q and k. There keys are met backwards from the diagonal, and what
///   decays is the query:  y_i <- y_i + (q_i k_j) u_j,  then  q_i <- F_j (.) q_i.
/// The initial state enters as what the query makes of it, before the first key or after the last one. A second phase
/// finds the final state by the recurrence, where it is wanted.
/// O(T^2 (K' + V)) per head, O(T^2 K' V) for a gate of keys and channels. The memory, 16 queries of K' or K' V numbers
/// for each worker, does not grow with T.
template <class Real> struct quadratic {
  static constexpr int phases = 2;
  static constexpr index_t tile = recurrent<Real>::tile;

  static index_t tiles(const plan<Real>& p) { return (p.longest() + tile - 1) / tile; }
  static index_t items(const plan<Real>& p, int workers, int phase) {
    const index_t others = recurrent<Real>::items(p, workers);
    if (phase == 0) return others * tiles(p);
    return p.S_out || p.z_out || p.m_out ? others : 0;
  }

  const plan<Real>& p;
  recurrent<Real> tokens;  // reads the tiles of keys
  index_t keys, values;    // padded
  per varies;
  bool backwards, z_apart;
  Real *q, *q_plain;       // [tile][keys] of the queries; q [tile][keys][values] for a gate of keys and channels
  Real *y, *qz;            // [tile][values], [tile]: q S and q z
  Real *score, *z_score;   // [tile]: one query's products with a tile of keys, turned by the position and not

  quadratic(const plan<Real>& the_plan, int workers, arena& own, arena&)
      : p{the_plan}, tokens(the_plan, workers, own), keys{tokens.keys}, values{tokens.values} {
    varies = tokens.gates.varies(p);
    backwards = varies == per::key || varies == per::key_channel;
    z_apart = p.normalises() && (p.position != position_kind::none || p.norm == norm_kind::sum_undecayed);
    q = own.take<Real>(tile * query_size());
    q_plain = own.take<Real>(z_apart ? tile * keys : 0);
    y = own.take<Real>(tile * values);
    qz = own.take<Real>(tile);
    score = own.take<Real>(tile);
    z_score = own.take<Real>(tile);
  }

  void run(index_t item, int workers, int phase) {
    if (phase == 1) return tokens.run(item, workers, false);
    window queries = tokens.start(item / tiles(p), workers);
    const index_t T = p.length(queries.n);
    queries.t = item % tiles(p) * tile;
    if (queries.t >= T) return;
    queries.count = T - queries.t < tile ? T - queries.t : tile;
    read_queries(queries);
    zero(y, tile * values);
    zero(qz, tile);

    const bool global = p.order == order_kind::global;
    window w = queries;
    if (backwards) {
      for (; w.t >= 0; w.t -= tile) meet(w, queries);
      meet_initial_state(queries);
    } else {
      meet_initial_state(queries);
      for (w.t = 0; w.t < (global ? T : queries.t + 1); w.t += tile) meet(w, queries);
    }
    if (global) tokens.gates.keep();
    if (global || backwards) tokens.load(queries, T);  // else the diagonal's tile was the last one
    for (index_t i = 0; i < queries.count && p.normalises(); ++i)
      tokens.factor[i] = p.scale / tokens.gates.divisor(p, queries, i, qz[i]);
    tokens.finish.store(p, queries, y, tokens.v, p.normalises() ? tokens.factor : nullptr);
  }

 private:
  using vector = simd<Real>;
  template <int Count> using numbers = std::make_integer_sequence<int, Count>;

  index_t query_size() const { return varies == per::key_channel ? keys * values : keys; }
  bool z_decays() const { return p.norm != norm_kind::sum_undecayed; }

  void read_queries(const window& w) {
    tokens.turning.start_tile(p, w.n, w.t, w.count);
    read_mapped(p, p.q, w, p.key_head(w.h), tokens.turning, false, tokens.row, tokens.q_turned, tokens.q, keys);
    const index_t repeated = varies == per::key_channel ? values : 1;
    for (index_t i = 0; i < w.count * keys; ++i)
      for (index_t c = 0; c < repeated; ++c) q[i * repeated + c] = tokens.q_turned[i];
    for (index_t i = 0; i < w.count * keys && z_apart; ++i) q_plain[i] = tokens.q[i];
  }

  /// What the queries, as they have decayed, make of the initial state.
  void meet_initial_state(const window& queries) {
    read_state(p, queries, tokens.S, values, keys, values);
    if (p.normalises()) read_normaliser(p, queries, tokens.z, keys);
    const bool repeated = varies == per::key_channel;
    for (index_t i = 0; i < queries.count; ++i) {
      const Real* const q_i = q + i * query_size();
      for (index_t c = 0; c < values; c += lanes<Real>) {
        vector qS = vector::load(y + i * values + c);
        for (index_t key = 0; key < keys; ++key) {
          const vector q_k = repeated ? vector::load(q_i + key * values + c) : vector(q_i[key]);
          qS = fma(q_k, vector::load(tokens.S + key * values + c), qS);
        }
        qS.store(y + i * values + c);
      }
      if (!p.normalises()) continue;
      vector products(Real(0));
      const Real* const q_z = z_apart ? q_plain + i * keys : q_i;
      for (index_t key = 0; key < keys; key += lanes<Real>)
        products = fma(vector::load(q_z + key), vector::load(tokens.z + key), products);
      qz[i] += sum(products);
    }
  }

  /// The tile of keys that begins at w.t.
  void meet(window& w, const window& queries) {
    tokens.load(w, p.length(w.n));
    const operand<Real> F = tokens.gates.decay(p);
    const Real* const key_decay = varies == per::key ? F.data : nullptr;
    for (index_t i = 0; i < queries.count; ++i) {
      const index_t seen = seen_by(queries.t + i, w);
      Real* const q_i = q + i * query_size();
      Real* const y_i = y + i * values;
      if (varies != per::key_channel) {
        scores(q_i, tokens.k_turned, key_decay, seen, score);
        if (varies == per::head) add_values<per::head>(F, seen, y_i);
        else if (varies == per::channel) add_values<per::channel>(F, seen, y_i);
        else add_values<per::nothing>(F, seen, y_i);
      }
      if (p.normalises()) {
        if (z_apart) scores(q_plain + i * keys, tokens.k, z_decays() ? key_decay : nullptr, seen, z_score);
        const Real* const products = z_apart ? z_score : score;
        for (index_t j = 0; j < seen; ++j) {
          if (varies == per::head && z_decays()) qz[i] *= F.data[j];
          qz[i] += products[j] * tokens.gates.normaliser_weight(p, j);
        }
      }
    }
    if (varies == per::key_channel) meet_boxes(w, queries);
  }
  /// How many keys of a tile the query of token t sees.
  index_t seen_by(index_t t, const window& w) const {
    return p.order == order_kind::global || w.t + w.count <= t + 1 ? w.count : t + 1 - w.t;
  }

  /// out[j] = q_i k_j of the first `count` keys, the last one first; with F, q_i decays on the way.
  void scores(Real* q_i, const Real* k, const Real* F, index_t count, Real* out) const {
    index_t j = count;
    for (; j % 4 != 0; --j) scores_before(j, q_i, k, F, out, numbers<1>{});
    for (; j > 0; j -= 4) scores_before(j, q_i, k, F, out, numbers<4>{});
  }
  template <int... I>
  SEXTANT_INLINE void scores_before(index_t j, Real* q_i, const Real* k, const Real* F, Real* out,
                                    std::integer_sequence<int, I...>) const {
    vector sums[] = {vector(Real(0 * I))...};
    for (index_t key = 0; key < keys; key += lanes<Real>) {
      vector q_k = vector::load(q_i + key);
      const auto meet_one = [&](vector& products, index_t at) {
        products = fma(q_k, vector::load(k + at * keys + key), products);
        if (F != nullptr) q_k *= vector::load(F + at * keys + key);
      };
      (meet_one(sums[I], j - 1 - I), ...);
      if (F != nullptr) q_k.store(q_i + key);
    }
    ((out[j - 1 - I] = sum(sums[I])), ...);
  }

  /// y_i <- F_j (.) y_i + score_j u_j for the first `count` keys.
  template <per Varies> void add_values(const operand<Real>& F, index_t count, Real* y_i) const {
    index_t c = 0;
    for (; c + 4 * lanes<Real> <= values; c += 4 * lanes<Real>) add_values<Varies>(F, count, y_i, c, numbers<4>{});
    for (; c < values; c += lanes<Real>) add_values<Varies>(F, count, y_i, c, numbers<1>{});
  }
  template <per Varies, int... I>
  SEXTANT_INLINE void add_values(const operand<Real>& F, index_t count, Real* y_i, index_t c,
                                 std::integer_sequence<int, I...>) const {
    vector sums[] = {vector::load(y_i + c + I * lanes<Real>)...};
    for (index_t j = 0; j < count; ++j) {
      const vector weight(score[j]);
      const Real* const u_j = tokens.u + j * values + c;
      const auto add = [&](vector& sum, index_t at) {
        if constexpr (Varies == per::head) sum *= vector(F.data[j]);
        if constexpr (Varies == per::channel) sum *= vector::load(F.data + j * F.token + c + at);
        sum = fma(weight, vector::load(u_j + at), sum);
      };
      (add(sums[I], I * lanes<Real>), ...);
    }
    (sums[I].store(y_i + c + I * lanes<Real>), ...);
  }

  /// The same for a gate of keys and channels, whose queries decay in every channel apart.
  void meet_boxes(const window& w, const window& queries) {
    constexpr index_t at_once = gate_tiles<Real>::box_lanes, gate_keys = recurrent<Real>::gate_keys;
    for (index_t c = 0; c < values; c += at_once)
      for (index_t key = 0; key < keys; key += gate_keys) {
        const index_t some = keys - key < gate_keys ? keys - key : gate_keys;
        const operand<Real> F = tokens.gates.box(p, w, key, some, c);
        for (index_t i = 0; i < queries.count; ++i)
          for (index_t v = 0; v < at_once && c + v < values; v += lanes<Real>)
            for (index_t k = 0; k < some; k += keys_in_registers)
              meet_box(F.data + k * F.key + v, F, seen_by(queries.t + i, w), i, key + k, c + v,
                       numbers<keys_in_registers>{});
      }
  }
  template <int... I>
  SEXTANT_INLINE void meet_box(const Real* decay, const operand<Real>& F, index_t count, index_t i, index_t key,
                               index_t c, std::integer_sequence<int, I...>) {
    Real *const q_i = q + (i * keys + key) * values + c, *const y_i = y + i * values + c;
    vector q_k[] = {vector::load(q_i + I * values)...}, qS = vector::load(y_i);
    for (index_t j = count; j-- > 0;) {
      vector product(Real(0));
      const auto meet_one = [&](vector& q_one, int at) {
        product = fma(vector(tokens.k_turned[j * keys + key + at]), q_one, product);
        q_one *= vector::load(decay + j * F.token + at * F.key);
      };
      (meet_one(q_k[I], I), ...);
      qS = fma(product, vector::load(tokens.u + j * values + c), qS);
    }
    (q_k[I].store(q_i + I * values), ...);
    qS.store(y_i);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
