// SPDX-License-Identifier: Apache-2.0
/// @file  One problem for any design: random tensors in float64, the same ones in any precision, and the error of an answer.
#pragma once

#include <algorithm>  // max
#include <cmath>      // fabs, fmax, isnan
#include <cstddef>    // byte
#include <cstdint>    // uint64_t
#include <limits>     // quiet_NaN
#include <vector>     // vector

#include <sextant/reference/recurrent.hpp>
#include <sextant/sextant.hpp>

namespace sextant::test {

/// Numbers in [-1, 1) that are the same on every machine (splitmix64).
struct random_numbers {
  std::uint64_t state = 1;
  double operator()() {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t x = state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return double((x ^ (x >> 31)) >> 11) * 0x1p-52 - 1;
  }
};

struct shape {
  index_t B = 1, T = 1, Hk = 1, H = 1, K = 1, V = 1;
  index_t grid_width = 0;  ///< for designs on images: T = grid_width * something
};

/// What may be asked of a problem besides its shape.
struct wishes {
  std::uint64_t seed = 1;
  bool initial_state = false;
  double gate_size = 1;            ///< raw gates and steps are in [-gate_size, gate_size)
  double rate_size = 1;            ///< rates are in [-rate_size, -rate_size / 8): laws/long_memory.cpp is about smaller ones
  bool positive_keys = false;      ///< q and k in [0, 1), so that a sum of keys is never near 0
  std::vector<index_t> offsets{};  ///< packed sequences
};

/// The memory of a call's tensors in one precision, whatever the design: so that a design costs the compiler little.
template <class Precision> struct tensors {
  using token = typename Precision::token;
  using state_number = typename Precision::state;
  using real = typename Precision::accumulator;

  std::vector<std::vector<token>> tokens;
  std::vector<std::vector<real>> parameters;
  std::vector<std::vector<state_number>> states;
  std::vector<index_t> offsets;

  // Views point into the vectors: a copy would point into the original.
  tensors() = default;
  tensors(tensors&&) noexcept = default;
  tensors& operator=(tensors&&) noexcept = default;

  std::vector<token>& y() { return tokens[0]; }
  std::vector<state_number>& S() { return states[0]; }
  std::vector<state_number>& z() { return states[1]; }
  std::vector<state_number>& m() { return states[2]; }

  random_numbers random;
  float (*through)(float) = nullptr;  // the rounding that numbers must survive

  /// The outputs, full of NaN; N sequences, W keys in the state.
  void take_outputs(const shape& s, index_t N, index_t W) {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    tokens.reserve(16), parameters.reserve(16), states.reserve(16);
    tokens.emplace_back(std::size_t(s.B * s.T * s.H * s.V), token(nan));
    states.emplace_back(std::size_t(N * s.H * W * s.V), state_number(nan));
    states.emplace_back(std::size_t(N * s.H * W), state_number(nan));
    states.emplace_back(std::size_t(N * s.H), state_number(nan));
  }
  /// Makes the outputs NaN again.
  void poison() {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    for (auto& e : tokens[0]) e = token(nan);
    for (int i = 0; i < 3; ++i)
      for (auto& e : states[std::size_t(i)]) e = state_number(nan);
  }
  /// Points `to` at new numbers in [low, high) from the pool its elements belong to.
  template <class Element, class... Axes>
  void fill(std::vector<std::vector<std::remove_const_t<Element>>>& pool, view<Element, Axes...>& to, double low,
            double high, const index_t (&extents)[sizeof...(Axes)]) {
    index_t count = 1;
    for (index_t e : extents) count *= e;
    auto& values = pool.emplace_back(std::size_t(count));
    for (auto& e : values) {
      const float f = float(low + (high - low) * (random() + 1) / 2);
      e = std::remove_const_t<Element>(through(f));
    }
    to = {values.data(), extents};
  }
  /// Makes the newest token tensor logarithms of something <= 1.
  void make_negative() {
    for (auto& e : tokens.back()) e = token(-std::fabs(float(e)));
  }
  /// Makes every other number of the newest parameters an imaginary part, of either sign and so many times greater.
  void make_imaginary(float times) {
    auto& values = parameters.back();
    for (std::size_t i = 1; i < values.size(); i += 2)
      values[i] = real(through(float(values[i]) * (i % 4 == 1 ? times : -times)));
  }
};

/// Owns the tensors of one call of a design, in one precision. Outputs start as NaN.
template <class Design, class Precision> struct problem : tensors<Precision> {
  Design design;
  shape size;
  sequence_of<Design, Precision> x{};
};

template <class Stored> float rounded_through(float x) { return float(Stored(x)); }

/// Whether raw gates are given as logarithms, which must not be positive.
template <class Gate> inline constexpr bool reads_logarithm = false;
template <per P> inline constexpr bool reads_logarithm<forget::log_decay<P>> = true;

/// The problem of a design, its shape and wishes: the same numbers in every precision, rounded to float first and then by
/// `through` (the storage whose rounding they must survive), so that a reference in float64 sees what a kernel sees.
template <class Precision, class Design>
problem<Design, Precision> make_problem_through(float (*through)(float), const Design& design, shape s, const wishes& wish) {
  problem<Design, Precision> p;
  p.design = design;
  p.size = s;
  p.random.state = wish.seed;
  p.through = through;
  auto& x = p.x;
  const index_t W = state_width<typename Design::map_type>(s.K);
  const index_t N = wish.offsets.empty() ? s.B : index_t(wish.offsets.size()) - 1;
  p.take_outputs(s, N, W);
  x.y = {p.y().data(), {s.B, s.T, s.H, s.V}};
  x.final_state.S = {p.S().data(), {N, s.H, W, s.V}};
  if constexpr (requires { x.final_state.z; }) x.final_state.z = {p.z().data(), {N, s.H, W}};
  if constexpr (requires { x.final_state.m; }) x.final_state.m = {p.m().data(), {N, s.H}};

  const double low = wish.positive_keys ? 0 : -1, g = wish.gate_size, r = wish.rate_size;
  if constexpr (requires { x.q; }) {
    p.fill(p.tokens, x.q, low, 1, {s.B, s.T, s.Hk, s.K});
    p.fill(p.tokens, x.k, low, 1, {s.B, s.T, s.Hk, s.K});
  } else {
    p.tokens.resize(3);  // none of them, and v where it always is
    p.fill(p.parameters, x.c, -1, 1, {s.H, s.V, s.K});
    p.fill(p.parameters, x.b, -1, 1, {s.H, s.V, s.K});
    p.fill(p.parameters, x.log_dt, -3, -1, {s.H, s.V});
  }
  p.fill(p.tokens, x.v, -1, 1, {s.B, s.T, s.H, s.V});

  using input_type = typename Design::input_type;
  using forget_type = typename Design::forget_type;
  constexpr per step = sextant::detail::step_granularity<Design>;
  if constexpr (step == per::head) {
    p.fill(p.tokens, x.dt, -g, g, {s.B, s.T, s.H});
    p.fill(p.parameters, x.bias, -1, 1, {s.H});
  } else if constexpr (step == per::channel) {
    p.fill(p.tokens, x.dt, -g, g, {s.B, s.T, s.H, s.V});
    p.fill(p.parameters, x.bias, -1, 1, {s.H, s.V});
  }
  if constexpr (reads_own<input_type>) {
    if constexpr (raw_granularity<input_type> == per::head) p.fill(p.tokens, x.input, -g, g, {s.B, s.T, s.H});
    else p.fill(p.tokens, x.input, -g, g, {s.B, s.T, s.H, s.V});
  }
  if constexpr (reads_own<forget_type>) {
    constexpr per raw = raw_granularity<forget_type>;
    if constexpr (raw == per::head) p.fill(p.tokens, x.forget, -g, g, {s.B, s.T, s.H});
    else if constexpr (raw == per::key) p.fill(p.tokens, x.forget, -g, g, {s.B, s.T, s.H, W});
    else if constexpr (raw == per::channel) p.fill(p.tokens, x.forget, -g, g, {s.B, s.T, s.H, s.V});
    else p.fill(p.tokens, x.forget, -g, g, {s.B, s.T, s.H, W, s.V});
    if constexpr (reads_logarithm<forget_type>) p.make_negative();
  }
  constexpr per rate = rate_granularity<forget_type>;
  if constexpr (rate == per::head) p.fill(p.parameters, x.a, -r, -r / 8, {s.H});
  else if constexpr (rate == per::key) p.fill(p.parameters, x.a, -r, -r / 8, {s.H, W});
  else if constexpr (rate == per::channel) p.fill(p.parameters, x.a, -r, -r / 8, {s.H, s.V});
  else if constexpr (rate == per::key_channel) p.fill(p.parameters, x.a, -r, -r / 8, {s.H, s.V, W});
  if constexpr (requires { x.c; }) p.make_imaginary(6);
  if constexpr (requires { x.d; }) p.fill(p.parameters, x.d, -1, 1, {s.H, s.V});
  if constexpr (requires { x.lepe; }) {
    p.fill(p.parameters, x.lepe, -1, 1, {s.H, s.V, 3, 3});
    p.fill(p.parameters, x.lepe_bias, -1, 1, {s.H, s.V});
  }
  if constexpr (requires { x.grid; })
    x.grid = s.grid_width > 0 ? image_grid{s.T / s.grid_width, s.grid_width} : image_grid{1, s.T};
  if constexpr (requires { x.gate; }) p.fill(p.tokens, x.gate, -1, 1, {s.B, s.T, s.H, s.V});
  if (wish.initial_state) {
    p.fill(p.states, x.initial_state.S, -1, 1, {N, s.H, W, s.V});
    if constexpr (requires { x.initial_state.z; }) p.fill(p.states, x.initial_state.z, 0.5, 1.5, {N, s.H, W});
    if constexpr (requires { x.initial_state.m; }) p.fill(p.states, x.initial_state.m, -1, 1, {N, s.H});
  }
  if (!wish.offsets.empty()) {
    p.offsets = wish.offsets;
    x.offsets = {p.offsets.data(), {index_t(p.offsets.size())}};
  }
  return p;
}

template <class Precision, class Through = float, class Design>
problem<Design, Precision> make_problem(const Design& design, shape s, const wishes& wish = {}) {
  return make_problem_through<Precision>(&rounded_through<Through>, design, s, wish);
}

/// A workspace of exactly the bytes asked for, full of NaN.
inline std::vector<std::byte> poisoned(std::size_t bytes) { return std::vector<std::byte>(bytes, std::byte{0xff}); }

/// max|a - b| / max|b| (or max|a - b| where b is 0 everywhere); NaN, which fails every bound, where one of them is not a
/// number.
template <class A, class B> double relative_error(const std::vector<A>& a, const std::vector<B>& b) {
  double difference = 0, size = 0;
  if (a.size() != b.size()) return std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = double(a[i]), y = double(b[i]);
    if (!(std::fabs(x - y) <= std::numeric_limits<double>::max())) return std::numeric_limits<double>::quiet_NaN();
    difference = std::max(difference, std::fabs(x - y));
    size = std::max(size, std::fabs(y));
  }
  return size > 0 ? difference / size : difference;
}

/// The errors of an answer: of y, and of the final state's S, z and m.
struct errors {
  double y = 0, S = 0, z = 0, m = 0;
  /// The worst of them; NaN if one is.
  double worst() const {
    double most = 0;
    for (double e : {y, S, z, m}) {
      if (std::isnan(e)) return e;
      most = std::fmax(most, e);
    }
    return most;
  }
};
template <class P, class Q> errors compare_tensors(tensors<P>& answer, tensors<Q>& judge, bool has_z, bool has_m) {
  errors e;
  e.y = relative_error(answer.y(), judge.y());
  e.S = relative_error(answer.S(), judge.S());
  if (has_z) e.z = relative_error(answer.z(), judge.z());
  if (has_m) e.m = relative_error(answer.m(), judge.m());
  return e;
}
template <class Design, class P, class Q> errors compare(problem<Design, P>& answer, tensors<Q>& judge) {
  return compare_tensors<P, Q>(answer, judge, requires { answer.x.final_state.z; }, requires { answer.x.final_state.m; });
}

/// Runs a form on a backend with a poisoned workspace of exactly workspace_bytes().
template <class Design, class Precision, class Form, class On>
status run(problem<Design, Precision>& p, const Form& form, On on) {
  auto memory = poisoned(workspace_bytes(p.design, form, on, p.x));
  on.memory = memory;
  return forward(p.design, form, on, p.x);
}

/// The storage whose rounding the numbers of a precision's problems must survive.
template <class Precision>
using storage_of = std::conditional_t<std::is_same_v<typename Precision::token, double>, float, typename Precision::token>;

/// The error of a form against the recurrence in float64, on the same numbers.
template <class Precision = fp32, class Design, class Form = form::automatic, class On = cpu::serial>
errors error_of(const Design& design, shape s, const wishes& wish = {}, const Form& form = {}, On on = {}) {
  using through = storage_of<Precision>;
  auto judge = make_problem<fp64, through>(design, s, wish);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, through>(design, s, wish);
  if (const status done = run(answer, form, on); !done) return {std::numeric_limits<double>::quiet_NaN()};
  return compare(answer, judge);
}

}  // namespace sextant::test
