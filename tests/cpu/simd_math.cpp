// SPDX-License-Identifier: Apache-2.0
/// @file  exp, log, log1p and tanh of registers: the worst relative error over all of their range, and special cases.
#include <doctest/doctest.h>

#include <cmath>        // exp, exp2, log, log2, log1p, tanh, fabs
#include <cstdint>      // uint32_t, uint64_t
#include <limits>       // infinity, quiet_NaN, min, max
#include <type_traits>  // conditional_t

#include <sextant/cpu/simd_math.hpp>

using sextant::cpu::native_lanes;
using sextant::cpu::simd;

namespace {

template <class Real> inline constexpr int half_lanes = native_lanes<Real> > 1 ? native_lanes<Real> / 2 : 1;

/// The judge: double for float, long double for double.
template <class Real> using exact = std::conditional_t<sizeof(Real) == 4, double, long double>;

/// What simd_math.hpp promises.
template <class Real> inline constexpr double promised = sizeof(Real) == 4 ? 3e-7 : 1e-14;

/// Numbers of every size and sign from the least to the largest: equal steps in the bit pattern, which an odd step
/// spreads over all mantissas.
template <class Real, class Visit> void walk(Visit visit) {
  using natural = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
  constexpr int count = 400000;
  constexpr natural step = (~natural(0) / count) | 1u;
  natural pattern = 12345;
  for (int i = 0; i < count; ++i, pattern += step) visit(__builtin_bit_cast(Real, pattern));
}

/// The worst relative error of f where the exact result is a normal number, over all numbers and over [low, high].
/// evenly.
template <class Vector, class Function, class Exact>
double worst_error(Function f, Exact judge, double low, double high) {
  using Real = typename Vector::value_type;
  constexpr auto lanes = static_cast<std::size_t>(Vector::lanes);
  Real in[lanes], out[lanes];
  std::size_t filled = 0;
  double worst = 0;
  const auto visit = [&](Real x) {
    in[filled++] = x;
    if (filled < lanes) return;
    filled = 0;
    f(Vector::load(in)).store(out);
    for (std::size_t i = 0; i < lanes; ++i) {
      const exact<Real> expected = judge(static_cast<exact<Real>>(in[i]));
      const exact<Real> size = std::fabs(expected);
      if (!(size >= std::numeric_limits<Real>::min() && size <= std::numeric_limits<Real>::max())) continue;
      const double error = static_cast<double>(std::fabs(static_cast<exact<Real>>(out[i]) - expected) / size);
      if (!(error <= worst) && !std::isnan(worst)) worst = error;  // NaN stays
    }
  };
  walk<Real>(visit);
  for (int i = 0; i <= 200000; ++i) visit(static_cast<Real>(low + (high - low) * i / 200000));
  return worst;
}

template <class Vector, class Function> typename Vector::value_type at(Function f, double x) {
  return f(Vector(static_cast<typename Vector::value_type>(x)))[Vector::lanes - 1];
}

}  // namespace

#define REGISTERS                                                                                              \
  simd<float>, simd<double>, simd<float, half_lanes<float>>, simd<double, half_lanes<double>>, simd<float, 1>, \
      simd<double, 1>

TEST_CASE_TEMPLATE("the errors are small everywhere", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  using E = exact<Real>;
  const double top = sizeof(Real) == 4 ? 128 : 1024;
  const double of_exp2 =
      worst_error<Vector>([](Vector x) { return exp2(x); }, [](E x) { return std::exp2(x); }, -top, top);
  const double of_exp = worst_error<Vector>([](Vector x) { return exp(x); }, [](E x) { return std::exp(x); }, -2, 2);
  const double of_log = worst_error<Vector>([](Vector x) { return log(x); }, [](E x) { return std::log(x); }, 0.4, 3);
  const double of_log2 =
      worst_error<Vector>([](Vector x) { return log2(x); }, [](E x) { return std::log2(x); }, 0.4, 3);
  const double of_log1p =
      worst_error<Vector>([](Vector x) { return log1p(x); }, [](E x) { return std::log1p(x); }, -0.999, 4);
  const double of_unit = worst_error<Vector>([](Vector x) { return log1p_unit(min(abs(x), Real(1))); },
                                             [](E x) { return std::log1p(std::fmin(std::fabs(x), E(1))); }, 0, 1);
  const double of_tanh = worst_error<Vector>([](Vector x) { return tanh(x); }, [](E x) { return std::tanh(x); }, -3, 3);
  MESSAGE(Vector::lanes << " lanes of " << sizeof(Real) << " bytes, worst relative errors: exp2 " << of_exp2 << ", exp "
                        << of_exp << ", log " << of_log << ", log2 " << of_log2 << ", log1p " << of_log1p
                        << ", log1p_unit " << of_unit << ", tanh " << of_tanh);
  CHECK(of_exp2 < promised<Real>);
  CHECK(of_exp < promised<Real>);
  CHECK(of_log < promised<Real>);
  CHECK(of_log2 < promised<Real>);
  CHECK(of_log1p < promised<Real>);
  CHECK(of_unit < promised<Real>);
  CHECK(of_tanh < promised<Real>);
}

TEST_CASE_TEMPLATE("exponentials at the ends of their range", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const auto e2 = [](Vector x) { return exp2(x); };
  const auto e = [](Vector x) { return exp(x); };
  const Real infinity = std::numeric_limits<Real>::infinity(), least = std::numeric_limits<Real>::min();
  const int top = std::numeric_limits<Real>::max_exponent;  // 128, 1024
  for (const double far : {double(top), top + 0.25, 2.0 * top, 1e6, 1e30, double(infinity)}) {
    CHECK(at<Vector>(e2, far) == infinity);
    CHECK(at<Vector>(e, far) == infinity);
    CHECK(at<Vector>(e2, -far) == 0);
    CHECK(at<Vector>(e, -far) == 0);
  }
  for (int n = 2 - top; n < top; ++n) CHECK(at<Vector>(e2, n) == std::ldexp(Real(1), n));  // whole numbers are exact
  CHECK(at<Vector>(e, 0) == 1);
  CHECK(at<Vector>(e, -0.0) == 1);
  CHECK(at<Vector>(e2, -0.0) == 1);
  CHECK(std::isfinite(at<Vector>(e2, top - 1e-4)));
  CHECK(std::isfinite(at<Vector>(e, top * std::log(2.0) - 1e-4)));
  // Below the normal numbers: exp is 0, exp2 falls to 0 without a step up or a sign.
  Real last = least;
  for (int i = 1; i <= 2000; ++i) {
    const Real y = at<Vector>(e2, 2 - top - i / 1000.0);
    CHECK((y >= 0 && y <= last));
    CHECK(at<Vector>(e, (2 - top - i / 1000.0) * std::log(2.0) - 1e-3) == 0);
    last = y;
  }
}

TEST_CASE_TEMPLATE("logarithms where there is no ordinary number", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const auto ln = [](Vector x) { return log(x); };
  const auto l2 = [](Vector x) { return log2(x); };
  const auto l1p = [](Vector x) { return log1p(x); };
  const Real infinity = std::numeric_limits<Real>::infinity(), denormal = std::numeric_limits<Real>::denorm_min();
  for (const double zero : {0.0, -0.0}) {
    CHECK(at<Vector>(ln, zero) == -infinity);
    CHECK(at<Vector>(l2, zero) == -infinity);
    CHECK(at<Vector>(l1p, zero) == 0);
  }
  for (const double negative : {-1e-40, -1.5, -1e30, double(-infinity)}) {
    CHECK(std::isnan(at<Vector>(ln, negative)));
    CHECK(std::isnan(at<Vector>(l2, negative)));
    CHECK(std::isnan(at<Vector>(l1p, negative - 1)) == (negative < -1e-30));
  }
  CHECK(at<Vector>(l1p, -1) == -infinity);
  CHECK(at<Vector>(ln, infinity) == infinity);
  CHECK(at<Vector>(l2, infinity) == infinity);
  CHECK(at<Vector>(l1p, infinity) == infinity);
  CHECK(at<Vector>(ln, 1) == 0);
  CHECK(at<Vector>(l2, double(denormal)) == std::log2(denormal));
  CHECK(at<Vector>(ln, double(denormal) * 12345) == doctest::Approx(std::log(double(denormal) * 12345)).epsilon(3e-7));
  for (int n = std::numeric_limits<Real>::min_exponent - 1; n < std::numeric_limits<Real>::max_exponent; ++n)
    CHECK(at<Vector>(l2, std::ldexp(1.0, n)) == n);
  CHECK(at<Vector>(l1p, 1e-12) == doctest::Approx(1e-12).epsilon(1e-7));
  CHECK(at<Vector>(l1p, double(denormal)) == denormal);
}

TEST_CASE_TEMPLATE("tanh is odd and ends at 1", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const auto f = [](Vector x) { return tanh(x); };
  const Real infinity = std::numeric_limits<Real>::infinity();
  for (const double x : {19.5, 100.0, 1e30, double(infinity)}) {
    CHECK(at<Vector>(f, x) == 1);
    CHECK(at<Vector>(f, -x) == -1);
  }
  for (const double x : {1e-30, 0.01, 0.5, 3.0}) CHECK(at<Vector>(f, -x) == -at<Vector>(f, x));
  CHECK(std::signbit(at<Vector>(f, -0.0)));
  CHECK(at<Vector>(f, 0.0) == 0);
  CHECK(at<Vector>(f, double(std::numeric_limits<Real>::denorm_min())) == std::numeric_limits<Real>::denorm_min());
}

TEST_CASE_TEMPLATE("NaN in, NaN out, whatever its payload", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  using natural = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
  const natural quiet = __builtin_bit_cast(natural, std::numeric_limits<Real>::quiet_NaN());
  for (const natural payload : {0u, 1u, 2u, 255u, 256u, 511u, 4095u}) {
    for (const natural sign : {natural(0), natural(1) << (8 * sizeof(Real) - 1)}) {
      const Vector nan(__builtin_bit_cast(Real, static_cast<natural>(quiet | payload | sign)));
      for (const Vector& y :
           {exp2(nan), exp(nan), log(nan), log2(nan), log1p(nan), log1p_unit(nan), tanh(nan), sqrt(nan)})
        CHECK(!any(y == y));
    }
  }
}

TEST_CASE_TEMPLATE("lanes don't touch one another", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const Real odd[] = {0,           -1,
                      1,           std::numeric_limits<Real>::infinity(),
                      Real(0.3),   std::numeric_limits<Real>::quiet_NaN(),
                      -1000,       1000,
                      Real(1e-30), std::numeric_limits<Real>::denorm_min()};
  for (int shift = 0; shift < 10; ++shift) {
    Real in[static_cast<std::size_t>(Vector::lanes)];
    for (int i = 0; i < Vector::lanes; ++i) in[i] = odd[(i + shift) % 10];
    const Vector x = Vector::load(in);
    const Vector all[] = {exp2(x), exp(x), log(x), log2(x), log1p(x), tanh(x)};
    for (int i = 0; i < Vector::lanes; ++i) {
      const Vector one(in[i]);
      const Vector alone[] = {exp2(one), exp(one), log(one), log2(one), log1p(one), tanh(one)};
      for (int f = 0; f < 6; ++f)
        CHECK((all[f][i] == alone[f][i] || (std::isnan(all[f][i]) && std::isnan(alone[f][i]))));
    }
  }
}
