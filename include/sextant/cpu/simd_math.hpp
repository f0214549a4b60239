// SPDX-License-Identifier: Apache-2.0
/// @file  exp, log, log1p, tanh and their kin on vector registers, by the library's own polynomials.
#pragma once

#include <concepts>  // same_as
#include <cstddef>   // size_t
#include <utility>   // integer_sequence

#include <sextant/cpu/simd.hpp>

// Errors are relative and against the exact value, over all finite arguments whose result is a normal number: at most
// 3e-7 for float and 1e-14 for double (the tests sweep them), with or without a fused multiply-add. The polynomials
// are minimax fits of relative error by Remez' exchange, with the first coefficients fixed where exactness at 0
// depends on it.
namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

template <class Real> inline constexpr int mantissa_bits = std::same_as<Real, float> ? 23 : 52;
template <class Real> inline constexpr int exponent_bias = std::same_as<Real, float> ? 127 : 1023;
template <class Real> inline constexpr Real infinity = static_cast<Real>(__builtin_inf());

/// The nearest whole number, and 2^number's place in the exponent: the number as an integer, shifted.
template <class Real, int Lanes> struct whole_number {
  simd<Real, Lanes> number;
  vector_word<Real, Lanes> exponent;
};

/// For |x| below 2^22 (float) or 2^51 (double). Elsewhere, and for NaN, the exponent is 0 where the instruction set
/// converts to integers, and anything otherwise: `exponent_survives` tells.
template <class Real, int Lanes> SEXTANT_INLINE whole_number<Real, Lanes> round_to_whole(simd<Real, Lanes> x) {
  using word = vector_word<Real, Lanes>;
  if constexpr (converts_to_integers<Real, Lanes>) {
    const auto integers = nearest_integers<Real, Lanes>(x.data);
    const auto number = __builtin_convertvector(integers, vector<Real, Lanes>);
    return {simd<Real, Lanes>::from_vector(number), __builtin_bit_cast(word, integers) << mantissa_bits<Real>};
  } else {
    // Adding 1.5 * 2^mantissa_bits leaves the integer in the lowest bits.
    constexpr Real shifter = std::same_as<Real, float> ? Real(12582912.0) : Real(6755399441055744.0);
    const simd<Real, Lanes> shifted = x + shifter;
    return {shifted - shifter, __builtin_bit_cast(word, shifted.data) << mantissa_bits<Real>};
  }
}

/// x * 2^n by adding n, in its place, to the exponent of x; x and the result are normal numbers, or n is 0.
template <class Real, int Lanes>
SEXTANT_INLINE simd<Real, Lanes> add_to_exponent(simd<Real, Lanes> x, vector_word<Real, Lanes> exponent) {
  using word = vector_word<Real, Lanes>;
  return simd<Real, Lanes>::from_vector(
      __builtin_bit_cast(vector<Real, Lanes>, __builtin_bit_cast(word, x.data) + exponent));
}

/// ((c0 x + c1) x + c2) x + ...
template <class Real, int Lanes, class... Rest>
SEXTANT_INLINE simd<Real, Lanes> polynomial(simd<Real, Lanes> x, Real first, Rest... rest) {
  simd<Real, Lanes> sum = first;
  ((sum = fma(sum, x, simd<Real, Lanes>(rest))), ...);
  return sum;
}

/// The same in two interleaved chains, of the even and of the odd powers: half the latency for one more instruction,
/// where a single long chain would be what a loop waits for. `square` is x^2.
template <class Real, int Lanes, class... Coefficients>
SEXTANT_INLINE simd<Real, Lanes> polynomial_in_halves(simd<Real, Lanes> x, simd<Real, Lanes> square,
                                                      Coefficients... descending) {
  simd<Real, Lanes> sum[2] = {Real(0), Real(0)};
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    ((sum[I % 2] = I < 2 ? simd<Real, Lanes>(descending) : fma(sum[I % 2], square, simd<Real, Lanes>(descending))),
     ...);
  }
  (std::make_integer_sequence<int, static_cast<int>(sizeof...(descending))>{});
  constexpr int last = (sizeof...(descending) - 1) % 2;  // which sum holds x^0
  return fma(sum[1 - last], x, sum[last]);
}

/// A positive normal number as 2^exponent * (1 + fraction), the mantissa 1 + fraction in [sqrt(1/2), sqrt(2)).
template <class Real, int Lanes> struct decomposed {
  simd<Real, Lanes> exponent;
  simd<Real, Lanes> fraction;
  vector_word<Real, Lanes> biased;  // the exponent as an integer, plus the bias
};
template <class Real, int Lanes> SEXTANT_INLINE decomposed<Real, Lanes> decompose(simd<Real, Lanes> x) {
  using natural = typename vector_types<Real, Lanes>::natural;
  using word = vector_word<Real, Lanes>;
  constexpr natural one = __builtin_bit_cast(natural, Real(1));
  constexpr natural root_half = __builtin_bit_cast(natural, Real(0.70710678118654752440));
  constexpr Real first_with_ulp_1 = std::same_as<Real, float> ? Real(8388608.0) : Real(4503599627370496.0);
  const word bits = __builtin_bit_cast(word, x.data);
  const word biased = (bits + (one - root_half)) >> mantissa_bits<Real>;
  const word mantissa = bits - (biased << mantissa_bits<Real>)+one;
  // 2^mantissa_bits + biased is a number whose bits are those of 2^mantissa_bits, or-ed with the integer.
  const word counted = biased | __builtin_bit_cast(natural, first_with_ulp_1);
  using number = vector<Real, Lanes>;
  return {
      simd<Real, Lanes>::from_vector(__builtin_bit_cast(number, counted)) - (first_with_ulp_1 + exponent_bias<Real>),
      simd<Real, Lanes>::from_vector(__builtin_bit_cast(number, mantissa)) - Real(1), biased};
}

/// log(1 + f) - f for f in [sqrt(1/2) - 1, sqrt(2) - 1].
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> log_of_mantissa_less_fraction(simd<Real, Lanes> f) {
  if constexpr (std::same_as<Real, float>) {  // f^2 (-1/2 + f P(f)), error 3.2e-8
    const simd<Real, Lanes> p = polynomial_in_halves(
        f, f * f, 0.087004263572826546419f, -0.14267888640313997219f, 0.14914939737530288699f, -0.16577545147690459863f,
        0.19963045884324113876f, -0.25001337922244758028f, 0.33333911133446183242f);
    return f * f * fma(f, p, simd<Real, Lanes>(-0.5f));
  } else {  // with s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - s (f - s^2 W(s^2)), error 1.2e-18
    const simd<Real, Lanes> s = f / (f + 2.0);
    const simd<Real, Lanes> z = s * s;
    const simd<Real, Lanes> w = polynomial_in_halves(
        z, z * z, 0.14797031455972964659, 0.1531395173954968211, 0.18183567809044015058, 0.22222198513808947986,
        0.28571428742887914027, 0.39999999999412801488, 0.66666666666667346352);
    return s * (z * w - f);
  }
}

/// e log(2) + f + rest, log(2) in two parts, the first of few enough bits for an exact product.
template <class Real, int Lanes>
SEXTANT_INLINE simd<Real, Lanes> natural_logarithm(simd<Real, Lanes> e, simd<Real, Lanes> f, simd<Real, Lanes> rest) {
  constexpr Real upper = std::same_as<Real, float> ? Real(0.693359375) : Real(6.93147180369123816490e-01);
  constexpr Real lower = std::same_as<Real, float> ? Real(-2.12194440054690583e-4) : Real(1.9082149292723212146e-10);
  return fma(e, simd<Real, Lanes>(upper), f + fma(e, simd<Real, Lanes>(lower), rest));
}

/// x = n log(2) + r with |r| <= log(2)/2: n, its place in the exponent, and r.
template <class Real, int Lanes> struct reduced {
  vector_word<Real, Lanes> exponent;
  simd<Real, Lanes> rest;
};
template <class Real, int Lanes> SEXTANT_INLINE reduced<Real, Lanes> reduce_by_log2(simd<Real, Lanes> x) {
  constexpr Real upper = std::same_as<Real, float> ? Real(0.693359375) : Real(6.93147180369123816490e-01);
  constexpr Real lower = std::same_as<Real, float> ? Real(-2.12194440054690583e-4) : Real(1.9082149292723212146e-10);
  const whole_number<Real, Lanes> n = round_to_whole(x * Real(1.44269504088896340736));
  const simd<Real, Lanes> partly = fma(n.number, simd<Real, Lanes>(-upper), x);
  return {n.exponent, fma(n.number, simd<Real, Lanes>(-lower), partly)};
}

/// exp(r) - 1 for |r| <= log(2)/2, with a small relative error down to r = 0.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> exp_less_1(simd<Real, Lanes> r) {
  if constexpr (std::same_as<Real, float>) {  // error 1.4e-8
    const simd<Real, Lanes> q = polynomial(r, 0.0013882524482225983459f, 0.0083665206430166593107f,
                                           0.041667199799984178383f, 0.16666543620322524655f, 0.49999998154335410456f);
    return fma(r * r, q, r);
  } else {  // error 1.8e-17
    const simd<Real, Lanes> q =
        polynomial(r, 2.5053777337943120648e-08, 2.76260378537346256e-07, 2.7557407535657387565e-06,
                   2.4801505273891249223e-05, 0.00019841269719014244345, 0.0013888888931564786607,
                   0.0083333333333895487997, 0.041666666666576754969, 0.16666666666666589284, 0.50000000000000051793);
    return fma(r * r, q, r);
  }
}

}  // namespace detail

namespace detail {

/// 2^x of several vectors, every step for all of them before the next: the steps of one wait for one another, and no
/// processor looks far enough ahead to fill the wait with whole other chains.
template <class Real, int Lanes, int... I>
SEXTANT_INLINE void exp2_of_each(simd<Real, Lanes> (&x)[sizeof...(I)], std::integer_sequence<int, I...>) {
  using number = simd<Real, Lanes>;
  constexpr int top = exponent_bias<Real> + 1;
  // At the clamped ends the polynomial is exactly 1, so that 0 and infinity come out of the exponent's addition.
  number r[] = {max(number(Real(1 - top)), x[I])...};
  ((r[I] = min(number(Real(top)), r[I])), ...);
  const whole_number<Real, Lanes> n[] = {round_to_whole(r[I])...};
  ((r[I] = r[I] - n[I].number), ...);
  number p[] = {(static_cast<void>(I), number(Real(0)))...};
  const auto polynomials = [&](auto... descending) __attribute__((always_inline)) {
    bool first = true;
    const auto next = [&](number c) __attribute__((always_inline)) {
      ((p[I] = first ? c : fma(p[I], r[I], c)), ...);
      first = false;
    };
    (next(number(descending)), ...);
  };
  if constexpr (std::same_as<Real, float>) {  // error 9.2e-8
    polynomials(0.0013264734660807421486f, 0.0096715128847907700565f, 0.055507337141648639644f,
                0.24022242079970467519f, 0.69314697762644152165f, 1.0f);
  } else {  // error 3.4e-18
    polynomials(4.4347718050868853999e-10, 7.0737832365227605636e-9, 1.017819956839327806e-7,
                1.3215435282376560337e-6, 1.5252733493135923436e-05, 0.00015403530457111961461,
                0.001333355814677461171, 0.0096181291075941201828, 0.055504108664820083263, 0.2402265069591013126,
                0.6931471805599453258, 1.0);
  }
  ((p[I] = add_to_exponent(p[I], n[I].exponent)), ...);
  ((x[I] = converts_to_integers<Real, Lanes> ? p[I] : select(x[I] == x[I], p[I], x[I])), ...);
}

}  // namespace detail

/// 2^x. Exact at whole numbers; infinity from 128 (float) or 1024 (double) on. Where the result would be below the
/// normal numbers it falls linearly to 0, which it is from -127 or -1023 on. Twelve instructions for float on AVX2.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> exp2(simd<Real, Lanes> x) {
  simd<Real, Lanes> each[] = {x};
  detail::exp2_of_each(each, std::integer_sequence<int, 0>{});
  return each[0];
}
/// 2^x of `Count` vectors in place: the same numbers, sooner than one after another.
template <class Real, int Lanes, std::size_t Count> SEXTANT_INLINE void exp2(simd<Real, Lanes> (&x)[Count]) {
  detail::exp2_of_each(x, std::make_integer_sequence<int, static_cast<int>(Count)>{});
}

/// exp(x): 0 where the result would be below the normal numbers (x < -87.33 for float, -708.4 for double).
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> exp(simd<Real, Lanes> x) {
  using number = simd<Real, Lanes>;
  constexpr Real lowest = std::same_as<Real, float> ? Real(-87.33654022216797) : Real(-708.3964185322641);
  constexpr Real highest = std::same_as<Real, float> ? Real(88.72283172607422) : Real(709.782712893384);
  const auto n = detail::reduce_by_log2(x);
  number p;
  if constexpr (std::same_as<Real, float>) {  // error 1.1e-7
    p = detail::polynomial(n.rest, 0.0083125200865023926701f, 0.041890156790561775749f, 0.16667114650739173589f,
                           0.49999231495727808236f, 1.0f, 1.0f);
  } else {
    p = detail::exp_less_1(n.rest) + Real(1);
  }
  number result = detail::add_to_exponent(p, n.exponent);
  result = select(x < lowest, number(Real(0)), result);
  result = select(x > highest, number(detail::infinity<Real>), result);
  return detail::converts_to_integers<Real, Lanes> ? result : select(x == x, result, x);
}

namespace detail {

/// As `decompose`, subnormal numbers included.
template <class Real, int Lanes> SEXTANT_INLINE decomposed<Real, Lanes> decompose_any(simd<Real, Lanes> x) {
  constexpr Real least_normal = std::same_as<Real, float> ? Real(0x1p-126) : Real(0x1p-1022);
  constexpr Real up = std::same_as<Real, float> ? Real(0x1p23) : Real(0x1p52);
  const auto small = x < least_normal;
  decomposed<Real, Lanes> parts = decompose(select(small, x * up, x));
  parts.exponent = select(small, parts.exponent - Real(mantissa_bits<Real>), parts.exponent);
  return parts;
}

/// The logarithm of a positive finite x, or what it is elsewhere.
template <class Real, int Lanes>
SEXTANT_INLINE simd<Real, Lanes> or_special(simd<Real, Lanes> x, simd<Real, Lanes> logarithm) {
  using number = simd<Real, Lanes>;
  const number finite = select(x < infinity<Real>, logarithm, x);
  const number positive = select(x == Real(0), number(-infinity<Real>), finite);
  return select(x < Real(0), number(static_cast<Real>(__builtin_nan(""))), positive);
}

}  // namespace detail

/// Natural logarithm. -infinity at 0, NaN below; subnormal numbers included.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> log(simd<Real, Lanes> x) {
  const auto parts = detail::decompose_any(x);
  const auto rest = detail::log_of_mantissa_less_fraction(parts.fraction);
  return detail::or_special(x, detail::natural_logarithm(parts.exponent, parts.fraction, rest));
}

/// Logarithm of base 2; exact at powers of 2.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> log2(simd<Real, Lanes> x) {
  const auto parts = detail::decompose_any(x);
  const auto natural = parts.fraction + detail::log_of_mantissa_less_fraction(parts.fraction);
  return detail::or_special(x, fma(natural, simd<Real, Lanes>(Real(1.44269504088896340736)), parts.exponent));
}

/// log(1 + x), with a small relative error however small x is. -infinity at -1, NaN below.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> log1p(simd<Real, Lanes> x) {
  using number = simd<Real, Lanes>;
  using word = detail::vector_word<Real, Lanes>;
  using natural = typename detail::vector_types<Real, Lanes>::natural;
  const number u = x + Real(1);
  const number lost = x - (u - Real(1));  // what the rounding of u dropped
  const auto parts = detail::decompose(u);
  // The fraction of 1 + x is that of u plus the lost part in the scale of the mantissa, lost * 2^-e. With e = 0 it is
  // x. Where e is one too large for 2^-e to be a normal number, nothing is lost: 0 will do, but the bits say
  // -infinity.
  const word scale = (natural(2 * detail::exponent_bias<Real>) - parts.biased) << detail::mantissa_bits<Real>;
  const number down = max(number::from_vector(__builtin_bit_cast(detail::vector<Real, Lanes>, scale)), number(Real(0)));
  const number f = fma(lost, down, parts.fraction);
  number result = detail::natural_logarithm(parts.exponent, f, detail::log_of_mantissa_less_fraction(f));
  result = select(x == detail::infinity<Real>, x, result);
  result = select(x == Real(-1), number(-detail::infinity<Real>), result);
  return select(x < Real(-1), number(static_cast<Real>(__builtin_nan(""))), result);
}

/// log(1 + x) for 0 <= x <= 1 alone, where float needs no more than a polynomial: what softplus and log_sigmoid are
/// made of.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> log1p_unit(simd<Real, Lanes> x) {
  if constexpr (std::same_as<Real, float>) {  // x times a polynomial in x - 1/2, error 3.1e-8
    const simd<Real, Lanes> t = x - 0.5f;
    return x * detail::polynomial_in_halves(t, t * t, 0.0052326739701106933097f, -0.0085744677834473745566f,
                                            0.011586488596173786673f, -0.020228243769994910582f,
                                            0.036633857459061036632f, -0.067711447160904653433f,
                                            0.13260908470940987344f, -0.28852666535944240561f, 0.81093021937339097102f);
  } else {
    return log1p(x);
  }
}

/// Hyperbolic tangent, by exp(2|x|) - 1 = 2^n (exp(r) - 1) + (2^n - 1), which loses nothing near 0.
template <class Real, int Lanes> SEXTANT_INLINE simd<Real, Lanes> tanh(simd<Real, Lanes> x) {
  using number = simd<Real, Lanes>;
  using word = detail::vector_word<Real, Lanes>;
  using natural = typename detail::vector_types<Real, Lanes>::natural;
  constexpr Real rounds_to_1 = std::same_as<Real, float> ? Real(10) : Real(20);
  const number size = min(number(rounds_to_1), abs(x));
  const auto n = detail::reduce_by_log2(size + size);
  const number power = detail::add_to_exponent(number(Real(1)), n.exponent);
  const number e = fma(detail::exp_less_1(n.rest), power, power - Real(1));
  const number t = e / (e + Real(2));
  constexpr natural sign = natural(1) << (8 * sizeof(Real) - 1);
  const word bits = __builtin_bit_cast(word, t.data) | (__builtin_bit_cast(word, x.data) & sign);
  return number::from_vector(__builtin_bit_cast(detail::vector<Real, Lanes>, bits));
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
