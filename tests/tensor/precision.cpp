// SPDX-License-Identifier: Apache-2.0
/// @file  The storage types of 16 bits: every bit pattern, every tie, both ways of rounding.
#include <doctest/doctest.h>

#include <cmath>        // ldexp, nextafter, isnan
#include <cstdint>      // uint16_t
#include <limits>       // infinity
#include <string>       // string
#include <type_traits>  // is_trivially_copyable_v

#include <sextant/tensor/precision.hpp>

using sextant::bfloat16;
using sextant::float16;

static_assert(sizeof(bfloat16) == 2 && sizeof(float16) == 2);
static_assert(std::is_trivially_copyable_v<bfloat16> && std::is_trivially_default_constructible_v<bfloat16>);
static_assert(std::is_trivially_copyable_v<float16> && std::is_trivially_default_constructible_v<float16>);
static_assert(!std::is_convertible_v<float, bfloat16> && !std::is_convertible_v<double, float16>);
static_assert(float16(1.5).bits == 0x3e00 && bfloat16(-2).bits == 0xc000 && float(float16(0.5f)) == 0.5f);
static_assert(sextant::storage_type<bfloat16> && sextant::storage_type<double> && !sextant::storage_type<int>);

namespace {

template <class Stored> struct format;
template <> struct format<bfloat16> { static constexpr int mantissa = 7, exponent = 8, bias = 127; };
template <> struct format<float16> { static constexpr int mantissa = 10, exponent = 5, bias = 15; };

/// The value of a pattern by the definition of its fields.
template <class Stored> double value_of(unsigned pattern) {
  using f = format<Stored>;
  const int exponent = int(pattern >> f::mantissa) & ((1 << f::exponent) - 1);
  const int fraction = int(pattern) & ((1 << f::mantissa) - 1);
  const double sign = (pattern & 0x8000u) != 0 ? -1 : 1;
  if (exponent == (1 << f::exponent) - 1)
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - f::bias - f::mantissa);
  return sign * std::ldexp(fraction + (1 << f::mantissa), exponent - f::bias - f::mantissa);
}

}  // namespace

TEST_CASE_TEMPLATE("every pattern has the value of its fields, and returns to itself", Stored, bfloat16, float16) {
  int wrong = 0;
  for (unsigned pattern = 0; pattern < 65536; ++pattern) {
    const double expected = value_of<Stored>(pattern);
    const float got = Stored::from_bits(static_cast<std::uint16_t>(pattern));
    if (std::isnan(expected)) {
      wrong += !std::isnan(got) + !std::isnan(float(Stored(got))) + !std::isnan(float(Stored(double(got))));
    } else {
      wrong += double(got) != expected || std::signbit(got) != std::signbit(expected);
      wrong += Stored(got).bits != pattern;
      wrong += Stored(double(got)).bits != pattern;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("numbers between two neighbours go to the nearer one, and to the even one from the middle", Stored,
                   bfloat16, float16) {
  using f = format<Stored>;
  const unsigned last = ((1u << f::exponent) - 1) << f::mantissa;  // infinity; the one below it is the largest number
  const double beyond = std::ldexp(1.0, f::bias + 1);              // what infinity stands for in a rounding
  int wrong = 0;
  for (unsigned lower = 0; lower < last; ++lower) {
    const double a = value_of<Stored>(lower);
    const double b = lower + 1 == last ? beyond : value_of<Stored>(lower + 1);
    const double middle = a + (b - a) / 2;  // exact, in float too
    const unsigned even = lower % 2 == 0 ? lower : lower + 1;
    for (const unsigned sign : {0u, 0x8000u}) {
      const double s = sign != 0 ? -1 : 1;
      const float m = static_cast<float>(s * middle);
      const float away = std::nextafter(m, std::numeric_limits<float>::infinity() * static_cast<float>(s));
      wrong += Stored(m).bits != (sign | even);
      wrong += Stored(std::nextafter(m, 0.0f)).bits != (sign | lower);
      wrong += Stored(away).bits != (sign | (lower + 1));
      // Nearer to the middle than any float: a rounding by way of float would take these for ties.
      wrong += Stored(s * middle).bits != (sign | even);
      wrong += Stored(std::nextafter(s * middle, 0.0)).bits != (sign | lower);
      wrong += Stored(std::nextafter(s * middle, s * beyond * 2)).bits != (sign | (lower + 1));
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("the ends of the ranges") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(float(float16(65519.996f)) == 65504.0f);
  CHECK(float(float16(65520.0f)) == infinity);
  CHECK(float(float16(-1e30f)) == -infinity);
  CHECK(float(float16(1e300)) == infinity);
  CHECK(float(bfloat16(3.3895e38f)) == 3.3895313892515355e38f);
  CHECK(float(bfloat16(std::numeric_limits<float>::max())) == infinity);
  CHECK(float(bfloat16(-1e300)) == -infinity);
  CHECK(float16(5.9604645e-8f).bits == 1);                               // the least subnormal half
  CHECK(float16(2.9802322e-8f).bits == 0);                               // half of it: a tie
  CHECK(float16(std::nextafter(2.9802322387695312e-8, 1.0)).bits == 1);  // the tiniest bit more
  CHECK(bfloat16(1e-320).bits == 0);
  CHECK(bfloat16(-1e-320).bits == 0x8000);
  CHECK(float16(-0.0f).bits == 0x8000);
  // A NaN whose payload lies in the bits that are cut must not become infinity.
  CHECK(std::isnan(float(bfloat16(__builtin_bit_cast(float, 0x7f800001u)))));
  CHECK(std::isnan(float(float16(__builtin_bit_cast(float, 0xff800001u)))));
}

TEST_CASE("precisions have names and types") {
  using namespace sextant;
  CHECK(std::string(precision_name<fp32>) == "fp32");
  CHECK(std::string(precision_name<fp64>) == "fp64");
  CHECK(std::string(precision_name<bf16>) == "bf16");
  CHECK(std::string(precision_name<fp16>) == "fp16");
  CHECK(std::string(precision_name<precision<float, double, double>>) == "mixed");
  CHECK(std::is_same_v<bf16::token, bfloat16>);
  CHECK(std::is_same_v<fp16::state, float>);
  CHECK(std::is_same_v<fp64::accumulator, double>);
}
