// SPDX-License-Identifier: Apache-2.0
/// @file  Discretisations: the textbook's formulas, their limits, and their derivatives.
#include <cmath>    // fabs
#include <complex>  // complex, exp

#include <doctest/doctest.h>

#include <sextant/design/discretisation.hpp>
#include <sextant/math/dual.hpp>

using namespace sextant;
using number = std::complex<double>;

namespace {

double distance(const sextant::complex<double>& x, number y) { return std::abs(number(x.re, x.im) - y) / std::abs(y); }

template <class Rule> double input_of(const Rule& rule, double delta, double re, double im) {
  return rule(delta, sextant::complex<double>{re, im}).input.re;
}
/// d/d re of the input's real part by dual numbers, against a difference.
template <class Rule> void derivative_is_the_difference(const Rule& rule, double delta, double re, double im) {
  using carried = dual<double>;
  const double h = 1e-4;
  const double found = rule(carried(delta), sextant::complex<carried>{carried(re, 1), carried(im)}).input.re.derivative;
  CHECK(std::fabs(found - (input_of(rule, delta, re + h, im) - input_of(rule, delta, re - h, im)) / (2 * h)) <= 1e-8);
}

}  // namespace

TEST_CASE("discretisations are their formulas") {
  for (double delta : {1e-3, 0.1, 2.0})
    for (double re : {-3.0, -0.5, 0.0})
      for (double im : {-20.0, -1.0, 0.25, 9.0}) {
        const number a(re, im), z = delta * a;
        const auto held = discretisation::zoh{}(delta, sextant::complex<double>{re, im});
        CHECK(distance(held.state, std::exp(z)) <= 1e-14);
        CHECK(distance(held.input, (std::exp(z) - 1.0) / a) <= 1e-12);  // the difference here has few digits
        const auto trapezoid = discretisation::bilinear{}(delta, sextant::complex<double>{re, im});
        CHECK(distance(trapezoid.state, (1.0 + z / 2.0) / (1.0 - z / 2.0)) <= 1e-14);
        CHECK(distance(trapezoid.input, delta / (1.0 - z / 2.0)) <= 1e-14);
      }
}
TEST_CASE("a step that is held, where a is next to 0 and where it is not, is the same function") {
  for (double size : {0.0, 1e-12, 1e-6, 0.99e-4, 1.01e-4, 1e-3}) {
    const number z(-0.6 * size, 0.8 * size),
        series = 1.0 + z / 2.0 + z * z / 6.0 + z * z * z / 24.0 + z * z * z * z / 120.0;
    CHECK(distance(discretisation::zoh{}(1.0, sextant::complex<double>{z.real(), z.imag()}).input, series) <= 1e-15);
  }
}
TEST_CASE("derivatives of a step that is held and of the trapezoid's") {
  for (double re : {-0.5, 0.0})
    for (double im : {0.0, 3.0}) {
      derivative_is_the_difference(discretisation::zoh{}, 0.5, re, im);
      derivative_is_the_difference(discretisation::bilinear{}, 0.5, re, im);
    }
}
