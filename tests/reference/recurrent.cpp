// SPDX-License-Identifier: Apache-2.0
/// @file  The definition itself: worked by hand, cut, packed, reversed, and differentiated.
#include <doctest/doctest.h>

#include <array>   // array
#include <cmath>   // cos, exp, fabs, log, sin, sqrt
#include <string>  // string
#include <vector>  // vector

#include <sextant/math/dual.hpp>
#include <sextant/reference/quadratic.hpp>

#include "cases.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// Three tokens of one head, one key and one channel; the numbers are exact in binary.
constexpr double q[] = {2, -1, 0.5}, k[] = {1, 0.5, -2}, v[] = {4, -8, 1}, raw[] = {0.5, 2, -1}, f[] = {0.25, 0.5, 2};

struct outcome {
  std::array<double, 3> y;
  double S, z, m;
};
template <class Design> outcome three_tokens(const Design& design) {
  auto p = make_problem<fp64>(design, {.T = 3});
  const auto set = [](const auto& to, const double (&from)[3]) {
    for (int i = 0; i < 3; ++i) const_cast<double*>(to.data())[i] = from[i];
  };
  set(p.x.q, q), set(p.x.k, k), set(p.x.v, v);
  const double logs[] = {std::log(f[0]), std::log(f[1]), std::log(f[2])};
  if constexpr (requires { p.x.forget; }) set(p.x.forget, logs);
  if constexpr (requires { p.x.input; }) set(p.x.input, raw);
  if constexpr (requires { p.x.gate; }) set(p.x.gate, raw);
  if constexpr (requires { p.x.d; }) *const_cast<double*>(p.x.d.data()) = 3;
  reference::recurrent(design, p.x);
  return {{p.y()[0], p.y()[1], p.y()[2]}, p.S()[0], p.z()[0], p.m()[0]};
}
void check_near(const std::array<double, 3>& got, const std::array<double, 3>& known) {
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::fabs(got[i] - known[i]) <= 1e-14 * (1 + std::fabs(known[i])));
}
constexpr auto plain = linear_attention.with(norm::none{}, map::identity{});
constexpr auto decayed = plain.with(forget::log_decay<per::head>{});

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE("by hand: sums, decays, shortcut, scale") {
  // S = 4, then 4 - 4 = 0, then 0 - 2 = -2.
  CHECK(three_tokens(plain).y == std::array<double, 3>{8, 0, -1});
  CHECK(three_tokens(plain).S == -2);
  CHECK(three_tokens(plain.with(scale::constant{0.5})).y == std::array<double, 3>{4, 0, -0.5});
  CHECK(three_tokens(plain.with(shortcut::learned{})).y == std::array<double, 3>{8 + 12, 0 - 24, -1 + 3});
  CHECK(three_tokens(plain.with(order::reversed{})).y == std::array<double, 3>{-4, 6, -1});  // S = -2, -6, -2
  CHECK(three_tokens(plain.with(order::global{})).y == std::array<double, 3>{-4, 2, -1});
  // S = 4, then 2 - 4 = -2, then -4 - 2 = -6.
  check_near(three_tokens(decayed).y, {8, 2, -3});
}
TEST_CASE("by hand: what y is divided by") {
  // z = 1, then 1.5, then -0.5; decayed 1, then 1, then 0.
  CHECK(three_tokens(plain.with(norm::sum{.eps = 0.5})).y == std::array<double, 3>{8 / 2.5, 0, -1 / 0.25});
  CHECK(three_tokens(plain.with(norm::sum{})).z == -0.5);
  check_near(three_tokens(decayed.with(norm::sum{.eps = 0.5})).y, {8 / 2.5, 2 / -0.5, -3 / 0.5});
  check_near(three_tokens(decayed.with(norm::sum_undecayed{.eps = 0.5})).y, {8 / 2.5, 2 / -1.0, -3 / 0.25});
  CHECK(three_tokens(plain.with(norm::mean{.eps = 0.5}, order::global{})).y ==
        std::array<double, 3>{-4 / (-1 + 1.5), 2 / (0.5 + 1.5), -1 / (-0.25 + 1.5)});
}
TEST_CASE("by hand: abs_max divides by max(|q z|, 1), z entered by the input gate, and keeps S, z and m") {
  const auto design = decayed.with(input::exponential{}, norm::abs_max{});
  double S = 0, z = 0, m = 0;
  std::array<double, 3> known{};
  for (std::size_t t = 0; t < 3; ++t) {
    S = f[t] * S + std::exp(raw[t]) * k[t] * v[t], z = f[t] * z + std::exp(raw[t]) * k[t];
    m = std::fmax(std::log(f[t]) + m, raw[t]);
    known[t] = q[t] * S / std::fmax(std::fabs(q[t] * z), 1.0);
  }
  const outcome got = three_tokens(design);
  check_near(got.y, known);
  CHECK(std::fabs(got.m - m) <= 1e-14);
  CHECK(std::fabs(got.S - S * std::exp(-m)) <= 1e-13);
  CHECK(std::fabs(got.z - z * std::exp(-m)) <= 1e-13);
}
TEST_CASE("by hand: input gate on v alone, output gate on y") {
  const outcome gated = three_tokens(plain.with(input::exponential{}, norm::sum{}));
  CHECK(gated.z == -0.5);
  CHECK(std::fabs(gated.y[0] - std::exp(0.5) * 4) <= 1e-14);
  check_near(three_tokens(plain.with(output::silu{})).y, {8 * 0.5 * sigmoid(0.5), 0, 1 * sigmoid(-1)});
}
TEST_CASE("by hand: one pair of numbers turned by the token's position") {
  auto p = make_problem<fp64>(plain.with(position::rotary_1d{}), {.T = 2, .K = 2});
  p.x.first_position = 5;
  reference::recurrent(p.design, p.x);
  // Only the angle between the two tokens, one radian, is seen: q_1 turned by 1 meets k_0.
  const double q0 = p.x.q(0, 1, 0, 0), q1 = p.x.q(0, 1, 0, 1), c = std::cos(1.0), s = std::sin(1.0);
  const double turned = (q0 * c - q1 * s) * p.x.k(0, 0, 0, 0) + (q0 * s + q1 * c) * p.x.k(0, 0, 0, 1);
  const double same = q0 * p.x.k(0, 1, 0, 0) + q1 * p.x.k(0, 1, 0, 1);
  CHECK(std::fabs(p.y()[1] - (turned * p.x.v(0, 0, 0, 0) + same * p.x.v(0, 1, 0, 0))) <= 1e-14);
}
TEST_CASE("by hand: the depthwise shortcut on a picture of two by three") {
  auto p = make_problem<fp64>(plain.with(shortcut::local{}), {.T = 6, .grid_width = 3});
  auto bare = make_problem<fp64>(plain, {.T = 6});
  reference::recurrent(p.design, p.x);
  reference::recurrent(plain, bare.x);
  const auto v_at = [&](index_t i, index_t j) { return i < 0 || i > 1 || j < 0 || j > 2 ? 0 : p.x.v(0, 3 * i + j, 0, 0); };
  for (index_t i = 0; i < 2; ++i)
    for (index_t j = 0; j < 3; ++j) {
      double sum = p.x.lepe_bias(0, 0);
      for (index_t r = 0; r < 3; ++r)
        for (index_t c = 0; c < 3; ++c) sum += p.x.lepe(0, 0, r, c) * v_at(i + r - 1, j + c - 1);
      const std::size_t at = std::size_t(3 * i + j);
      CHECK(std::fabs(p.y()[at] - bare.y()[at] - sum) <= 1e-14);
    }
}
TEST_CASE("squared keys give squared scores") {
  auto p = make_problem<fp64>(plain.with(map::squared{.scale_keys = true}), {.T = 4, .K = 3, .V = 1});
  reference::recurrent(p.design, p.x);
  for (index_t i = 0; i < 4; ++i) {
    double y = 0;
    for (index_t j = 0; j <= i; ++j) {
      double score = 0;
      for (index_t n = 0; n < 3; ++n) score += p.x.q(0, i, 0, n) * p.x.k(0, j, 0, n);
      y += score * score / 3 * p.x.v(0, j, 0, 0);
    }
    CHECK(std::fabs(p.y()[std::size_t(i)] - y) <= 1e-14);
  }
}
TEST_CASE("a head of v reads q and k of the head floor(h Hk / H)") {
  const auto design = plain.with(heads::grouped{});
  auto p = make_problem<fp64>(design, {.T = 3, .Hk = 2, .H = 4, .K = 2, .V = 1});
  reference::recurrent(design, p.x);
  for (index_t h = 0; h < 4; ++h) {
    const index_t g = h < 2 ? 0 : 1;
    const double score = p.x.q(0, 0, g, 0) * p.x.k(0, 0, g, 0) + p.x.q(0, 0, g, 1) * p.x.k(0, 0, g, 1);
    CHECK(std::fabs(p.x.y(0, 0, h, 0) - score * p.x.v(0, 0, h, 0)) <= 1e-15);
  }
}

TEST_CASE("a sequence cut anywhere and continued equals the whole, the normaliser and the stabiliser included") {
  const auto check = [](const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    for (index_t cut : {0, 1, 5, 9}) {
      const shape s{.B = 1, .T = 9, .Hk = 1, .H = 1, .K = 4, .V = 3};
      auto whole = make_problem<fp64>(design, s, everyday_wishes<Design>());
      auto parts = make_problem<fp64>(design, s, everyday_wishes<Design>());
      reference::recurrent(design, whole.x);
      parts.offsets = {0, cut};
      parts.x.offsets = {parts.offsets.data(), {2}};
      reference::recurrent(design, parts.x);
      parts.x.initial_state.S = parts.x.final_state.S;  // in place
      if constexpr (requires { parts.x.initial_state.z; }) parts.x.initial_state.z = parts.x.final_state.z;
      if constexpr (requires { parts.x.initial_state.m; }) parts.x.initial_state.m = parts.x.final_state.m;
      parts.offsets = {cut, 9};
      reference::recurrent(design, parts.x);
      CHECK(compare(parts, whole).worst() == 0);
    }
  };
  check(linear_attention.with(forget::log_decay<per::key>{}));
  check(mamba);
  check(mlstm);
  check(linear_attention.with(forget::selective{}, norm::sum_undecayed{}));
}
TEST_CASE("reversed is causal on the sequence read backwards; packed sequences don't see one another") {
  const shape s{.B = 1, .T = 7, .Hk = 1, .H = 1, .K = 4, .V = 3};
  auto forwards = make_problem<fp64>(mamba, s);
  auto backwards = make_problem<fp64>(mamba.with(order::reversed{}), s);
  reference::recurrent(mamba, forwards.x);
  const auto flip = [](auto& tensor) {
    using view_type = std::remove_cvref_t<decltype(tensor)>;
    const index_t step = tensor.stride(1), n = tensor.extent(1);
    tensor = view_type(tensor.data() + (n - 1) * step, {1, n, 1, tensor.extent(3)},
                       {tensor.stride(0), -step, tensor.stride(2), tensor.stride(3)});
  };
  flip(backwards.x.q), flip(backwards.x.k), flip(backwards.x.v), flip(backwards.x.dt), flip(backwards.x.y);
  reference::recurrent(backwards.design, backwards.x);
  CHECK(compare(backwards, forwards).worst() <= 1e-15);

  auto packed = make_problem<fp64>(mamba, s, {.offsets = {0, 3, 3, 7}});
  reference::recurrent(mamba, packed.x);
  std::vector<double> first(packed.y().begin(), packed.y().begin() + 9), whole(forwards.y().begin(), forwards.y().begin() + 9);
  CHECK(first == whole);
  CHECK(packed.y() != forwards.y());
  for (std::size_t i = 12; i < 24; ++i) CHECK(packed.S()[i] == 0);  // the sequence of no tokens
}

namespace {

/// Dual numbers as a precision: any scalar type will do.
struct duals {
  using token = dual<double>;
  using state = dual<double>;
  using accumulator = dual<double>;
};
/// Moves every number of a pool along a direction that the stream of numbers gives.
template <class Number> void move_along(std::vector<std::vector<Number>>& pool, std::size_t from, double by, random_numbers& r) {
  for (std::size_t i = from; i < pool.size(); ++i)
    for (Number& e : pool[i]) {
      if constexpr (std::is_same_v<Number, double>) e += by * r();
      else e.derivative = by * r();
    }
}
template <class Problem> void move_inputs(Problem& p, double by) {
  random_numbers r{77};
  move_along(p.tokens, 1, by, r), move_along(p.parameters, 0, by, r), move_along(p.states, 3, by, r);
}

/// Derivatives of both references by dual numbers against differences in float64, all inputs moving at once.
template <class Design> void check_derivative(const char* name, const Design& design) {
  const shape s{.B = 1, .T = 6, .Hk = 1, .H = 1, .K = 4, .V = 3};
  const wishes w{.initial_state = true, .positive_keys = true};
  auto exact = make_problem<duals>(design, s, w), other = make_problem<duals>(design, s, w);
  move_inputs(exact, 1), move_inputs(other, 1);
  reference::recurrent(design, exact.x);
  reference::quadratic(design, other.x);
  constexpr double h = 1e-6;
  auto at = make_problem<fp64>(design, s, w), above = make_problem<fp64>(design, s, w), below = make_problem<fp64>(design, s, w);
  move_inputs(above, h), move_inputs(below, -h);
  reference::recurrent(design, at.x);
  reference::recurrent(design, above.x);
  reference::recurrent(design, below.x);
  INFO(std::string(name));
  for (std::size_t i = 0; i < exact.y().size(); ++i) {
    const double slope = (above.y()[i] - below.y()[i]) / (2 * h);
    CHECK(std::fabs(exact.y()[i].value - at.y()[i]) <= 1e-14 * (1 + std::fabs(at.y()[i])));  // compilers contract
    CHECK(std::fabs(exact.y()[i].derivative - slope) <= 1e-7 * (1 + std::fabs(slope)));
    CHECK(std::fabs(other.y()[i].derivative - exact.y()[i].derivative) <= 1e-11 * (1 + std::fabs(slope)));
  }
  for (std::size_t i = 0; i < exact.S().size(); ++i) {
    const double slope = (above.S()[i] - below.S()[i]) / (2 * h);
    CHECK(std::fabs(exact.S()[i].derivative - slope) <= 1e-7 * (1 + std::fabs(slope)));
  }
}

}  // namespace

TEST_CASE("both references in dual numbers: the derivative along any direction") {
  check_derivative("linear_attention", linear_attention);
  check_derivative("mamba, z gate", mamba.with(output::silu{}));
  check_derivative("gla", gla);
  check_derivative("two_mamba", two_mamba);
  check_derivative("mlstm", mlstm);
}
