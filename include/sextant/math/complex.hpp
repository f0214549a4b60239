// SPDX-License-Identifier: Apache-2.0
/// @file  Complex numbers of any scalar type, on the host and on the device.
#pragma once

#include <sextant/math/functions.hpp>

namespace sextant {

/// re + i im, laid out as std::complex; `Real` is float, double, or what else has arithmetic, such as a dual number.
template <class Real> struct complex {
  Real re{}, im{};

  SEXTANT_FN friend constexpr complex operator+(const complex& a, const complex& b) {
    return {a.re + b.re, a.im + b.im};
  }
  SEXTANT_FN friend constexpr complex operator-(const complex& a, const complex& b) {
    return {a.re - b.re, a.im - b.im};
  }
  SEXTANT_FN friend constexpr complex operator*(const complex& a, const complex& b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  SEXTANT_FN friend constexpr complex operator*(const Real& a, const complex& b) { return {a * b.re, a * b.im}; }
  SEXTANT_FN friend constexpr complex operator/(const complex& a, const complex& b) {
    const Real size = b.re * b.re + b.im * b.im;
    return {(a.re * b.re + a.im * b.im) / size, (a.im * b.re - a.re * b.im) / size};
  }
  SEXTANT_FN friend complex exp(const complex& z) {
    const Real size = math::exp(z.re);
    return {size * math::cos(z.im), size * math::sin(z.im)};
  }
};

}  // namespace sextant
