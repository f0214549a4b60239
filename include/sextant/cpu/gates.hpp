// SPDX-License-Identifier: Apache-2.0
/// @file  The gates of a tile: raw tensors read, parts applied, abs_max's stabiliser followed.
#pragma once

#include <sextant/cpu/state.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The gates of one head, tile by tile.
template <class Real> struct gate_tiles {
  // Of the head:
  Real *bias = nullptr, *rate = nullptr;
  double m = 0;             // abs_max's stabiliser
  bool kept = false;        // the stabiliser has reached its last value
  // Of the tile:
  Real *delta = nullptr;    // step size, [tokens] or [tokens][values]
  Real *raw = nullptr;      // forget gate's own tensor, [tokens], [tokens][keys] or [tokens][values]
  Real *F = nullptr;        // forget gate, in the same shapes, or a box of keys and channels
  Real *I = nullptr;        // input gate, [tokens] or [tokens][values]
  Real *floor = nullptr;    // exp(-m), [tokens]
  Real *raw_box = nullptr;  // own tensor over a box of keys and channels
  double* log2_F = nullptr; // base-2 logarithms of the forget gate per token, where a form asks for them (instead of F)
  index_t parameters = 0;   // numbers from the parameters of one block of channels to those of the next
  index_t most_tokens = 0, keys_ld = 0, values_ld = 0, box_keys = 0;
  index_t keys_whole = 0, values_whole = 0;  // numbers of a row that anybody reads, at most its length

  static constexpr index_t box_lanes = 2 * lanes<Real>;
  static bool stabilises(const plan<Real>& p) { return p.norm == norm_kind::abs_max; }
  /// What the decays that a form sees vary over; the stabiliser turns any gate into one per head.
  static per varies(const plan<Real>& p) {
    return stabilises(p) ? per::head : p.forget.is_one ? per::nothing : p.forget.varies;
  }

  /// `keys`, `values`: row lengths; `box`: keys whose gates are computed at once; `logarithms`: log2_F is wanted;
  /// `blocks`: how many blocks of channels' parameters are kept.
  void allocate(arena& memory, const plan<Real>& p, index_t tokens, index_t keys, index_t values, index_t box,
                bool logarithms = false, index_t blocks = 1) {
    most_tokens = tokens, keys_ld = keys_whole = keys, values_ld = values_whole = values, box_keys = box;
    const index_t numbers = padded<Real>(tokens);
    const auto size = [&](per v) {
      return v == per::key ? tokens * keys : v == per::channel ? tokens * values : v == per::head ? numbers : 0;
    };
    if (p.step_varies != per::nothing) delta = memory.take<Real>(size(p.step_varies));
    const index_t biases = p.step_varies == per::head ? numbers : p.step_varies == per::channel ? values : 0;
    parameters = biases + rate_size(p, values) + lanes<Real>;
    bias = memory.take<Real>(blocks * parameters);
    rate = bias == nullptr ? nullptr : bias + biases;
    raw = memory.take<Real>(p.forget.from_step ? 0 : size(p.forget.raw_varies));
    F = memory.take<Real>(varies(p) == per::key_channel ? tokens * box * box_lanes : size(varies(p)));
    if (p.forget.raw_varies == per::key_channel) raw_box = memory.take<Real>(tokens * box * box_lanes);
    I = memory.take<Real>(p.input.varies == per::channel ? tokens * values : numbers);
    if (stabilises(p)) floor = memory.take<Real>(numbers);
    if (logarithms) log2_F = memory.take<double>(numbers);
  }

  /// Goes `blocks` blocks of channels further, where `allocate` was asked for several.
  void move(index_t blocks) {
    bias += blocks * parameters;
    rate += blocks * parameters;
  }
  /// The parameters of a head.
  void start(const plan<Real>& p, const window& w) {
    if (p.step_varies != per::nothing) bias_of(p, w, most_tokens, bias, values_ld);
    zero(rate, lanes<Real>);
    rate_of(p, w, rate, values_ld);
    kept = false;
    m = 0;
    if (p.m_in) {
      Real first;
      p.m_in.read(p.m_in.at(w.n, 0, w.h), p.m_in.element, 1, &first);
      m = double(first);
    }
  }
  void finish(const plan<Real>& p, const window& w) const {
    const Real last = Real(m);
    if (p.m_out && w.v == 0) p.m_out.write(&last, 1, p.m_out.at(w.n, 0, w.h), p.m_out.element);
  }
  /// From now on tiles are only read: m stays.
  void keep() { kept = true; }

  /// The gates of a tile, and u = I (.) v in rows of values_ld (u may be v where the input gate is one).
  void load(const plan<Real>& p, const window& w, const Real* v, Real* u) {
    read_step(p, w, bias, delta, values_ld);
    read_raw(p, w);
    if (stabilises(p)) stabilise(p, w);
    else {
      if (log2_F == nullptr) evaluate(p, w, p.forget.value, F);
      else logarithms(p, w);
      evaluate_input(p, w, p.input.value, I);
    }
    if (u != v) enter(p, w, v, u);
  }
  /// The decays of the tile, for a gate that does not vary over keys and channels at once.
  operand<Real> decay(const plan<Real>& p) const {
    switch (varies(p)) {
      case per::head: return {F, 1, 0, 0};
      case per::key: return {F, keys_ld, 1, 0};
      case per::channel: return {F, values_ld, 0, 1};
      default: return {};
    }
  }
  /// The decays of a few keys from `key` and channels from `c` on.
  operand<Real> box(const plan<Real>& p, const window& w, index_t key, index_t keys, index_t c) const {
    // Wide vectors pad rows with whole boxes of keys that are none.
    const index_t left = p.width > key ? p.width - key : 0, real_keys = left < keys ? left : keys;
    operand<Real> x{rate, 0, 0, 0}, a{rate, 0, 0, 0};
    const Real* const own = p.forget.from_step ? delta : raw;
    switch (p.forget.raw_varies) {
      case per::nothing: break;
      case per::head: x = {own, 1, 0, 0}; break;
      case per::key: x = {own + key, keys_ld, 1, 0}; break;
      case per::channel: x = {own + c, values_ld, 0, 1}; break;
      case per::key_channel: x = read_box(p, w, key, real_keys, c); break;
    }
    switch (p.forget.rate_varies) {
      case per::nothing:
      case per::head: break;
      case per::key: a = {rate + key, 0, 1, 0}; break;
      case per::channel: a = {rate + c, 0, 0, 1}; break;
      case per::key_channel: a = {rate + key * values_ld + c, 0, values_ld, 1}; break;
    }
    p.forget.value(p.forget.part, w.count, real_keys, box_lanes, x, a, F, box_keys * box_lanes, box_lanes);
    for (index_t t = 0; t < w.count; ++t)  // rows that pad the keys hold nothing, and stay so
      zero(F + (t * box_keys + real_keys) * box_lanes, (keys - real_keys) * box_lanes);
    return {F, box_keys * box_lanes, box_lanes, 1};
  }

  /// z before the token's key is added, for the keys from i on.
  simd<Real> decayed_normaliser(const plan<Real>& p, index_t t, index_t i, simd<Real> z) const {
    if (p.norm == norm_kind::sum_undecayed) return z;
    switch (varies(p)) {
      case per::head: return simd<Real>(F[t]) * z;
      case per::key: return simd<Real>::load(F + t * keys_ld + i) * z;
      default: return z;
    }
  }
  /// What a key is multiplied by when it enters z.
  Real normaliser_weight(const plan<Real>& p, index_t t) const { return stabilises(p) ? I[t] : Real(1); }
  /// What q S is divided by, given q z.
  Real divisor(const plan<Real>& p, const window& w, index_t t, Real qz) const {
    if (stabilises(p)) {
      const Real size = math::abs(p.scale * qz);
      return (size < floor[t] ? floor[t] : size) + p.eps;
    }
    return qz + (p.norm == norm_kind::mean ? Real(p.length(w.n)) * p.eps : p.eps);
  }

 private:
  void read_raw(const plan<Real>& p, const window& w) {
    if (p.forget.from_step) return;
    switch (p.forget.raw_varies) {
      case per::head: read_numbers(p, p.forget.raw, w, raw); break;
      case per::key: read_rows(p, p.forget.raw, w, w.h, 0, p.forget.raw.key, p.width, raw, keys_ld, keys_whole); break;
      case per::channel: read_channels(p, p.forget.raw, w, raw, values_ld, values_whole); break;
      default: break;
    }
  }
  operand<Real> read_box(const plan<Real>& p, const window& w, index_t key, index_t keys, index_t c) const {
    const tensor<Real>& x = p.forget.raw;
    const index_t left = w.values - c, count = left < box_lanes ? left : box_lanes;
    const token_rows rows = rows_of(p, x, w, w.h);
    for (index_t t = 0; t < w.count; ++t)
      for (index_t i = 0; i < keys; ++i) {
        Real* const to = raw_box + (t * box_keys + i) * box_lanes;
        x.read(rows.first + t * rows.step + (key + i) * x.key + (w.v + c) * x.value, x.value, count, to);
        zero_tail(to, count, box_lanes);
      }
    return {raw_box, box_keys * box_lanes, box_lanes, 1};
  }

  /// A function of the forget gate over the tile, into the shape of F.
  void evaluate(const plan<Real>& p, const window& w, gate_function<Real> function, Real* out) const {
    const per v = p.forget.is_one ? per::nothing : p.forget.varies;
    if (v == per::nothing || v == per::key_channel) return;
    const Real* const own = p.forget.raw_varies == per::nothing ? rate : p.forget.from_step ? delta : raw;
    const bool raw_rows = p.forget.raw_varies == v, rate_rows = p.forget.rate_varies == v && v != per::head;
    if (v == per::head) {  // lanes are tokens
      function(p.forget.part, 1, 1, w.count, {own, 0, 0, raw_rows ? 1 : 0}, {rate, 0, 0, 0}, out, 0, 0);
      return;
    }
    const index_t ld = v == per::key ? keys_ld : values_ld, count = v == per::key ? p.width : w.values;
    const bool numbers = p.forget.raw_varies == per::head;
    function(p.forget.part, w.count, 1, count, {own, raw_rows ? ld : numbers ? 1 : 0, 0, raw_rows ? 1 : 0},
             {rate, 0, 0, rate_rows ? 1 : 0}, out, ld, 0);
    for (index_t t = 0; t < w.count; ++t) zero_tail(out + t * ld, count, v == per::key ? keys_whole : values_whole);
  }
  void evaluate_input(const plan<Real>& p, const window& w, gate_function<Real> function, Real* out) const {
    if (p.input.is_one) return;
    const operand<Real> no_rate{rate, 0, 0, 0};
    if (p.input.varies == per::channel) {
      const Real* own = delta;
      if (!p.input.from_step) read_channels(p, p.input.raw, w, out, values_ld, values_whole), own = out;
      function(p.input.part, w.count, 1, w.values, {own, values_ld, 0, 1}, no_rate, out, values_ld, 0);
    } else {
      const Real* own = rate;
      if (p.input.from_step) own = delta;
      else if (p.input.raw_varies == per::head) read_numbers(p, p.input.raw, w, out), own = out;
      function(p.input.part, 1, 1, w.count, {own, 0, 0, p.input.raw_varies == per::head ? 1 : 0}, no_rate, out, 0, 0);
    }
  }

  /// m_t = max(log F_t + m_{t-1}, log I_t); F and I become exp of what is left of their logarithms, both <= 1.
  void stabilise(const plan<Real>& p, const window& w) {
    if (p.forget.is_one) zero(F, w.count);
    else evaluate(p, w, p.forget.logarithm, F);
    if (p.input.is_one) zero(I, w.count);
    else evaluate_input(p, w, p.input.logarithm, I);
    for (index_t t = 0; t < w.count; ++t) {
      const double log_F = double(F[t]), log_I = double(I[t]), before = m;
      if (!kept) m = log_F + before > log_I ? log_F + before : log_I;
      F[t] = Real(math::exp(log_F + before - m));
      I[t] = Real(math::exp(log_I - m));
      if (log2_F != nullptr) log2_F[t] = log2_of_decay(log_F + before - m);
      floor[t] = Real(math::exp(-m));
    }
  }
  /// The base-2 logarithm of a decay from its natural one. A gate of 0 keeps a finite one, 2^-4096 being 0 in any
  /// arithmetic here, so that differences of sums of logarithms stay numbers.
  static double log2_of_decay(double natural) {
    const double log2 = natural * 1.4426950408889634;
    return log2 < -4096 ? -4096 : log2;
  }
  /// log2_F of a gate per head; F is used up.
  void logarithms(const plan<Real>& p, const window& w) const {
    evaluate(p, w, p.forget.logarithm, F);
    for (index_t t = 0; t < w.count; ++t) log2_F[t] = log2_of_decay(double(F[t]));
  }
  void enter(const plan<Real>& p, const window& w, const Real* v, Real* u) const {
    using vector = simd<Real>;
    const bool rows = p.input.varies == per::channel;
    for (index_t t = 0; t < w.count; ++t)
      for (index_t c = 0; c < values_whole; c += lanes<Real>) {
        const vector gate = rows ? vector::load(I + t * values_ld + c) : vector(I[t]);
        (gate * vector::load(v + t * values_ld + c)).store(u + t * values_ld + c);
      }
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
