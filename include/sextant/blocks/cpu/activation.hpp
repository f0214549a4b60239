// SPDX-License-Identifier: Apache-2.0
/// @file  Activations on vector registers.
#pragma once

#include <type_traits>  // integral_constant, is_same_v

#include <sextant/blocks/operations.hpp>
#include <sextant/cpu/simd_math.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The error function: a polynomial of x^2 times x up to where it is 1 (a fit at Chebyshev's points). Relative errors are
/// at most 3e-7 for float and 1e-14 for double.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> erf(simd<Real, Lanes> x) {
  using number = simd<Real, Lanes>;
  constexpr Real end = std::is_same_v<Real, float> ? Real(3.925) : Real(5.9375);
  const number t = fma(x * x, number(Real(2) / (end * end)), number(Real(-1)));
  const number square = t * t;
  number p;
  if constexpr (std::is_same_v<Real, float>) {
    p = detail::polynomial_in_halves(t, square, -9.6222275045e-04f, 2.1749895771e-03f, -1.0501346291e-03f,
                                     1.8195014637e-03f, -8.2801176949e-03f, 1.4508256782e-02f, -1.9747405938e-02f,
                                     2.9745603698e-02f, -4.3742397212e-02f, 5.8546734820e-02f, -7.4042041262e-02f,
                                     9.0571623915e-02f, -1.0909256413e-01f, 1.3393346541e-01f, -1.7988416597e-01f,
                                     3.6027792646e-01f);
  } else {
    p = detail::polynomial_in_halves(
        t, square, 8.11410724362636739e-06, -1.81860230456156969e-05, -3.32325966298658291e-05, 7.41561837445067784e-05,
        1.39940661957878830e-04, -2.94721719761119533e-04, -1.49085121791845028e-04, 3.28639664122140672e-04,
        5.83868765192749198e-04, -1.09150405697806515e-03, 4.28791074007251534e-04, -5.95557653163616973e-04,
        2.16172640283970874e-03, -3.35333738034225819e-03, 4.09594045108671503e-03, -5.76553441685488579e-03,
        8.33313548358901798e-03, -1.10896353317084615e-02, 1.40980666509470803e-02, -1.75588648323130939e-02,
        2.12724781437998410e-02, -2.49945611762360485e-02, 2.86061539495227231e-02, -3.20194692539064463e-02,
        3.51770251455720134e-02, -3.80939766150519901e-02, 4.08560867182183943e-02, -4.36010358115245383e-02,
        4.65051452300054291e-02, -4.97800242020341802e-02, 5.36892308318864669e-02, -5.86022420794266863e-02,
        6.51247561161488464e-02, -7.44315469395337298e-02, 8.93186317185229728e-02, -1.19091655587952677e-01,
        2.38183336131426754e-01);
  }
  const number beyond = select(x > Real(0), number(Real(1)), number(Real(-1)));
  return select(abs(x) > end, beyond, x * p);
}

/// An activation of one vector.
template <blocks::activation Act, class Real, int Lanes>
SEXTANT_INLINE simd<Real, Lanes> activate(simd<Real, Lanes> x) {
  using number = simd<Real, Lanes>;
  using enum blocks::activation;
  if constexpr (Act == relu) return select(x < Real(0), number(Real(0)), x);  // a NaN stays
  else if constexpr (Act == gelu) return x * Real(0.5) * (number(Real(1)) + erf(x * Real(0.70710678118654752440)));
  else if constexpr (Act == silu) return x / (number(Real(1)) + exp(-x));
  else if constexpr (Act == softplus) return select(x > Real(20), x, log1p(exp(min(number(Real(20)), x))));
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
