// SPDX-License-Identifier: Apache-2.0
/// @file  With what numbers: storage types of 16 bits, and the triple of types (token, state, accumulator) of a call.
#pragma once

#include <concepts>  // same_as
#include <cstdint>   // uint16_t, uint32_t

#include <sextant/config.hpp>

namespace sextant {

namespace detail {

/// The float nearest to `x` on the odd side: `x` itself if a float holds it, else whichever neighbour has an odd last
/// bit. Rounding that once more to 16 bits gives the correctly rounded 16-bit value of `x`, which a plain double ->
/// float -> 16 bits does not (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
SEXTANT_FN constexpr float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  const double back = static_cast<double>(nearest);
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, nearest);
  if (back == x || x != x || (bits & 1u) != 0) return nearest;
  const bool away = (x < 0 ? -back : back) > (x < 0 ? -x : x);  // the float is the farther one from zero
  return __builtin_bit_cast(float, away ? bits - 1u : bits + 1u);
}

/// Bits of the bfloat16 nearest to `x`, ties to even; a NaN stays a NaN (quiet), overflow gives infinity.
SEXTANT_FN constexpr std::uint16_t bfloat16_bits(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  if (x != x) return static_cast<std::uint16_t>((bits >> 16) | 0x0040u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/// Bits of the IEEE half nearest to `x`, ties to even; subnormal halves exact, a NaN stays a NaN (quiet), from 65520
/// on infinity.
SEXTANT_FN constexpr std::uint16_t float16_bits(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t size = bits & 0x7fffffffu;
  std::uint32_t half = 0;
  if (size > 0x7f800000u) {  // NaN: keep the upper payload
    half = 0x7e00u | ((size >> 13) & 0x03ffu);
  } else if (size >= 0x47800000u) {  // 65536 and more
    half = 0x7c00u;
  } else if (size >= 0x38800000u) {  // normal halves: rebias 127 -> 15; a carry into the exponent is right
    half = (size - (112u << 23) + 0x0fffu + ((size >> 13) & 1u)) >> 13;
  } else if (size > 0x33000000u) {  // subnormal halves, multiples of 2^-24; 2^-25 itself is a tie and goes to zero
    const std::uint32_t shift = 126u - (size >> 23);  // 14 .. 24 places to the right
    const std::uint32_t mantissa = (size & 0x007fffffu) | 0x00800000u;
    half = (mantissa + (1u << (shift - 1u)) - 1u + ((mantissa >> shift) & 1u)) >> shift;
  }
  return static_cast<std::uint16_t>(sign | half);
}

/// The float that IEEE half bits stand for; exact.
SEXTANT_FN constexpr float float16_value(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fu;
  const std::uint32_t mantissa = half & 0x03ffu;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
    const float size = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
    return __builtin_bit_cast(float, sign | __builtin_bit_cast(std::uint32_t, size));
  }
  const std::uint32_t biased = exponent == 31 ? 255u : exponent + 112u;
  return __builtin_bit_cast(float, sign | (biased << 23) | (mantissa << 13));
}

}  // namespace detail

/// Storage of 16 bits with the exponent of a float: 1 sign, 8 exponent and 7 mantissa bits (relative error 2^-8).
/// Not a type to compute with: it converts to float by itself, and back when asked, rounding to nearest even.
struct bfloat16 {
  std::uint16_t bits;

  bfloat16() = default;
  /// Nearest, ties to even. NaN stays NaN, overflow gives infinity.
  SEXTANT_FN constexpr explicit bfloat16(float x) : bits(detail::bfloat16_bits(x)) {}
  /// As from float, in a single rounding.
  SEXTANT_FN constexpr explicit bfloat16(double x) : bits(detail::bfloat16_bits(detail::round_to_odd(x))) {}
  SEXTANT_FN constexpr explicit bfloat16(int x) : bfloat16(static_cast<double>(x)) {}
  /// Exact.
  SEXTANT_FN constexpr operator float() const {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
  /// The number whose bit pattern is `pattern`.
  SEXTANT_FN static constexpr bfloat16 from_bits(std::uint16_t pattern) {
    bfloat16 x(0.0f);
    x.bits = pattern;
    return x;
  }
};

/// Storage of 16 bits, IEEE 754 binary16: 1 sign, 5 exponent and 10 mantissa bits (relative error 2^-11 from 6.1e-5 to
/// 65504; below that subnormal, multiples of 2^-24). Converts to float by itself, and back when asked.
struct float16 {
  std::uint16_t bits;

  float16() = default;
  /// Nearest, ties to even. NaN stays NaN, 65520 and more gives infinity.
  SEXTANT_FN constexpr explicit float16(float x) : bits(detail::float16_bits(x)) {}
  /// As from float, in a single rounding.
  SEXTANT_FN constexpr explicit float16(double x) : bits(detail::float16_bits(detail::round_to_odd(x))) {}
  SEXTANT_FN constexpr explicit float16(int x) : float16(static_cast<double>(x)) {}
  /// Exact.
  SEXTANT_FN constexpr operator float() const { return detail::float16_value(bits); }
  /// The number whose bit pattern is `pattern`.
  SEXTANT_FN static constexpr float16 from_bits(std::uint16_t pattern) {
    float16 x(0.0f);
    x.bits = pattern;
    return x;
  }
};

/// What a tensor may be stored in.
template <class T>
concept storage_type =
    std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bfloat16> || std::same_as<T, float16>;

/// What the library computes with.
template <class T> concept real_type = std::same_as<T, float> || std::same_as<T, double>;

/// With what numbers a design is computed: the tokens q, k, v, y and the raw gate tensors are stored as `Token`, the
/// states S and z as `State`, and every sum is taken in `Accumulator`.
template <class Token, class State, class Accumulator> struct precision {
  static_assert(storage_type<Token> && storage_type<State>,
                "tokens and states are stored as float, double, sextant::bfloat16 or sextant::float16");
  static_assert(real_type<Accumulator>, "sums are taken in float or double");
  using token = Token;
  using state = State;
  using accumulator = Accumulator;
};

/// Everything in float: 4 bytes per element.
using fp32 = precision<float, float, float>;
/// Everything in double: 8 bytes per element.
using fp64 = precision<double, double, double>;
/// Tokens in bfloat16 (2 bytes), states and sums in float.
using bf16 = precision<bfloat16, float, float>;
/// Tokens in IEEE half (2 bytes), states and sums in float.
using fp16 = precision<float16, float, float>;

/// The name of a precision as the command line tools spell it: "fp32", "fp64", "bf16", "fp16"; "mixed" for any other
/// triple.
template <class Precision> inline constexpr const char* precision_name = "mixed";
template <> inline constexpr const char* precision_name<fp32> = "fp32";
template <> inline constexpr const char* precision_name<fp64> = "fp64";
template <> inline constexpr const char* precision_name<bf16> = "bf16";
template <> inline constexpr const char* precision_name<fp16> = "fp16";

}  // namespace sextant
