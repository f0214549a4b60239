// SPDX-License-Identifier: Apache-2.0
/// @file  Numbers that carry a derivative along: the gradient of any gate without a line from its author.
#pragma once

#include <type_traits>  // is_arithmetic_v

#include <sextant/config.hpp>
#include <sextant/math/functions.hpp>

namespace sextant {

/// A value and its derivative with respect to one variable (forward mode): x + x' e with e^2 = 0. `Real` is float,
/// double, or whatever has arithmetic and the functions of sextant::math, such as cpu::simd<float>. Comparisons look
/// at the value alone.
template <class Real> struct dual {
  Real value;       ///< f(x)
  Real derivative;  ///< f'(x)

  dual() = default;
  /// A constant if the derivative is left out; the variable itself is `dual<Real>(x, 1)`.
  SEXTANT_FN constexpr dual(Real f, Real slope = Real(0)) : value(f), derivative(slope) {}
  /// A constant, where `Real` is itself a type that numbers convert to: a register, or a dual number (second
  /// derivatives).
  template <class Number>
  requires(!std::is_arithmetic_v<Real> && std::is_arithmetic_v<Number>) SEXTANT_FN constexpr dual(Number f)
      : value(static_cast<Real>(f)), derivative(static_cast<Real>(0)) {}

  SEXTANT_FN friend constexpr dual operator+(const dual& a) { return a; }
  SEXTANT_FN friend constexpr dual operator-(const dual& a) { return {-a.value, -a.derivative}; }
  SEXTANT_FN friend constexpr dual operator+(const dual& a, const dual& b) {
    return {a.value + b.value, a.derivative + b.derivative};
  }
  SEXTANT_FN friend constexpr dual operator-(const dual& a, const dual& b) {
    return {a.value - b.value, a.derivative - b.derivative};
  }
  SEXTANT_FN friend constexpr dual operator*(const dual& a, const dual& b) {
    return {a.value * b.value, a.derivative * b.value + a.value * b.derivative};
  }
  SEXTANT_FN friend constexpr dual operator/(const dual& a, const dual& b) {
    const Real quotient = a.value / b.value;
    return {quotient, (a.derivative - quotient * b.derivative) / b.value};
  }
  SEXTANT_FN constexpr dual& operator+=(const dual& b) { return *this = *this + b; }
  SEXTANT_FN constexpr dual& operator-=(const dual& b) { return *this = *this - b; }
  SEXTANT_FN constexpr dual& operator*=(const dual& b) { return *this = *this * b; }
  SEXTANT_FN constexpr dual& operator/=(const dual& b) { return *this = *this / b; }

  SEXTANT_FN friend constexpr auto operator<(const dual& a, const dual& b) { return a.value < b.value; }
  SEXTANT_FN friend constexpr auto operator>(const dual& a, const dual& b) { return a.value > b.value; }
  SEXTANT_FN friend constexpr auto operator<=(const dual& a, const dual& b) { return a.value <= b.value; }
  SEXTANT_FN friend constexpr auto operator>=(const dual& a, const dual& b) { return a.value >= b.value; }
  SEXTANT_FN friend constexpr auto operator==(const dual& a, const dual& b) { return a.value == b.value; }
  SEXTANT_FN friend constexpr auto operator!=(const dual& a, const dual& b) { return a.value != b.value; }

  SEXTANT_FN friend dual exp(const dual& x) {
    const Real e = math::exp(x.value);
    return {e, x.derivative * e};
  }
  SEXTANT_FN friend dual exp2(const dual& x) {
    const Real e = math::exp2(x.value);
    return {e, x.derivative * e * Real(0.693147180559945309417)};  // log(2)
  }
  SEXTANT_FN friend dual log(const dual& x) { return {math::log(x.value), x.derivative / x.value}; }
  SEXTANT_FN friend dual log2(const dual& x) {
    return {math::log2(x.value), x.derivative / x.value * Real(1.44269504088896340736)};  // 1 / log(2)
  }
  SEXTANT_FN friend dual log1p(const dual& x) { return {math::log1p(x.value), x.derivative / (Real(1) + x.value)}; }
  SEXTANT_FN friend dual sqrt(const dual& x) {
    const Real root = math::sqrt(x.value);
    return {root, x.derivative / (root + root)};
  }
  SEXTANT_FN friend dual tanh(const dual& x) {
    const Real t = math::tanh(x.value);
    return {t, x.derivative * (Real(1) - t) * (Real(1) + t)};
  }
  SEXTANT_FN friend dual sin(const dual& x) { return {math::sin(x.value), x.derivative * math::cos(x.value)}; }
  SEXTANT_FN friend dual cos(const dual& x) { return {math::cos(x.value), -(x.derivative * math::sin(x.value))}; }
  SEXTANT_FN friend dual abs(const dual& x) {
    return {math::abs(x.value), math::select(x.value < Real(0), -x.derivative, x.derivative)};
  }
  template <class Condition>
  SEXTANT_FN friend constexpr dual select(const Condition& condition, const dual& a, const dual& b) {
    return {math::select(condition, a.value, b.value), math::select(condition, a.derivative, b.derivative)};
  }
  SEXTANT_FN friend constexpr dual min(const dual& a, const dual& b) { return math::select(a < b, a, b); }
  SEXTANT_FN friend constexpr dual max(const dual& a, const dual& b) { return math::select(a > b, a, b); }
};

/// f'(x) of a function of one variable, `f(dual<Real>)`, exact up to rounding: for a gate and any point of its range.
template <class Function, class Real> SEXTANT_FN constexpr Real derivative(const Function& f, Real x) {
  return f(dual<Real>(x, Real(1))).derivative;
}

}  // namespace sextant
