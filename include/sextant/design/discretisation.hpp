// SPDX-License-Identifier: Apache-2.0
/// @file  From a state space in continuous time to one of tokens.
#pragma once

#include <sextant/math/complex.hpp>

namespace sextant {

/// One eigenvalue of a discretised state space: x_t = state x_{t-1} + input b u_t.
template <class Real> struct discretised { complex<Real> state, input; };

}  // namespace sextant

/// Discretisations of x'(t) = a x(t) + b u(t) for steps of length delta (S4D: Gu et al. 2022, arXiv 2206.11893). Each is
/// called with delta and a, for any scalar type; a user's own is a struct with this call operator and a name.
namespace sextant::discretisation {

/// u keeps its value for a step (zero-order hold): state exp(delta a), input (exp(delta a) - 1) / a, delta where a = 0.
struct zoh {
  static constexpr const char* name = "diagonal_zoh";
  static constexpr const char* formula = "x <- exp(delta a) x + (exp(delta a) - 1) / a b v, y = 2 Re(c x)";
  template <class Real> SEXTANT_FN discretised<Real> operator()(const Real& delta, const complex<Real>& a) const {
    const complex<Real> z = delta * a;
    const auto number = [](double x) { return complex<Real>{Real(x), Real(0)}; };
    if (z.re * z.re + z.im * z.im < Real(1e-8))  // 0 / 0, or nearly so: a series
      return {exp(z), delta * (number(1) + z * (number(1. / 2) + z * (number(1. / 6) + z * number(1. / 24))))};
    const Real half = math::sin(z.im * Real(0.5));
    const Real grown = math::tanh(z.re * Real(0.5)) * (math::exp(z.re) + Real(1));  // exp(re) - 1, however small re is
    const complex<Real> change{grown * math::cos(z.im) - Real(2) * half * half, math::exp(z.re) * math::sin(z.im)};
    return {exp(z), change / a};
  }
};

/// The trapezoid's rule (Tustin): state (1 + delta a / 2) / (1 - delta a / 2), input delta / (1 - delta a / 2).
struct bilinear {
  static constexpr const char* name = "diagonal_bilinear";
  static constexpr const char* formula =
      "x <- (1 + delta a/2) / (1 - delta a/2) x + delta / (1 - delta a/2) b v, y = 2 Re(c x)";
  template <class Real> SEXTANT_FN discretised<Real> operator()(const Real& delta, const complex<Real>& a) const {
    const complex<Real> half = (delta * Real(0.5)) * a, one{Real(1), Real(0)};
    return {(one + half) / (one - half), complex<Real>{delta, Real(0)} / (one - half)};
  }
};

}  // namespace sextant::discretisation
