// SPDX-License-Identifier: Apache-2.0
/// @file  The recurrent form: token by token, the state of a few keys and channels in registers for a tile of tokens.
#pragma once

#include <utility>  // integer_sequence

#include <sextant/cpu/gates.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// One tile of the recurrence for a block of keys and channels:
///   S <- F S + k u,  y += q S,  token by token.
/// S is read from `from` before the first token and written to `to` after the last; rows are keys.
template <class Real> struct recurrence {
  index_t tokens = 0, keys = 0, values = 0;  // keys a multiple of keys_in_registers, values of the lanes
  const Real* from = nullptr;                // [keys][values]
  index_t from_ld = 0;
  Real* to = nullptr;                        // [keys][values]
  index_t to_ld = 0;
  const Real *q = nullptr, *k = nullptr;     // [tokens][keys]
  index_t key_ld = 0;
  const Real* u = nullptr;                   // [tokens][values]
  Real* y = nullptr;                         // [tokens][values]
  index_t value_ld = 0;
  operand<Real> F;                           // over tokens, keys and channels, as the forget gate varies

  void run(per varies) const {
    switch (varies) {
      case per::nothing: return blocks<per::nothing>();
      case per::head: return blocks<per::head>();
      case per::key: return blocks<per::key>();
      case per::channel: return blocks<per::channel>();
      case per::key_channel: return blocks<per::key_channel>();
    }
  }
  /// Multiplies rows of numbers, `count` in each, by the decays of all tokens.
  void multiply(Real* product, index_t product_ld, index_t rows, index_t count) const {
    using vector = simd<Real>;
    for (index_t r = 0; r < rows; ++r)
      for (index_t c = 0; c < count; c += lanes<Real>) {
        vector by = vector::load(product + r * product_ld + c);
        for (index_t t = 0; t < tokens; ++t) by *= vector::load(F.data + t * F.token + r * F.key + c);
        by.store(product + r * product_ld + c);
      }
  }

 private:
  template <per Varies> void blocks() const {
    constexpr index_t step = keys_in_registers;
    using all_keys = std::make_integer_sequence<int, keys_in_registers>;
    for (index_t key = 0; key < keys; key += step) {
      index_t v = 0;
      for (; v + 2 * lanes<Real> <= values; v += 2 * lanes<Real>) block<Varies, 2>(key, v, all_keys{});
      for (; v < values; v += lanes<Real>) block<Varies, 1>(key, v, all_keys{});
    }
  }

  // S of some keys (I...) and one or two vectors of channels stays in registers over the tile. The packs unroll: an
  // array of vectors indexed by a loop variable would live in memory.
  template <per Varies, int Vectors, int... I>
  SEXTANT_INLINE void block(index_t key, index_t v, std::integer_sequence<int, I...>) const {
    using vector = simd<Real>;
    constexpr index_t next = Vectors == 2 ? lanes<Real> : 0;
    const Real* const in = from + key * from_ld + v;
    vector S0[] = {vector::load(in + I * from_ld)...}, S1[] = {vector::load(in + I * from_ld + next)...};
    for (index_t t = 0; t < tokens; ++t) {
      const Real *const q_t = q + t * key_ld + key, *const k_t = k + t * key_ld + key;
      const Real *const u_t = u + t * value_ld + v, *const F_t = F.data + t * F.token;
      Real* const y_t = y + t * value_ld + v;
      const vector u0 = vector::load(u_t), u1 = vector::load(u_t + next);
      vector y0 = vector::load(y_t), y1 = vector::load(y_t + next), F0(Real(1)), F1(Real(1));
      if constexpr (Varies == per::head) F0 = F1 = vector(*F_t);
      if constexpr (Varies == per::channel) F0 = vector::load(F_t + v), F1 = vector::load(F_t + v + next);
      const auto update = [&](vector& s0, vector& s1, int i) {
        if constexpr (Varies == per::key) F0 = F1 = vector(F_t[key + i]);
        if constexpr (Varies == per::key_channel) {
          const Real* const F_k = F_t + (key + i) * F.key + v;
          F0 = vector::load(F_k), F1 = vector::load(F_k + next);
        }
        const vector k_i(k_t[i]), q_i(q_t[i]);
        s0 = Varies == per::nothing ? fma(k_i, u0, s0) : fma(k_i, u0, F0 * s0);
        y0 = fma(q_i, s0, y0);
        if constexpr (Vectors == 2) {
          s1 = Varies == per::nothing ? fma(k_i, u1, s1) : fma(k_i, u1, F1 * s1);
          y1 = fma(q_i, s1, y1);
        }
      };
      (update(S0[I], S1[I], I), ...);
      y0.store(y_t);
      if constexpr (Vectors == 2) y1.store(y_t + next);
    }
    Real* const out = to + key * to_ld + v;
    (S0[I].store(out + I * to_ld), ...);
    if constexpr (Vectors == 2) (S1[I].store(out + I * to_ld + next), ...);
  }
};

/// The recurrent form. Every design; O(T K' V) per head, tiles of 16 tokens; memory does not grow with T. An item is
/// one sequence, head and block of channels. The state lives where the caller wants the final one, if it lies well
/// there.
template <class Real> struct recurrent {
  static constexpr index_t tile = 16;       // tokens
  static constexpr index_t most_values = 512;
  static constexpr index_t gate_keys = 8;   // keys whose (key, channel) gates are computed at once

  /// Channels of one item: blocks small enough to give every worker some. Every block of a head reads its z and m, and
  /// the first one writes them: where that may be the same memory, one item has all channels.
  static index_t block(const plan<Real>& p, int workers) {
    if ((p.z_in && p.z_out) || (p.m_in && p.m_out)) return padded<Real>(p.values > 0 ? p.values : 1);
    index_t parts = (p.values + most_values - 1) / most_values;
    const index_t others = p.sequences * p.heads;
    while (others * parts < 4 * index_t(workers) && p.values > parts * 128) parts *= 2;
    return parts == 0 ? lanes<Real> : padded<Real>((p.values + parts - 1) / parts);
  }
  static index_t parts(const plan<Real>& p, index_t width) { return p.values == 0 ? 1 : (p.values + width - 1) / width; }
  static index_t items(const plan<Real>& p, int workers) {
    return p.sequences * p.heads * parts(p, block(p, workers));
  }

  const plan<Real>& p;
  index_t values, keys;  // padded
  Real *S, *z, *q_turned, *q, *k_turned, *k, *row, *v, *u, *y, *factor;
  gate_tiles<Real> gates;
  rotation<Real> turning;
  finisher<Real> finish;

  recurrent(const plan<Real>& the_plan, int workers, arena& memory) : p{the_plan} {
    values = block(p, workers);
    keys = padded_keys<Real>(p.width);
    const bool turns = p.position != position_kind::none;
    S = memory.take<Real>(keys * values);
    z = memory.take<Real>(p.normalises() ? keys : 0);
    q = memory.take<Real>(tile * keys);
    k = memory.take<Real>(tile * keys);
    q_turned = turns ? memory.take<Real>(tile * keys) : q;
    k_turned = turns ? memory.take<Real>(tile * keys) : k;
    row = memory.take<Real>(padded<Real>(p.keys));
    v = memory.take<Real>(tile * values);
    u = p.input.is_one && !gates.stabilises(p) ? v : memory.take<Real>(tile * values);
    y = memory.take<Real>(tile * values);
    factor = memory.take<Real>(tile);
    gates.allocate(memory, p, tile, keys, values, gate_keys);
    turning.allocate(memory, p, tile);
    finish.allocate(memory, p, values);
  }

  void run(index_t item, int workers) { run(item, workers, true); }

  /// Without outputs: the final state alone.
  void run(index_t item, int workers, bool outputs) {
    window w = start(item, workers);
    const index_t T = p.length(w.n);
    state_block<Real> state(p, w, S, values);
    if (p.normalises()) read_normaliser(p, w, z, keys);
    const bool global = p.order == order_kind::global;
    sweep(w, T, state, outputs && !global);
    if (global && outputs) {
      gates.keep();
      for (w.t = 0; w.t < T; w.t += tile) {
        load(w, T);
        if (p.normalises()) normalise(w, false, true);
        query(w, state);
        finish.store(p, w, y, v, p.normalises() ? factor : nullptr);
      }
    }
    hand_out(w, state);
  }

  /// The window of an item, everything that does not change over time read.
  window start(index_t item, int workers) {
    const index_t width = block(p, workers), blocks = parts(p, width);
    window w;
    w.n = item / blocks / p.heads;
    w.h = item / blocks % p.heads;
    w.v = item % blocks * width;
    w.values = p.values - w.v < width ? p.values - w.v : width;
    gates.start(p, w);
    turning.start(p, p.key_head(w.h));
    finish.start(p, w);
    return w;
  }
  /// Tokens w.t to `end` meet the state and z; y is stored where there are outputs. `product`, if any, is multiplied by
  /// every decay: [1], [keys], [values] or [keys][values] numbers, as the gate varies.
  void sweep(window& w, index_t end, state_block<Real>& state, bool outputs, Real* product = nullptr) {
    for (; w.t < end; w.t += tile) {
      load(w, end);
      if (p.normalises()) normalise(w, true, outputs);
      update(w, state, product);
      if (outputs) finish.store(p, w, y, v, p.normalises() ? factor : nullptr);
    }
  }
  /// S, z and m to where the caller wants the final ones.
  void hand_out(const window& w, const state_block<Real>& state) {
    state.finish();
    if (p.normalises()) write_normaliser(p, w, z);
    gates.finish(p, w);
  }

  /// The queries, keys, values and gates of the tile that begins at w.t, no further than `end`; y = 0.
  void load(window& w, index_t end) {
    w.count = end - w.t < tile ? end - w.t : tile;
    const index_t g = p.key_head(w.h);
    turning.start_tile(p, w.n, w.t, w.count);
    read_mapped(p, p.q, w, g, turning, false, row, q_turned, q, keys);
    read_mapped(p, p.k, w, g, turning, true, row, k_turned, k, keys);
    read_channels(p, p.v, w, v, values);
    gates.load(p, w, v, u);
    zero(y, w.count * values);
  }

 private:
  /// The tile's decays, keys and values into the state; y = q S.
  void update(const window& w, state_block<Real>& state, Real* product) {
    recurrence<Real> r;
    r.tokens = w.count;
    r.q = q_turned, r.k = k_turned, r.key_ld = keys;
    r.u = u, r.y = y, r.value_ld = values;
    r.from_ld = state.from_ld, r.to_ld = state.to_ld;
    r.values = padded<Real>(w.values);
    const per varies = gates.varies(p);
    if (varies == per::key_channel) {  // gates of a few keys and channels at a time, so that they stay in cache
      constexpr index_t lanes_at_once = 2 * lanes<Real>;
      for (index_t c = 0; c < padded<Real>(w.values); c += lanes_at_once) {
        r.values = padded<Real>(w.values) - c < lanes_at_once ? padded<Real>(w.values) - c : lanes_at_once;
        for (index_t key = 0; key < state.keys; key += gate_keys) {
          r.keys = state.keys - key < gate_keys ? state.keys - key : gate_keys;
          r.F = gates.box(p, w, key, r.keys, c);
          r.q = q_turned + key, r.k = k_turned + key;
          r.u = u + c, r.y = y + c;
          r.from = state.from + key * state.from_ld + c;
          r.to = state.to + key * state.to_ld + c;
          r.run(varies);
          if (product != nullptr) r.multiply(product + key * values + c, values, r.keys, r.values);
        }
      }
    } else {
      r.keys = state.keys;
      r.F = gates.decay(p);
      r.from = state.from, r.to = state.to;
      r.run(varies);
      if (product != nullptr && varies == per::head)
        for (index_t t = 0; t < w.count; ++t) *product *= r.F.data[t];
      if (product != nullptr && varies == per::key) r.multiply(product, 0, 1, keys);
      if (product != nullptr && varies == per::channel) r.multiply(product, 0, 1, r.values);
    }
    state.advance();
  }

  /// y = q S for a state that is complete.
  void query(const window& w, const state_block<Real>& state) {
    using vector = simd<Real>;
    for (index_t t = 0; t < w.count; ++t)
      for (index_t c = 0; c < padded<Real>(w.values); c += lanes<Real>) {
        vector qS(Real(0));
        for (index_t key = 0; key < p.width; ++key)
          qS = fma(vector(q_turned[t * keys + key]), vector::load(state.from + key * state.from_ld + c), qS);
        qS.store(y + t * values + c);
      }
  }

  /// z and factor = scale / divisor, token by token.
  void normalise(const window& w, bool updates, bool reads) {
    using vector = simd<Real>;
    for (index_t t = 0; t < w.count; ++t) {
      const Real *const q_t = q + t * keys, *const k_t = k + t * keys;
      vector qz(Real(0));
      for (index_t i = 0; i < keys; i += lanes<Real>) {
        vector z_i = vector::load(z + i);
        if (updates) {
          z_i = gates.decayed_normaliser(p, t, i, z_i);
          z_i = fma(vector(gates.normaliser_weight(p, t)), vector::load(k_t + i), z_i);
          z_i.store(z + i);
        }
        qz = fma(vector::load(q_t + i), z_i, qz);
      }
      if (reads) factor[t] = p.scale / gates.divisor(p, w, t, sum(qz));
    }
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
