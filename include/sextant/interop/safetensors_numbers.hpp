// SPDX-License-Identifier: Apache-2.0
/// @file  The number types of safetensors: their names, sizes and values.
#pragma once

#include <bit>          // bit_cast, endian
#include <cstddef>      // byte, size_t
#include <cstdint>      // uint8_t, ...
#include <cstring>      // memcpy
#include <iterator>     // size
#include <string_view>  // string_view

#include <sextant/tensor/precision.hpp>

namespace sextant::safetensors {

static_assert(std::endian::native == std::endian::little,
              "sextant/interop/safetensors.hpp needs a little-endian machine");

/// The number types that a file may hold, in the format's own order.
enum class dtype : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64
};

namespace detail {
struct dtype_facts {
  std::string_view name;
  int bits;
};
inline constexpr dtype_facts dtypes[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};
static_assert(std::size(dtypes) == std::size_t(dtype::u64) + 1);

/// A float of 8 bits: `mantissa` bits behind the exponent, whose bias is `bias`. Exact.
constexpr float small_float(unsigned byte, int mantissa, int bias) {
  const unsigned magnitude = byte & 0x7fu, fraction = magnitude & ((1u << mantissa) - 1u);
  const int exponent = int(magnitude >> mantissa);
  float value = exponent == 0 ? float(fraction) : float(fraction + (1u << mantissa));
  for (int e = (exponent == 0 ? 1 : exponent) - bias - mantissa; e != 0; e += e < 0 ? 1 : -1)
    value *= e < 0 ? 0.5f : 2.f;
  return byte & 0x80u ? -value : value;
}
constexpr float float8_e5m2(unsigned byte) {
  if ((byte & 0x7cu) == 0x7cu)
    return __builtin_bit_cast(float, (byte & 0x80u) << 24 | (byte & 3u ? 0x7fc00000u : 0x7f800000u));
  return small_float(byte, 2, 15);
}
constexpr float float8_e4m3(unsigned byte) {
  return (byte & 0x7fu) == 0x7fu ? __builtin_bit_cast(float, 0x7fc00000u) : small_float(byte, 3, 7);
}
/// A power of two: 2^(byte - 127); 2^-127 is a subnormal float.
constexpr float float8_e8m0(unsigned byte) {
  return __builtin_bit_cast(float, byte == 255 ? 0x7fc00000u : byte == 0 ? 0x00400000u : byte << 23);
}
/// Without infinities and without a negative zero, whose pattern is the only NaN.
constexpr float float8_fnuz(unsigned byte, int mantissa, int bias) {
  return byte == 0x80u ? __builtin_bit_cast(float, 0x7fc00000u) : small_float(byte, mantissa, bias);
}

template <class Raw> Raw load(const std::byte* bytes, std::size_t i) {
  Raw x;
  std::memcpy(&x, bytes + i * sizeof(Raw), sizeof(Raw));
  return x;
}
}  // namespace detail

/// A dtype as the files spell it: "F32".
constexpr std::string_view name(dtype type) { return detail::dtypes[std::size_t(type)].name; }
/// Bits of one number.
constexpr int bits(dtype type) { return detail::dtypes[std::size_t(type)].bits; }
/// Finds the dtype of this name; false where the format has none.
constexpr bool find_dtype(std::string_view text, dtype& into) {
  for (std::size_t i = 0; i < std::size(detail::dtypes); ++i)
    if (detail::dtypes[i].name == text) return into = dtype(i), true;
  return false;
}
/// The dtype of numbers of this type: a storage type of the library.
template <storage_type E>
inline constexpr dtype dtype_of = std::is_same_v<E, float>      ? dtype::f32
                                  : std::is_same_v<E, double>   ? dtype::f64
                                  : std::is_same_v<E, bfloat16> ? dtype::bf16
                                                                : dtype::f16;

/// Calls visit(number) once, where number(i) is the value of the i-th number at `bytes`, exactly, as a float or, for
/// 32-bit and 64-bit integers and F64, as the nearest double. `bytes` need not be aligned. False, without a call, for
/// what is not a real number of whole bytes: F4, F6_E2M3, F6_E3M2 and C64.
template <class Visit> bool with_numbers(dtype type, const std::byte* bytes, Visit&& visit) {
  using detail::load;
  const auto byte = [bytes](std::size_t i) { return unsigned(bytes[i]); };
  switch (type) {
    case dtype::f64:
      return visit([=](std::size_t i) { return load<double>(bytes, i); }), true;
    case dtype::f32:
      return visit([=](std::size_t i) { return load<float>(bytes, i); }), true;
    case dtype::bf16:
      return visit([=](std::size_t i) { return float(bfloat16::from_bits(load<std::uint16_t>(bytes, i))); }), true;
    case dtype::f16:
      return visit([=](std::size_t i) { return float(float16::from_bits(load<std::uint16_t>(bytes, i))); }), true;
    case dtype::f8_e5m2:
      return visit([=](std::size_t i) { return detail::float8_e5m2(byte(i)); }), true;
    case dtype::f8_e4m3:
      return visit([=](std::size_t i) { return detail::float8_e4m3(byte(i)); }), true;
    case dtype::f8_e8m0:
      return visit([=](std::size_t i) { return detail::float8_e8m0(byte(i)); }), true;
    case dtype::f8_e4m3fnuz:
      return visit([=](std::size_t i) { return detail::float8_fnuz(byte(i), 3, 8); }), true;
    case dtype::f8_e5m2fnuz:
      return visit([=](std::size_t i) { return detail::float8_fnuz(byte(i), 2, 16); }), true;
    case dtype::i64:
      return visit([=](std::size_t i) { return double(load<std::int64_t>(bytes, i)); }), true;
    case dtype::u64:
      return visit([=](std::size_t i) { return double(load<std::uint64_t>(bytes, i)); }), true;
    case dtype::i32:
      return visit([=](std::size_t i) { return double(load<std::int32_t>(bytes, i)); }), true;
    case dtype::u32:
      return visit([=](std::size_t i) { return double(load<std::uint32_t>(bytes, i)); }), true;
    case dtype::i16:
      return visit([=](std::size_t i) { return float(load<std::int16_t>(bytes, i)); }), true;
    case dtype::u16:
      return visit([=](std::size_t i) { return float(load<std::uint16_t>(bytes, i)); }), true;
    case dtype::i8:
      return visit([=](std::size_t i) { return float(load<std::int8_t>(bytes, i)); }), true;
    case dtype::u8:
      return visit([=](std::size_t i) { return float(byte(i)); }), true;
    case dtype::boolean:
      return visit([=](std::size_t i) { return byte(i) != 0 ? 1.f : 0.f; }), true;
    case dtype::f4:
    case dtype::f6_e2m3:
    case dtype::f6_e3m2:
    case dtype::c64:
      break;
  }
  return false;
}

}  // namespace sextant::safetensors
