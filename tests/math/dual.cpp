// SPDX-License-Identifier: Apache-2.0
/// @file  Dual numbers: every rule of differentiation against the formula, and the places where formulas break.
#include <doctest/doctest.h>

#include <cmath>  // exp, tanh, isfinite

#include <sextant/cpu/simd_math.hpp>
#include <sextant/math/dual.hpp>
#include <sextant/math/functions.hpp>

namespace math = sextant::math;
using sextant::derivative;
using sextant::dual;

namespace {

/// f and f' at x, against the given value and slope.
template <class Function> void check(Function f, double x, double value, double slope) {
  const dual<double> y = f(dual<double>(x, 1.0));
  CAPTURE(x);
  CHECK(y.value == doctest::Approx(value).epsilon(1e-14));
  CHECK(y.derivative == doctest::Approx(slope).epsilon(1e-13));
}

double sigma(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE("the four operations") {
  const dual<double> x(3, 1), c = 5.0;
  CHECK(c.derivative == 0);
  CHECK((x + c).value == 8);
  CHECK((x + c).derivative == 1);
  CHECK((c - x).derivative == -1);
  CHECK((-x).derivative == -1);
  CHECK((+x).derivative == 1);
  CHECK((x * x).derivative == 6);
  CHECK((c / x).value == doctest::Approx(5.0 / 3));
  CHECK((c / x).derivative == doctest::Approx(-5.0 / 9));
  CHECK((2 * x * x * x - x / 2 + 1).derivative == doctest::Approx(6 * 9 - 0.5));
  dual<double> y = x;
  y *= x;
  y += x;
  y -= 1;
  y /= x;  // (x^2 + x - 1) / x
  CHECK(y.value == doctest::Approx(11.0 / 3));
  CHECK(y.derivative == doctest::Approx(1 + 1.0 / 9));
}

TEST_CASE("comparisons look at the value alone") {
  const dual<double> a(1, 9), b(1, -9), c(2, 0);
  CHECK(a == b);
  CHECK(!(a != b));
  CHECK(a < c);
  CHECK(c > a);
  CHECK(a <= b);
  CHECK(a >= b);
  CHECK(math::min(a, c).derivative == 9);
  CHECK(math::max(a, c).value == 2);
  CHECK(math::min(a, b).derivative == -9);  // equal: the second
  CHECK(math::select(true, a, c).derivative == 9);
  CHECK(math::select(false, a, c).derivative == 0);
}

TEST_CASE("the elementary functions") {
  for (const double x : {-2.5, -0.3, 0.2, 0.9, 4.0}) {
    check([](auto t) { return math::exp(t); }, x, std::exp(x), std::exp(x));
    check([](auto t) { return math::exp2(t); }, x, std::exp2(x), std::exp2(x) * std::log(2.0));
    check([](auto t) { return math::tanh(t); }, x, std::tanh(x), 1 / (std::cosh(x) * std::cosh(x)));
    check([](auto t) { return math::sin(t); }, x, std::sin(x), std::cos(x));
    check([](auto t) { return math::cos(t); }, x, std::cos(x), -std::sin(x));
    check([](auto t) { return math::abs(t); }, x, std::fabs(x), x < 0 ? -1 : 1);
    if (x > -1) check([](auto t) { return math::log1p(t); }, x, std::log1p(x), 1 / (1 + x));
    if (x <= 0) continue;
    check([](auto t) { return math::log(t); }, x, std::log(x), 1 / x);
    check([](auto t) { return math::log2(t); }, x, std::log2(x), 1 / (x * std::log(2.0)));
    check([](auto t) { return math::sqrt(t); }, x, std::sqrt(x), 0.5 / std::sqrt(x));
  }
  check([](auto t) { return math::exp(math::sin(t * t)); }, 0.7, std::exp(std::sin(0.49)),
        std::exp(std::sin(0.49)) * std::cos(0.49) * 1.4);
}

TEST_CASE("the gates' functions, at 0 too") {
  for (const double x : {-30.0, -2.0, -1e-9, 0.0, 1e-9, 0.5, 19.0}) {
    const double s = sigma(x), complement = sigma(-x);
    check([](auto t) { return math::sigmoid(t); }, x, s, s * complement);
    check([](auto t) { return math::log_sigmoid(t); }, x, -std::log1p(std::exp(-x)), complement);
    check([](auto t) { return math::softplus(t); }, x, std::log1p(std::exp(x)), s);
    check([](auto t) { return math::silu(t); }, x, x * s, s + x * s * complement);
  }
  CHECK(derivative([](auto t) { return math::softplus(t); }, 20.5) == 1.0);
}

TEST_CASE("far out the derivatives are finite and right") {
  for (const double x : {800.0, 1e6, 1e300}) {
    CHECK(derivative([](auto t) { return math::sigmoid(t); }, x) == 0);
    CHECK(derivative([](auto t) { return math::sigmoid(t); }, -x) == 0);
    CHECK(derivative([](auto t) { return math::softplus(t); }, x) == 1);
    CHECK(derivative([](auto t) { return math::softplus(t); }, -x) == 0);
    CHECK(derivative([](auto t) { return math::log_sigmoid(t); }, x) == 0);
    CHECK(derivative([](auto t) { return math::log_sigmoid(t); }, -x) == 1);
    CHECK(derivative([](auto t) { return math::silu(t); }, x) == 1);
    CHECK(derivative([](auto t) { return math::silu(t); }, -x) == 0);
    CHECK(derivative([](auto t) { return math::tanh(t); }, x) == 0);
  }
}

TEST_CASE("a register of duals: all lanes at once") {
  using vector = sextant::cpu::simd<float>;
  const vector x = vector::sequence(-3.0f, 0.5f);
  const auto gate = [](auto t) { return math::softplus(t) * math::sigmoid(t) + math::max(t, 0.25f) * 2; };
  const vector slope = derivative(gate, x);
  for (int i = 0; i < vector::lanes; ++i)
    CHECK(slope[i] == doctest::Approx(derivative(gate, double(x[i]))).epsilon(1e-5));
}

TEST_CASE("a dual of duals gives second derivatives") {
  const auto f = [](auto t) { return math::exp(2 * t) + t * t * t; };
  const dual<dual<double>> y = f(dual<dual<double>>(dual<double>(0.3, 1.0), dual<double>(1.0)));
  CHECK(y.value.derivative == doctest::Approx(2 * std::exp(0.6) + 3 * 0.09));
  CHECK(y.derivative.derivative == doctest::Approx(4 * std::exp(0.6) + 6 * 0.3));
}
