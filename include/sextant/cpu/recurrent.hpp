// SPDX-License-Identifier: Apache-2.0
/// @file  The recurrent form: token by token, a tile of tokens and a block of channels at a time.
#pragma once

#include <sextant/cpu/finisher.hpp>
#include <sextant/cpu/gates.hpp>
#include <sextant/cpu/recurrence.hpp>
#include <sextant/cpu/rows_ahead.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The recurrence of one block of channels, for every design: what the recurrent form, the scan and the final states of
/// the quadratic form consist of. Tiles of 16 tokens; the state lives where the caller wants the final one, if it lies
/// well there.
template <class Real> struct recurrent {
  static constexpr index_t tile = 16;           // tokens
  static constexpr index_t most_values = 128;   // of a block: its tile of v, u, y and gates stays in the first cache
  static constexpr index_t gate_keys = 8;       // keys whose (key, channel) gates are computed at once

  /// Channels of one block. Every block of a head reads its z and m, and the first one writes them: where that may be
  /// the same memory, there is but one.
  [[gnu::noinline]] static index_t block(const plan<Real>& p) {
    if ((p.z_in && p.z_out) || (p.m_in && p.m_out)) return padded<Real>(p.values > 0 ? p.values : 1);
    const index_t blocks = (p.values + most_values - 1) / most_values;
    return blocks == 0 ? lanes<Real> : padded<Real>((p.values + blocks - 1) / blocks);
  }
  /// Blocks of a head.
  [[gnu::noinline]] static index_t blocks(const plan<Real>& p) {
    return p.values == 0 ? 1 : (p.values + block(p) - 1) / block(p);
  }
  static index_t items(const plan<Real>& p, int) { return p.sequences * p.heads * blocks(p); }

  const plan<Real>& p;
  index_t values, keys;  // padded
  Real *S, *z, *q_turned, *q, *k_turned, *k, *row, *v, *u, *y, *factor;
  gate_tiles<Real> gates;
  rotation<Real> turning;
  finisher<Real> finish;

  /// `kept`: blocks whose state and parameters are kept at once.
  recurrent(const plan<Real>& the_plan, int, arena& memory, index_t kept = 1) : p{the_plan} {
    values = block(p);
    keys = padded_keys<Real>(p.width);
    const bool turns = p.position != position_kind::none;
    S = memory.take<Real>(kept * keys * values);
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
    gates.allocate(memory, p, tile, keys, values, gate_keys, false, kept);
    turning.allocate(memory, p, tile);
    finish.allocate(memory, p, values, kept);
  }

  void run(index_t item, int) { run(item, 0, true); }

  /// Without outputs: the final state alone.
  void run(index_t item, int, bool outputs) {
    window w = start(item, 0);
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
  /// All tokens of the blocks `first` to `last` of one head, every tile of tokens for each of them: adjacent channels
  /// are read one after another, and queries and keys once. For causal and reversed designs.
  void run_together(index_t first, index_t last) {
    for (index_t b = first; b < last; ++b, move(1)) {
      const window w = start(b, 0);
      read_state(p, w, S, values, keys, values);
    }
    move(first - last);
    window w = window_of(first);
    if (p.normalises()) read_normaliser(p, w, z, keys);
    double m = gates.m;
    const index_t T = p.length(w.n);
    for (index_t t = 0; t < T; t += tile) {
      w = window_of(first);
      w.t = t;
      load_keys(w, T);
      for (index_t b = first; b < last; ++b, move(1)) {
        const window channels = window_of(b);
        w.v = channels.v, w.values = channels.values;
        gates.m = m;
        load_values(w);
        if (b == first && p.normalises()) normalise(w, true, true);
        rows_ahead next;
        look_ahead(next, after(w, b + 1 < last ? b + 1 : first, b + 1 < last, T));
        state_block<Real> state(p, w, S, values, keys);
        update(w, state, nullptr, &next);
        finish.store(p, w, y, v, p.normalises() ? factor : nullptr);
      }
      m = gates.m;
      move(first - last);
    }
    for (index_t b = first; b < last; ++b, move(1)) {
      w = window_of(b);
      hand_out(w, state_block<Real>(p, w, S, values, keys));
    }
    move(first - last);
  }

  /// Sequence, head and channels of a block.
  [[gnu::noinline]] window window_of(index_t item) const {
    const index_t width = block(p), count = blocks(p);
    window w;
    w.n = item / count / p.heads;
    w.h = item / count % p.heads;
    w.v = item % count * width;
    w.values = p.values - w.v < width ? p.values - w.v : width;
    return w;
  }
  /// The window of an item, everything that does not change over time read.
  [[gnu::noinline]] window start(index_t item, int) {
    const window w = window_of(item);
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
      update(w, state, product, nullptr);
      if (outputs) finish.store(p, w, y, v, p.normalises() ? factor : nullptr);
    }
  }
  /// S, z and m to where the caller wants the final ones.
  [[gnu::noinline]] void hand_out(const window& w, const state_block<Real>& state) {
    state.finish();
    if (p.normalises()) write_normaliser(p, w, z);
    gates.finish(p, w);
  }

  /// The queries, keys, values and gates of the tile that begins at w.t, no further than `end`; y = 0.
  void load(window& w, index_t end) {
    load_keys(w, end);
    load_values(w);
  }

 private:
  void load_keys(window& w, index_t end) {
    w.count = end - w.t < tile ? end - w.t : tile;
    const index_t g = p.key_head(w.h);
    turning.start_tile(p, w.n, w.t, w.count);
    read_mapped(p, p.q, w, g, turning, false, row, q_turned, q, keys);
    read_mapped(p, p.k, w, g, turning, true, row, k_turned, k, keys);
  }
  [[gnu::noinline]] void load_values(const window& w) {
    read_channels(p, p.v, w, v, values);
    gates.load(p, w, v, u);
    zero(y, w.count * values);
  }
  /// To the state and parameters of a block so many further.
  void move(index_t count) {
    S += count * keys * values;
    gates.move(count);
    finish.move(count);
  }
  /// The window of block b, of the tile of w or the next one.
  window after(const window& w, index_t b, bool same_tile, index_t T) const {
    window next = window_of(b);
    next.t = same_tile ? w.t : w.t + tile;
    next.count = T - next.t < tile ? T - next.t : tile;
    return next;
  }

  /// The channels of the window that is computed next: rows of a few channels lie far apart, a page or more.
  void look_ahead(rows_ahead& next, const window& w) const {
    next.begin(w.count);
    const auto add = [&](const tensor<Real>& x) {
      if (x.value != x.element) return;
      const token_rows these = rows_of(p, x, w, w.h);
      next.add(these.first + w.v * x.value, these.step, w.values * x.element);
    };
    add(p.v);
    if (p.step_varies == per::channel) add(p.dt);
    if (p.forget.raw_varies == per::channel && !p.forget.from_step) add(p.forget.raw);
    if (p.input.raw_varies == per::channel && !p.input.from_step) add(p.input.raw);
    if (p.output_gate) add(p.output_gate);
    add(p.y);
  }

  /// The tile's decays, keys and values into the state; y = q S.
  void update(const window& w, state_block<Real>& state, Real* product, rows_ahead* next) {
    recurrence<Real> r;
    r.tokens = w.count;
    r.key_ld = keys, r.value_ld = values;
    r.from_ld = state.from_ld, r.to_ld = state.to_ld;
    const per varies = gates.varies(p);
    const bool boxes = varies == per::key_channel;  // few keys and channels at a time, so that gates stay in cache
    if (!boxes) r.F = gates.decay(p);
    const index_t all = padded<Real>(w.values), channels = boxes || all == 0 ? 2 * lanes<Real> : all;
    const index_t steps = (all + channels - 1) / channels * ((state.keys + gate_keys - 1) / gate_keys);
    const index_t rows = next != nullptr && steps > 0 ? (next->rows() + steps - 1) / steps : 0;  // asked for in a step
    for (index_t c = 0; c < all; c += channels) {
      r.values = all - c < channels ? all - c : channels;
      r.u = u + c, r.y = y + c;
      const index_t at_once = boxes || next != nullptr ? gate_keys : state.keys;
      for (index_t key = 0; key < state.keys; key += at_once) {
        for (index_t i = 0; i < rows; ++i) next->ask_row();
        r.keys = state.keys - key < at_once ? state.keys - key : at_once;
        if (boxes) r.F = gates.box(p, w, key, r.keys, c);
        r.q = q_turned + key, r.k = k_turned + key;
        r.from = state.from + key * state.from_ld + c;
        r.to = state.to + key * state.to_ld + c;
        r.run(varies);
        if (product != nullptr && boxes) r.multiply(product + key * values + c, values, r.keys, r.values);
        if (varies == per::key) r.F.data += r.keys;
      }
    }
    if (product != nullptr && varies == per::head)
      for (index_t t = 0; t < w.count; ++t) *product *= r.F.data[t];
    r.F = gates.decay(p);
    if (product != nullptr && varies == per::key) r.multiply(product, 0, 1, keys);
    if (product != nullptr && varies == per::channel) r.multiply(product, 0, 1, r.values);
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

/// The recurrent form. Every design; O(T K' V) per head; memory does not grow with T. An item is a sequence, a head and
/// some adjacent blocks of channels.
template <class Real> struct recurrent_form {
  /// Blocks of one item: two items or more for every worker, where there are enough.
  [[gnu::noinline]] static index_t together(const plan<Real>& p, int workers) {
    const index_t blocks = recurrent<Real>::blocks(p), others = p.sequences * p.heads;
    index_t count = p.order == order_kind::global ? 1 : blocks < 24 ? blocks : 24;
    while (count > 1 && others * ((blocks + count - 1) / count) < 2 * index_t(workers)) --count;
    return count;
  }
  static index_t items(const plan<Real>& p, int workers) {
    const index_t each = together(p, workers);
    return p.sequences * p.heads * ((recurrent<Real>::blocks(p) + each - 1) / each);
  }

  static bool alike(const plan<Real>& p) { return p.longest() <= recurrent<Real>::tile; }

  recurrent<Real> tokens;

  recurrent_form(const plan<Real>& p, int workers, arena& memory) : tokens(p, workers, memory, together(p, workers)) {}

  void run(index_t item, int workers) {
    const plan<Real>& p = tokens.p;
    const index_t blocks = tokens.blocks(p), each = together(p, workers), parts = (blocks + each - 1) / each;
    const index_t head = item / parts * blocks, part = item % parts * each;
    const index_t first = head + part, last = head + (part + each < blocks ? part + each : blocks);
    if (last - first > 1 && p.length(head / blocks / p.heads) > tokens.tile) return tokens.run_together(first, last);
    for (index_t b = first; b < last; ++b) tokens.run(b, workers);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
