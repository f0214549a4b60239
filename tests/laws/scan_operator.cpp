// SPDX-License-Identifier: Apache-2.0
/// @file  The scan operator: associative, with identity (1, 0), for any scalar and shape; folded, it is the recurrence.
#include <doctest/doctest.h>

#include <array>   // array
#include <cmath>   // fabs
#include <limits>  // epsilon
#include <vector>  // vector

#include <sextant/cpu/simd.hpp>
#include <sextant/design/scan_operator.hpp>
#include <sextant/math/dual.hpp>

#include "problem.hpp"

using namespace sextant;

namespace {

constexpr scan_operator then;
using number = transition<double>;
using slope = transition<dual<double>>;

/// Rows of four numbers, element by element: a shape that the library does not know.
struct four {
  std::array<double, 4> at;
  friend four operator*(const four& a, const four& b) {
    return {a.at[0] * b.at[0], a.at[1] * b.at[1], a.at[2] * b.at[2], a.at[3] * b.at[3]};
  }
  friend four operator*(double a, const four& b) { return four{a, a, a, a} * b; }
  friend four operator+(const four& a, const four& b) {
    return {a.at[0] + b.at[0], a.at[1] + b.at[1], a.at[2] + b.at[2], a.at[3] + b.at[3]};
  }
};

/// Both ways of joining three stretches agree to a few roundings of the largest term.
void check_associative(const number& a, const number& b, const number& c) {
  const number left = then(then(a, b), c), right = then(a, then(b, c));
  const double terms = std::fabs(c.F * b.F * a.S) + std::fabs(c.F * b.S) + std::fabs(c.S);
  constexpr double rounding = std::numeric_limits<double>::epsilon();
  INFO("(", a.F, ", ", a.S, ") o (", b.F, ", ", b.S, ") o (", c.F, ", ", c.S, ")");
  CHECK(std::fabs(left.F - right.F) <= 2 * rounding * std::fabs(left.F));
  CHECK(std::fabs(left.S - right.S) <= 4 * rounding * terms);
}

/// Gates of 0 and 1, next to them, tiny ones; states of 0, large, small, of both signs.
std::vector<number> adversarial() {
  constexpr double next_to_1 = 1 - 0x1p-53, tiny = 0x1p-500;
  std::vector<number> all;
  for (double F : {0.0, 1.0, next_to_1, 0.3, tiny})
    for (double S : {0.0, 1.0, -1.0, 1e200, -1e200, 3e-200}) all.push_back({F, S});
  return all;
}

}  // namespace

TEST_CASE("scan operator: associative for random gates and states") {
  test::random_numbers random{5};
  for (int i = 0; i < 2000; ++i) {
    number e[3];
    for (number& one : e) one = {(random() + 1) / 2, 8 * random()};
    check_associative(e[0], e[1], e[2]);
  }
}
TEST_CASE("scan operator: associative for gates of 0 and 1 and states of any size") {
  const std::vector<number> all = adversarial();
  for (const number& a : all)
    for (const number& b : all)
      for (const number& c : all) check_associative(a, b, c);
}
TEST_CASE("scan operator: associative bit by bit where nothing is rounded") {
  test::random_numbers random{7};
  const auto quarters = [&random] { return double(int(16 * random())) / 4; };
  for (int i = 0; i < 500; ++i) {
    const number a{quarters(), quarters()}, b{quarters(), quarters()}, c{quarters(), quarters()};
    const number left = then(then(a, b), c), right = then(a, then(b, c));
    CHECK(left.F == right.F);
    CHECK(left.S == right.S);
  }
}
TEST_CASE("scan operator: dual numbers, derivatives too") {
  test::random_numbers random{9};
  const auto any = [&random] { return dual<double>(random(), random()); };
  std::vector<dual<double>> gates{any(), {0, 1}, {1, -1}, {1, 0}, {0, 0}};
  for (const auto& f : gates)
    for (const auto& g : gates)
      for (const auto& h : gates) {
        const slope a{f, any()}, b{g, any()}, c{h, any()};
        const slope left = then(then(a, b), c), right = then(a, then(b, c));
        CHECK(std::fabs(left.F.value - right.F.value) <= 1e-15);
        CHECK(std::fabs(left.F.derivative - right.F.derivative) <= 4e-15);
        CHECK(std::fabs(left.S.value - right.S.value) <= 4e-15);
        CHECK(std::fabs(left.S.derivative - right.S.derivative) <= 1e-14);
      }
}
TEST_CASE("scan operator: (1, 0) changes nothing, on either side") {
  for (const number& a : adversarial()) {
    constexpr number none = number::identity();
    for (const number& same : {then(none, a), then(a, none)}) {
      CHECK(same.F == a.F);
      CHECK(same.S == a.S);
    }
    CHECK(none(a.S) == a.S);
  }
  const slope a{{0.5, 3}, {-2, 7}}, same = then(slope::identity(), a);
  CHECK(same.F.derivative == 3);
  CHECK(same.S.derivative == 7);
}
TEST_CASE("scan operator: the earlier stretch is the first one, and a gate of 0 forgets it") {
  const number a{0.5, 3}, b{0.25, 7}, forgets{0, 7};
  CHECK(then(a, b).F == 0.125);
  CHECK(then(a, b).S == 0.25 * 3 + 7);
  CHECK(then(b, a).S == 0.5 * 7 + 3);
  CHECK(then(a, forgets).F == 0);
  CHECK(then(a, forgets).S == 7);
}
TEST_CASE("scan operator: a joined stretch does to a state what its parts do one after another") {
  for (const number& a : adversarial())
    for (const number& b : adversarial())
      for (double S : {0.0, 1.0, -3.0}) {
        const double terms = std::fabs(b.F * a.F * S) + std::fabs(b.F * a.S) + std::fabs(b.S);
        CHECK(std::fabs(then(a, b)(S) - b(a(S))) <= 8e-16 * terms);
      }
}
TEST_CASE("scan operator: any shape whose numbers multiply and add, and a decay coarser than the state") {
  const transition<four> a{{0.5, 1, 0, 0.25}, {1, 2, 3, 4}}, b{{0.5, 0.5, 1, 0}, {8, 8, 8, 8}};
  CHECK(then(a, b).F.at == std::array<double, 4>{0.25, 0.5, 0, 0});
  CHECK(then(a, b).S.at == std::array<double, 4>{8.5, 9, 11, 8});
  const transition<four, double> c{0.5, {1, 2, 3, 4}}, d{0.25, {8, 8, 8, 8}};
  CHECK(then(c, d).F == 0.125);
  CHECK(then(c, d).S.at == std::array<double, 4>{8.25, 8.5, 8.75, 9});

  using lanes = cpu::simd<float>;
  const transition<lanes> e{lanes(0.5f), lanes::sequence(0, 1)}, f{lanes(0.25f), lanes(8.0f)};
  const transition<lanes> both = then(e, f);
  for (int i = 0; i < lanes::lanes; ++i) {
    CHECK(both.F[i] == 0.125f);
    CHECK(both.S[i] == 0.25f * float(i) + 8.0f);
  }
}
TEST_CASE("scan operator: folded in any grouping it is the recurrence's state") {
  auto p = test::make_problem<fp64>(mamba, {.B = 1, .T = 12, .K = 3, .V = 2}, {.initial_state = true});
  reference::recurrent(mamba, p.x);
  const reference::tokens<std::remove_cvref_t<decltype(mamba)>, fp64> token{mamba, p.x};
  for (index_t k = 0; k < 3; ++k)
    for (index_t v = 0; v < 2; ++v) {
      std::vector<number> each;
      for (index_t t = 0; t < 12; ++t)
        each.push_back({token.forget(0, t, 0, k, v),
                        token.key(0, t, 0)[std::size_t(k)] * (token.input(0, t, 0, v) * token.value(0, t, 0, v))});
      while (each.size() > 1) {  // neighbours by pairs: the tree of a parallel scan
        std::vector<number> joined;
        for (std::size_t i = 0; i < each.size(); i += 2)
          joined.push_back(i + 1 < each.size() ? then(each[i], each[i + 1]) : each[i]);
        each = joined;
      }
      const double known = p.x.final_state.S(0, 0, k, v);
      CHECK(std::fabs(each[0](p.x.initial_state.S(0, 0, k, v)) - known) <= 1e-14 * (1 + std::fabs(known)));
    }
}
