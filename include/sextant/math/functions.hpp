// SPDX-License-Identifier: Apache-2.0
/// @file  The scalar functions that gates and feature maps are written with, for any scalar type.
#pragma once

#include <concepts>     // same_as
#include <type_traits>  // type_identity_t

#include <sextant/config.hpp>

/// The C library's function of this name, float (name with f) or double. Compilers know it without `<cmath>`, whose
/// inclusion costs more time than everything else here; nvcc wants the declared function, which it always includes.
#ifdef __CUDACC__
#define SEXTANT_LIBM(name) ::name
#else
#define SEXTANT_LIBM(name) __builtin_##name
#endif

namespace sextant::detail::by_type {
// A using-declaration of these inside a function hides the function of the same name around it, so that only the
// argument's own namespace is searched. They are never called.
void abs();
void cos();
void exp();
void exp2();
void log();
void log1p();
void log1p_unit();
void log2();
void max();
void min();
void select();
void sin();
void sqrt();
void tanh();
}  // namespace sextant::detail::by_type

/// Scalar functions for a gate `template <class Real> SEXTANT_FN Real operator()(Real x) const`.
///
/// For float and double they are the C library's (on the device CUDA's). For any other scalar type, such as
/// `sextant::dual<double>` or `sextant::cpu::simd<float>`, they are what the type's own namespace or friends provide
/// under the same name. A comparison of such a type may give a mask instead of a bool; `select` takes either.
namespace sextant::math {

/// exp(x).
template <class Real> SEXTANT_INLINE Real exp(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(expf)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(exp)(x);
  } else {
    using detail::by_type::exp;
    return exp(x);
  }
}

/// 2^x.
template <class Real> SEXTANT_INLINE Real exp2(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(exp2f)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(exp2)(x);
  } else {
    using detail::by_type::exp2;
    return exp2(x);
  }
}

/// Natural logarithm: -infinity at 0, NaN below.
template <class Real> SEXTANT_INLINE Real log(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(logf)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(log)(x);
  } else {
    using detail::by_type::log;
    return log(x);
  }
}

/// Logarithm of base 2.
template <class Real> SEXTANT_INLINE Real log2(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(log2f)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(log2)(x);
  } else {
    using detail::by_type::log2;
    return log2(x);
  }
}

/// log(1 + x), with a small relative error however small x is.
template <class Real> SEXTANT_INLINE Real log1p(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(log1pf)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(log1p)(x);
  } else {
    using detail::by_type::log1p;
    return log1p(x);
  }
}

/// log(1 + x) for 0 <= x <= 1 alone: by the type's own log1p_unit, if it has one that is faster there, else by log1p.
template <class Real> SEXTANT_INLINE Real log1p_unit(const Real& x) {
  using detail::by_type::log1p_unit;
  if constexpr (requires { log1p_unit(x); }) return log1p_unit(x);
  else return math::log1p(x);
}

/// Square root.
template <class Real> SEXTANT_INLINE Real sqrt(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(sqrtf)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(sqrt)(x);
  } else {
    using detail::by_type::sqrt;
    return sqrt(x);
  }
}

/// Hyperbolic tangent.
template <class Real> SEXTANT_INLINE Real tanh(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(tanhf)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(tanh)(x);
  } else {
    using detail::by_type::tanh;
    return tanh(x);
  }
}

/// Sine of x radians.
template <class Real> SEXTANT_INLINE Real sin(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(sinf)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(sin)(x);
  } else {
    using detail::by_type::sin;
    return sin(x);
  }
}

/// Cosine of x radians.
template <class Real> SEXTANT_INLINE Real cos(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(cosf)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(cos)(x);
  } else {
    using detail::by_type::cos;
    return cos(x);
  }
}

/// |x|; of a dual number at 0 the derivative from the right.
template <class Real> SEXTANT_INLINE Real abs(const Real& x) {
  if constexpr (std::same_as<Real, float>) {
    return SEXTANT_LIBM(fabsf)(x);
  } else if constexpr (std::same_as<Real, double>) {
    return SEXTANT_LIBM(fabs)(x);
  } else {
    using detail::by_type::abs;
    return abs(x);
  }
}

/// `condition ? a : b`, lane by lane where the condition is a mask. Both values are computed.
template <class Condition, class Real>
SEXTANT_INLINE constexpr Real select(const Condition& condition, const Real& a, const std::type_identity_t<Real>& b) {
  if constexpr (std::same_as<Condition, bool>) {
    return condition ? a : b;
  } else {
    using detail::by_type::select;
    return select(condition, a, b);
  }
}

/// `a < b ? a : b`: the second one if they are equal or one is a NaN.
template <class Real> SEXTANT_INLINE constexpr Real min(const Real& a, const std::type_identity_t<Real>& b) {
  if constexpr (std::same_as<Real, float> || std::same_as<Real, double>) {
    return a < b ? a : b;
  } else {
    using detail::by_type::min;
    return min(a, b);
  }
}

/// `a > b ? a : b`: the second one if they are equal or one is a NaN.
template <class Real> SEXTANT_INLINE constexpr Real max(const Real& a, const std::type_identity_t<Real>& b) {
  if constexpr (std::same_as<Real, float> || std::same_as<Real, double>) {
    return a > b ? a : b;
  } else {
    using detail::by_type::max;
    return max(a, b);
  }
}

// The rest is written once, over the functions above, and takes the exponential of numbers <= 0 alone, so that
// neither the value nor the derivative of a dual number meets infinity times zero; NaN in, NaN out. At 0 the
// derivative of |x| is the one from the right, and so is that of the other part that has a corner there.

/// sigma(x) = 1 / (1 + exp(-x)).
template <class Real> SEXTANT_INLINE Real sigmoid(const Real& x) {
  const Real e = math::exp(-math::abs(x));
  return math::select(x >= Real(0), Real(1), e) / (Real(1) + e);
}

/// log sigma(x) = min(x, 0) - log(1 + exp(-|x|)), never above 0: the logarithm of GLA's forget gate.
template <class Real> SEXTANT_INLINE Real log_sigmoid(const Real& x) {
  return math::min(x, Real(0)) - math::log1p_unit(math::exp(-math::abs(x)));
}

/// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), and x itself above 20, where the field's kernels cut it (the two
/// differ there by 2.1e-9 at most).
template <class Real> SEXTANT_INLINE Real softplus(const Real& x) {
  const Real smooth = math::max(Real(0), x) + math::log1p_unit(math::exp(-math::abs(x)));
  return math::select(x > Real(20), x, smooth);
}

/// x sigma(x), also called swish.
template <class Real> SEXTANT_INLINE Real silu(const Real& x) { return x * math::sigmoid(x); }

}  // namespace sextant::math

#undef SEXTANT_LIBM
