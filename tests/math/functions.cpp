// SPDX-License-Identifier: Apache-2.0
/// @file  The scalar functions of gates: values against long double, the far ends, and any scalar type.
#include <doctest/doctest.h>

#include <cmath>   // exp, log1p, fabs
#include <limits>  // infinity, quiet_NaN

#include <sextant/cpu/simd_math.hpp>
#include <sextant/math/dual.hpp>
#include <sextant/math/functions.hpp>

namespace math = sextant::math;

namespace {

// Textbook formulas in long double, each in the form that is accurate on its side.
long double sigmoid(long double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
long double log_sigmoid(long double x) { return x >= 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x)); }
long double softplus(long double x) {
  return x > 20 ? x : x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

template <class Real, class Function, class Exact>
double worst_error(Function function, Exact exact, double low, double high) {
  double worst = 0;
  for (int i = 0; i <= 40000; ++i) {
    const Real x = static_cast<Real>(low + (high - low) * i / 40000);
    const long double expected = exact(static_cast<long double>(x));
    const double error = static_cast<double>(std::fabs(static_cast<long double>(function(x)) - expected));
    const double relative = error == 0 ? 0 : error / static_cast<double>(std::fabs(expected));
    if (!(relative <= worst) && !std::isnan(worst)) worst = relative;  // NaN stays
  }
  return worst;
}

/// One function at one number, by a whole register of them.
template <class Real, class Function> Real by_register(Function function, Real x) {
  return function(sextant::cpu::simd<Real>(x))[0];
}

struct sigmoid_gate {
  template <class Real> SEXTANT_FN Real operator()(Real x) const { return math::sigmoid(x); }
};
struct log_sigmoid_gate {
  template <class Real> SEXTANT_FN Real operator()(Real x) const { return math::log_sigmoid(x); }
};
struct softplus_gate {
  template <class Real> SEXTANT_FN Real operator()(Real x) const { return math::softplus(x); }
};
struct silu_gate {
  template <class Real> SEXTANT_FN Real operator()(Real x) const { return math::silu(x); }
};

template <class Real, class Gate, class Exact> void check_gate(Gate gate, Exact exact, double low, double tolerance) {
  const double scalar = worst_error<Real>(gate, exact, low, -low);
  const double vector = worst_error<Real>([&](Real x) { return by_register(gate, x); }, exact, low, -low);
  const double dual = worst_error<Real>([&](Real x) { return gate(sextant::dual<Real>(x)).value; }, exact, low, -low);
  CAPTURE(scalar);
  CAPTURE(vector);
  CAPTURE(dual);
  CHECK(scalar < tolerance);
  CHECK(vector < tolerance);
  CHECK(dual < tolerance);
}

}  // namespace

// Two roundings of exp and log1p, each at most 2e-7 (vector, float), stand behind the tolerances.
TEST_CASE_TEMPLATE("the composed functions are accurate, as numbers, registers and duals", Real, float, double) {
  const double low = sizeof(Real) == 4 ? -87 : -700, tolerance = sizeof(Real) == 4 ? 4e-7 : 1e-15;
  check_gate<Real>(sigmoid_gate{}, sigmoid, low, tolerance);
  check_gate<Real>(log_sigmoid_gate{}, log_sigmoid, low, tolerance);
  check_gate<Real>(softplus_gate{}, softplus, low, tolerance);
  check_gate<Real>(
      silu_gate{}, [](long double x) { return x * sigmoid(x); }, low, tolerance);
}

TEST_CASE_TEMPLATE("far out nothing overflows", Real, float, double) {
  for (const Real big : {Real(1000), Real(1e30), std::numeric_limits<Real>::infinity()}) {
    CHECK(math::sigmoid(big) == 1);
    CHECK(math::sigmoid(-big) == 0);
    CHECK(math::log_sigmoid(big) == 0);
    CHECK(math::log_sigmoid(-big) == -big);
    CHECK(math::softplus(big) == big);
    CHECK(math::softplus(-big) == 0);
    CHECK(math::silu(big) == big);
    CHECK(by_register(sigmoid_gate{}, big) == 1);
    CHECK(by_register(sigmoid_gate{}, -big) == 0);
    CHECK(by_register(log_sigmoid_gate{}, big) == 0);
    CHECK(by_register(log_sigmoid_gate{}, -big) == -big);
    CHECK(by_register(softplus_gate{}, big) == big);
    CHECK(by_register(softplus_gate{}, -big) == 0);
    CHECK(by_register(silu_gate{}, big) == big);
  }
  CHECK(math::silu(Real(-1000)) == 0);
  CHECK(by_register(silu_gate{}, Real(-1000)) == 0);
}

TEST_CASE_TEMPLATE("NaN in, NaN out", Real, float, double) {
  const Real nan = std::numeric_limits<Real>::quiet_NaN();
  for (const Real x : {nan, -nan}) {
    CHECK(std::isnan(math::sigmoid(x)));
    CHECK(std::isnan(math::log_sigmoid(x)));
    CHECK(std::isnan(math::softplus(x)));
    CHECK(std::isnan(math::silu(x)));
    CHECK(std::isnan(by_register(sigmoid_gate{}, x)));
    CHECK(std::isnan(by_register(log_sigmoid_gate{}, x)));
    CHECK(std::isnan(by_register(softplus_gate{}, x)));
    CHECK(std::isnan(by_register(silu_gate{}, x)));
  }
}

TEST_CASE("softplus is cut exactly above 20") {
  CHECK(math::softplus(20.0) == std::log1p(std::exp(20.0)));
  CHECK(math::softplus(20.0) > 20.0);
  const double next = std::nextafter(20.0, 21.0);
  CHECK(math::softplus(next) == next);
  CHECK(by_register(softplus_gate{}, next) == next);
  CHECK(by_register(softplus_gate{}, 20.0) > 20.0);
}

TEST_CASE("min, max and select of numbers") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(math::min(1.0f, 2) == 1.0f);
  CHECK(math::max(1.0f, 2) == 2.0f);
  CHECK(math::min(nan, 0.0f) == 0.0f);
  CHECK(std::isnan(math::min(0.0f, nan)));
  CHECK(math::max(nan, 0.0f) == 0.0f);
  CHECK(std::isnan(math::max(0.0f, nan)));
  CHECK(std::signbit(math::max(0.0f, -0.0f)));  // equal: the second
  CHECK(math::select(true, 1.0, 2) == 1.0);
  CHECK(math::select(false, 1.0, 2) == 2.0);
  static_assert(math::max(2.0, 3.0) == 3.0 && math::select(true, 1.0f, 0) == 1.0f);
}

TEST_CASE_TEMPLATE("the plain functions are the C library's", Real, float, double) {
  const volatile Real unknown = Real(0.7);  // compilers fold known numbers more exactly than libraries compute
  const Real x = unknown;
  CHECK(math::exp(x) == std::exp(x));
  CHECK(math::exp2(x) == std::exp2(x));
  CHECK(math::log(x) == std::log(x));
  CHECK(math::log2(x) == std::log2(x));
  CHECK(math::log1p(x) == std::log1p(x));
  CHECK(math::log1p_unit(x) == std::log1p(x));
  CHECK(math::sqrt(x) == std::sqrt(x));
  CHECK(math::tanh(x) == std::tanh(x));
  CHECK(math::sin(x) == std::sin(x));
  CHECK(math::cos(x) == std::cos(x));
  CHECK(math::abs(-x) == x);
}

// A user's own scalar: a number that counts the exponentials it went through. It has no log1p_unit.
namespace elsewhere {
struct counted {
  double value;
  int exponentials = 0;
  counted(double x, int count = 0) : value(x), exponentials(count) {}
  friend counted operator-(counted a) { return {-a.value, a.exponentials}; }
  friend counted operator+(counted a, counted b) { return {a.value + b.value, a.exponentials + b.exponentials}; }
  friend counted operator-(counted a, counted b) { return {a.value - b.value, a.exponentials + b.exponentials}; }
  friend bool operator>(counted a, counted b) { return a.value > b.value; }
};
counted exp(counted x) { return {std::exp(x.value), x.exponentials + 1}; }
counted log1p(counted x) { return {std::log1p(x.value), x.exponentials}; }
counted abs(counted x) { return {std::fabs(x.value), x.exponentials}; }
counted max(counted a, counted b) { return a.value > b.value ? a : b; }
counted min(counted a, counted b) { return a.value < b.value ? a : b; }
}  // namespace elsewhere

TEST_CASE("a scalar type's own functions are found in its namespace") {
  const elsewhere::counted y = math::softplus(elsewhere::counted(1.0));
  CHECK(y.value == doctest::Approx(std::log1p(std::exp(1.0))).epsilon(1e-15));
  CHECK(y.exponentials == 1);
  CHECK(math::log_sigmoid(elsewhere::counted(-3.0)).exponentials == 1);
  CHECK(math::exp(math::exp(elsewhere::counted(0.0))).exponentials == 2);
}
