// SPDX-License-Identifier: Apache-2.0
/// @file  One problem for any design: random tensors in float64, the same ones in any precision, and the error of an answer.
#pragma once

#include <cmath>    // fabs, isnan
#include <cstddef>  // byte
#include <cstdint>  // uint64_t
#include <limits>   // quiet_NaN
#include <vector>   // vector

#include <sextant/reference/recurrent.hpp>
#include <sextant/sextant.hpp>

namespace sextant::test {

/// Numbers in [-1, 1) that are the same on every machine (splitmix64), exact in bfloat16 storage if `bits` says so.
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

/// Owns the tensors of one call, in one precision. Outputs start as NaN.
template <class Design, class Precision> struct problem {
  using token = typename Precision::token;
  using state_number = typename Precision::state;
  using real = typename Precision::accumulator;

  Design design;
  shape size;
  std::vector<std::vector<token>> tokens;
  std::vector<std::vector<real>> parameters;
  std::vector<std::vector<state_number>> states;
  std::vector<index_t> offsets;
  sequence_of<Design, Precision> x{};

  std::vector<token>& y() { return tokens[0]; }
  std::vector<state_number>& S() { return states[0]; }
  std::vector<state_number>& z() { return states[1]; }
  std::vector<state_number>& m() { return states[2]; }
};

/// What may be asked of a problem besides its shape.
struct wishes {
  std::uint64_t seed = 1;
  bool initial_state = false;
  double gate_size = 1;            ///< raw gates and steps are in [-gate_size, gate_size)
  double rate_size = 1;            ///< rates are in (-rate_size, 0]
  bool positive_keys = false;      ///< q and k in [0, 1), so that a sum of keys is never near 0
  std::vector<index_t> offsets{};  ///< packed sequences
};

/// The problem of a design, its shape and wishes: the same numbers in every precision, rounded to float first and then to
/// `Through` (the storage whose rounding they must survive), so that a reference in float64 sees what a kernel sees.
template <class Precision, class Through = float, class Design>
problem<Design, Precision> make_problem(const Design& design, shape s, const wishes& wish = {}) {
  problem<Design, Precision> p;
  p.design = design;
  p.size = s;
  using token = typename Precision::token;
  using state_number = typename Precision::state;
  const index_t W = state_width<typename Design::map_type>(s.K);
  const index_t N = wish.offsets.empty() ? s.B : index_t(wish.offsets.size()) - 1;
  random_numbers random{wish.seed};
  const auto size_of = [](auto... e) { return std::size_t((e * ... * index_t(1))); };
  p.tokens.reserve(16);
  p.parameters.reserve(16);
  p.states.reserve(16);

  p.tokens.emplace_back(size_of(s.B, s.T, s.H, s.V), token(std::numeric_limits<float>::quiet_NaN()));
  p.x.y = {p.y().data(), {s.B, s.T, s.H, s.V}};
  p.states.emplace_back(size_of(N, s.H, W, s.V), state_number(std::numeric_limits<float>::quiet_NaN()));
  p.states.emplace_back(size_of(N, s.H, W), state_number(std::numeric_limits<float>::quiet_NaN()));
  p.states.emplace_back(size_of(N, s.H), state_number(std::numeric_limits<float>::quiet_NaN()));
  p.x.final_state.S = {p.S().data(), {N, s.H, W, s.V}};
  if constexpr (requires { p.x.final_state.z; }) p.x.final_state.z = {p.z().data(), {N, s.H, W}};
  if constexpr (requires { p.x.final_state.m; }) p.x.final_state.m = {p.m().data(), {N, s.H}};

  const auto fill = [&](auto& pool, double low, double high, std::size_t count) {
    auto& values = pool.emplace_back(count);
    using element = std::remove_cvref_t<decltype(values[0])>;
    for (auto& e : values) {
      const float f = float(low + (high - low) * (random() + 1) / 2);
      e = element(float(Through(f)));
    }
    return values.data();
  };
  const auto token_rows = [&](double low, double high, auto... e) { return fill(p.tokens, low, high, size_of(e...)); };
  const auto numbers = [&](double low, double high, auto... e) { return fill(p.parameters, low, high, size_of(e...)); };
  const double low = wish.positive_keys ? 0 : -1, g = wish.gate_size, r = wish.rate_size;

  p.x.q = {token_rows(low, 1, s.B, s.T, s.Hk, s.K), {s.B, s.T, s.Hk, s.K}};
  p.x.k = {token_rows(low, 1, s.B, s.T, s.Hk, s.K), {s.B, s.T, s.Hk, s.K}};
  p.x.v = {token_rows(-1, 1, s.B, s.T, s.H, s.V), {s.B, s.T, s.H, s.V}};
  const auto raw = [&]<per Varies>(auto& tensor) {
    if constexpr (Varies == per::head) tensor = {token_rows(-g, g, s.B, s.T, s.H), {s.B, s.T, s.H}};
    else if constexpr (Varies == per::key) tensor = {token_rows(-g, g, s.B, s.T, s.H, W), {s.B, s.T, s.H, W}};
    else if constexpr (Varies == per::channel) tensor = {token_rows(-g, g, s.B, s.T, s.H, s.V), {s.B, s.T, s.H, s.V}};
    else tensor = {token_rows(-g, g, s.B, s.T, s.H, W, s.V), {s.B, s.T, s.H, W, s.V}};
  };
  constexpr per step = sextant::detail::step_granularity<Design>;
  if constexpr (step != per::nothing) {
    raw.template operator()<step>(p.x.dt);
    if constexpr (step == per::head) p.x.bias = {numbers(-1, 1, s.H), {s.H}};
    else p.x.bias = {numbers(-1, 1, s.H, s.V), {s.H, s.V}};
  }
  using input_type = typename Design::input_type;
  using forget_type = typename Design::forget_type;
  if constexpr (reads_own<input_type>) raw.template operator()<raw_granularity<input_type>>(p.x.input);
  if constexpr (reads_own<forget_type>) {
    raw.template operator()<raw_granularity<forget_type>>(p.x.forget);
    if constexpr (std::is_same_v<forget_type, forget::log_decay<raw_granularity<forget_type>>>)
      for (auto& e : p.tokens.back()) e = token(-std::fabs(double(float(e))));  // a logarithm of something <= 1
  }
  constexpr per rate = rate_granularity<forget_type>;
  if constexpr (rate == per::head) p.x.a = {numbers(-r, 0, s.H), {s.H}};
  else if constexpr (rate == per::key) p.x.a = {numbers(-r, 0, s.H, W), {s.H, W}};
  else if constexpr (rate == per::channel) p.x.a = {numbers(-r, 0, s.H, s.V), {s.H, s.V}};
  else if constexpr (rate == per::key_channel) p.x.a = {numbers(-r, 0, s.H, s.V, W), {s.H, s.V, W}};
  if constexpr (requires { p.x.d; }) p.x.d = {numbers(-1, 1, s.H, s.V), {s.H, s.V}};
  if constexpr (requires { p.x.lepe; }) {
    p.x.lepe = {numbers(-1, 1, s.H, s.V, 3, 3), {s.H, s.V, 3, 3}};
    p.x.lepe_bias = {numbers(-1, 1, s.H, s.V), {s.H, s.V}};
  }
  if constexpr (requires { p.x.grid; })
    p.x.grid = s.grid_width > 0 ? image_grid{s.T / s.grid_width, s.grid_width} : image_grid{1, s.T};
  if constexpr (requires { p.x.gate; }) p.x.gate = {token_rows(-1, 1, s.B, s.T, s.H, s.V), {s.B, s.T, s.H, s.V}};
  if (wish.initial_state) {
    p.x.initial_state.S = {fill(p.states, -1, 1, size_of(N, s.H, W, s.V)), {N, s.H, W, s.V}};
    if constexpr (requires { p.x.initial_state.z; })
      p.x.initial_state.z = {fill(p.states, 0.5, 1.5, size_of(N, s.H, W)), {N, s.H, W}};
    if constexpr (requires { p.x.initial_state.m; })
      p.x.initial_state.m = {fill(p.states, -1, 1, size_of(N, s.H)), {N, s.H}};
  }
  if (!wish.offsets.empty()) {
    p.offsets = wish.offsets;
    p.x.offsets = {p.offsets.data(), {index_t(p.offsets.size())}};
  }
  return p;
}

/// A workspace of exactly the bytes asked for, full of NaN.
inline std::vector<std::byte> poisoned(std::size_t bytes) { return std::vector<std::byte>(bytes, std::byte{0xff}); }

/// max|a - b| / max|b| (or max|a| where b is 0 everywhere); NaN, which fails every bound, where one of them is not a number.
template <class A, class B> double relative_error(const std::vector<A>& a, const std::vector<B>& b) {
  double difference = 0, size = 0;
  if (a.size() != b.size()) return std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = double(a[i]), y = double(b[i]);
    if (!(std::fabs(x - y) <= std::numeric_limits<double>::max())) return std::numeric_limits<double>::quiet_NaN();
    difference = std::fmax(difference, std::fabs(x - y));
    size = std::fmax(size, std::fabs(y));
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
template <class Design, class P, class Q> errors compare(problem<Design, P>& answer, problem<Design, Q>& judge) {
  errors e;
  e.y = relative_error(answer.y(), judge.y());
  e.S = relative_error(answer.S(), judge.S());
  if constexpr (requires { answer.x.final_state.z; }) e.z = relative_error(answer.z(), judge.z());
  if constexpr (requires { answer.x.final_state.m; }) e.m = relative_error(answer.m(), judge.m());
  return e;
}

/// Runs a form on a backend with a poisoned workspace of exactly workspace_bytes().
template <class Design, class Precision, class Form, class On>
status run(problem<Design, Precision>& p, const Form& form, On on) {
  auto memory = poisoned(workspace_bytes(p.design, form, on, p.x));
  on.memory = memory;
  return forward(p.design, form, on, p.x);
}

/// The error of a form against the recurrence in float64, on the same numbers.
template <class Precision = fp32, class Design, class Form = form::automatic, class On = cpu::serial>
errors error_of(const Design& design, shape s, const wishes& wish = {}, const Form& form = {}, On on = {}) {
  using through = typename Precision::token;
  auto judge = make_problem<fp64, std::conditional_t<std::is_same_v<through, double>, float, through>>(design, s, wish);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, std::conditional_t<std::is_same_v<through, double>, float, through>>(design, s, wish);
  if (const status done = run(answer, form, on); !done) return {std::numeric_limits<double>::quiet_NaN()};
  return compare(answer, judge);
}

}  // namespace sextant::test
