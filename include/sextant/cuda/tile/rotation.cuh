// SPDX-License-Identifier: Apache-2.0
/// @file  Rotary positions: angles in fixed point, their cosines and sines, and pairs of keys turned by them.
#pragma once

#include <cstdint>  // uint64_t

namespace sextant::gpu {

/// What turns pair `pair` of `pairs` for each unit of its coordinate, base^(-pair / pairs), as a share of a whole turn in units of
/// 2^-64. Times the coordinate it overflows by whole turns, which cost nothing: distances between tokens are as exact
/// far away as at the first.
__device__ inline std::uint64_t turns_per_unit(double base, double pair, double pairs) {
  constexpr double two_pi = 6.28318530717958647693;
  const double turns = exp(-log(base) * (pair / pairs)) / two_pi;
  return __double2ull_rn((turns - floor(turns)) * 18446744073709551616.0);
}
/// Cosine and sine of so many turns: good to float where Exact, else by the special function unit, to 2^-20.
template <bool Exact> __device__ __forceinline__ float2 cosine_and_sine(std::uint64_t turns) {
  const float half_turns = float(int(turns >> 32)) * 0x1p-31f;  // in [-1, 1]
  float2 of;
  if constexpr (Exact) sincospif(half_turns, &of.y, &of.x);
  else of.x = __cosf(half_turns * 3.14159265f), of.y = __sinf(half_turns * 3.14159265f);
  return of;
}
/// One turn after another.
__device__ __forceinline__ float2 turned(float2 x, float2 by) {
  return {x.x * by.x - x.y * by.y, x.x * by.y + x.y * by.x};
}
/// Two pairs.
__device__ __forceinline__ float4 turned(float4 x, float2 low, float2 high) {
  const float2 a = turned(float2{x.x, x.y}, low), b = turned(float2{x.z, x.w}, high);
  return {a.x, a.y, b.x, b.y};
}
/// The four pairs of a piece of a row, in their place.
__device__ __forceinline__ void turn_pairs(float (&x)[8], const float2 (&by)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = turned(float2{x[2 * i], x[2 * i + 1]}, by[i]);
    x[2 * i] = pair.x, x[2 * i + 1] = pair.y;
  }
}

}  // namespace sextant::gpu
