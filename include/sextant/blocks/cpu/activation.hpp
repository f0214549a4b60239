// SPDX-License-Identifier: Apache-2.0
/// @file  Activations on vector registers.
#pragma once

#include <cstddef>      // size_t
#include <type_traits>  // integral_constant, is_same_v

#include <sextant/blocks/operations.hpp>
#include <sextant/cpu/simd_math.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The error function, lane by lane the C library's.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> erf(simd<Real, Lanes> x) {
  Real each[std::size_t(Lanes)];
  x.store(each);
  for (Real& number : each)
    number = std::is_same_v<Real, float> ? Real(__builtin_erff(float(number))) : Real(__builtin_erf(double(number)));
  return simd<Real, Lanes>::load(static_cast<const Real*>(each));
}

/// An activation of one vector.
template <blocks::activation Act, class Real, int Lanes>
SEXTANT_INLINE simd<Real, Lanes> activate(simd<Real, Lanes> x) {
  using number = simd<Real, Lanes>;
  using enum blocks::activation;
  if constexpr (Act == relu) return select(x < Real(0), number(Real(0)), x);  // a NaN stays
  else if constexpr (Act == gelu) return x * Real(0.5) * (number(Real(1)) + erf(x * Real(0.70710678118654752440)));
  else if constexpr (Act == silu) return x / (number(Real(1)) + exp(-x));
  else if constexpr (Act == softplus) return select(x > Real(20), x, log1p(exp(min(x, number(Real(20))))));
  else return x;
}

/// body(std::integral_constant<activation, act>{}).
template <class Body> void with_activation(blocks::activation act, const Body& body) {
  using enum blocks::activation;
  switch (act) {
    case none:
      return body(std::integral_constant<blocks::activation, none>{});
    case relu:
      return body(std::integral_constant<blocks::activation, relu>{});
    case gelu:
      return body(std::integral_constant<blocks::activation, gelu>{});
    case silu:
      return body(std::integral_constant<blocks::activation, silu>{});
    case softplus:
      return body(std::integral_constant<blocks::activation, softplus>{});
  }
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
