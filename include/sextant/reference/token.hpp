// SPDX-License-Identifier: Apache-2.0
/// @file  What one token says to the reference: its query, key, gates, shortcut, read plainly from the tensors.
#pragma once

#include <cmath>   // cos, pow, sin
#include <vector>  // vector

#include <sextant/tensor/sequence.hpp>

/// The formula, token by token, in code that reads like it and for any scalar type: float64 here is the judge of every
/// form and backend. The reference allocates, and trusts its caller's shapes.
namespace sextant::reference {

/// The tokens of a call, as numbers of the precision's accumulator type.
template <class Design, class Precision> struct tokens {
  using real = typename Precision::accumulator;
  using row = std::vector<real>;
  using input_type = typename Design::input_type;
  using forget_type = typename Design::forget_type;
  using map_type = typename Design::map_type;

  const Design& design;
  const sequence_of<Design, Precision>& x;

  static constexpr bool reversed = std::is_same_v<typename Design::order_type, order::reversed>;
  /// Whether F differs from channel to channel of a key.
  static constexpr bool forgets_by_channel =
      granularity<forget_type> == per::channel || granularity<forget_type> == per::key_channel ||
      (reads_step<forget_type> && detail::step_granularity<Design> == per::channel);

  index_t sequences() const { return x.offsets ? x.offsets.size() - 1 : x.v.template extent<axis::batch>(); }
  index_t first(index_t n) const { return x.offsets ? x.offsets(n) : 0; }
  index_t length(index_t n) const { return x.offsets ? x.offsets(n + 1) - x.offsets(n) : x.v.template extent<axis::time>(); }
  index_t batch(index_t n) const { return x.offsets ? 0 : n; }
  index_t heads() const { return x.v.template extent<axis::head>(); }
  index_t values() const { return x.v.template extent<axis::value>(); }
  index_t keys() const {
    if constexpr (time_invariant<forget_type>) return x.c.template extent<axis::key>();
    else return x.k.template extent<axis::key>();
  }
  index_t width() const { return state_width<map_type>(keys()); }
  index_t key_head(index_t h) const { return h * x.k.template extent<axis::head>() / heads(); }
  /// Where token t of sequence n lies, t counting in the order in which the state meets the tokens.
  index_t place(index_t n, index_t t) const { return first(n) + (reversed ? length(n) - 1 - t : t); }

  /// phi of K numbers, the keys' scale first.
  row mapped(row raw, bool is_key) const {
    if (is_key)
      for (real& e : raw) e = e * key_scale<real>(design.feature_map, keys());
    if constexpr (detail::expanding_map<map_type>) {
      row phi(std::size_t(width()), real(0));
      design.feature_map.expand(raw.data(), keys(), phi.data());
      return phi;
    } else {
      for (real& e : raw) e = design.feature_map(e);
      return raw;
    }
  }
  /// The rotation of the design's position, of the mapped numbers of key head g at token t.
  row turned(row phi, index_t n, index_t t, index_t g) const {
    if constexpr (detail::turns_1d<Design> || detail::turns_2d<Design>) {
      const index_t at = place(n, t) - first(n), W = width();
      for (index_t m = 0; m < W / 2; ++m) {
        double angle = 0;
        if constexpr (detail::turns_1d<Design>)
          angle = double(at + x.first_position) * std::pow(design.position.base, -2.0 * double(m) / double(W));
        if constexpr (detail::turns_2d<Design>) {
          const index_t quarter = x.k.template extent<axis::head>() * W / 4, pair = g * W / 2 + m;
          const index_t coordinate = pair < quarter ? at / x.grid.width : at % x.grid.width;
          angle = double(coordinate) * std::pow(design.position.base, -double(pair % quarter) / double(quarter));
        }
        const real c = real(std::cos(angle)), s = real(std::sin(angle));
        const real re = phi[std::size_t(2 * m)], im = phi[std::size_t(2 * m + 1)];
        phi[std::size_t(2 * m)] = re * c - im * s;
        phi[std::size_t(2 * m + 1)] = re * s + im * c;
      }
    }
    return phi;
  }
  row query(index_t n, index_t t, index_t h) const { return mapped(raw(x.q, n, t, h), false); }
  row key(index_t n, index_t t, index_t h) const { return mapped(raw(x.k, n, t, h), true); }
  row turned_query(index_t n, index_t t, index_t h) const { return turned(query(n, t, h), n, t, key_head(h)); }
  row turned_key(index_t n, index_t t, index_t h) const { return turned(key(n, t, h), n, t, key_head(h)); }

  real value(index_t n, index_t t, index_t h, index_t v) const { return real(x.v(batch(n), place(n, t), h, v)); }

  /// delta = softplus(dt + bias), the identity above 20.
  real step(index_t n, index_t t, index_t h, index_t v) const {
    (void)v;
    const index_t b = batch(n), at = place(n, t);
    if constexpr (detail::step_granularity<Design> == per::channel)
      return math::softplus(real(x.dt(b, at, h, v)) + (x.bias ? real(x.bias(h, v)) : real(0)));
    else
      return math::softplus(real(x.dt(b, at, h)) + (x.bias ? real(x.bias(h)) : real(0)));
  }
  /// What a gate reads of token t.
  template <class Gate, class View>
  real raw_of(const View& tensor, index_t n, index_t t, index_t h, index_t k, index_t v) const {
    const index_t b = batch(n), at = place(n, t);
    (void)k, (void)v;
    if constexpr (raw_granularity<Gate> == per::head) return real(tensor(b, at, h));
    else if constexpr (raw_granularity<Gate> == per::key) return real(tensor(b, at, h, k));
    else if constexpr (raw_granularity<Gate> == per::channel) return real(tensor(b, at, h, v));
    else return real(tensor(b, at, h, k, v));
  }
  real input_raw(index_t n, index_t t, index_t h, index_t v) const {
    if constexpr (reads_step<input_type>) return step(n, t, h, v);
    else if constexpr (reads_own<input_type>) return raw_of<input_type>(x.input, n, t, h, 0, v);
    else return real(0);
  }
  real forget_raw(index_t n, index_t t, index_t h, index_t k, index_t v) const {
    if constexpr (reads_step<forget_type>) return step(n, t, h, v);
    else if constexpr (reads_own<forget_type>) return raw_of<forget_type>(x.forget, n, t, h, k, v);
    else return real(0);
  }
  real rate(index_t h, index_t k, index_t v) const {
    (void)h, (void)k, (void)v;
    constexpr per P = rate_granularity<forget_type>;
    if constexpr (P == per::nothing) return real(0);
    else {
      if constexpr (requires { forget_type::template default_rate<real>(h); })
        if (!x.a) return forget_type::template default_rate<real>(h);
      if constexpr (P == per::head) return real(x.a(h));
      else if constexpr (P == per::key) return real(x.a(h, k));
      else if constexpr (P == per::channel) return real(x.a(h, v));
      else return real(x.a(h, v, k));
    }
  }
  real input(index_t n, index_t t, index_t h, index_t v) const {
    return gate_value(design.input_gate, input_raw(n, t, h, v), real(0));
  }
  real log_input(index_t n, index_t t, index_t h) const {
    return gate_log(design.input_gate, input_raw(n, t, h, 0), real(0));
  }
  real forget(index_t n, index_t t, index_t h, index_t k, index_t v) const {
    return gate_value(design.forget_gate, forget_raw(n, t, h, k, v), rate(h, k, v));
  }
  real log_forget(index_t n, index_t t, index_t h) const {
    return gate_log(design.forget_gate, forget_raw(n, t, h, 0, 0), rate(h, 0, 0));
  }

  /// What the shortcut adds to channel v of token t.
  real shortcut(index_t n, index_t t, index_t h, index_t v) const {
    if constexpr (detail::is_learned<Design>) return real(x.d(h, v)) * value(n, t, h, v);
    else if constexpr (detail::is_local<Design>) {
      const index_t at = place(n, t) - first(n), i = at / x.grid.width, j = at % x.grid.width;
      real sum = x.lepe_bias ? real(x.lepe_bias(h, v)) : real(0);
      for (index_t di = -1; di <= 1; ++di)
        for (index_t dj = -1; dj <= 1; ++dj) {
          const index_t above = i + di, beside = j + dj;
          if (above < 0 || above >= x.grid.height || beside < 0 || beside >= x.grid.width) continue;
          sum = sum + real(x.lepe(h, v, di + 1, dj + 1)) *
                          real(x.v(batch(n), first(n) + above * x.grid.width + beside, h, v));
        }
      return sum;
    } else return (void)n, (void)t, (void)h, (void)v, real(0);
  }
  /// y (.) silu(gate), where the design has an output gate.
  real output(real y, index_t n, index_t t, index_t h, index_t v) const {
    if constexpr (detail::has_output_gate<Design>) return y * math::silu(real(x.gate(batch(n), place(n, t), h, v)));
    else return (void)n, (void)t, (void)h, (void)v, y;
  }

 private:
  template <class View> row raw(const View& tensor, index_t n, index_t t, index_t h) const {
    row r;
    for (index_t i = 0; i < keys(); ++i) r.push_back(real(tensor(batch(n), place(n, t), key_head(h), i)));
    return r;
  }
};

}  // namespace sextant::reference
