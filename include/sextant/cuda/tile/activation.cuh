// SPDX-License-Identifier: Apache-2.0
/// @file  softplus, silu and 2^x of gates, as exact as the tokens they are computed from need.
#pragma once

#include <sextant/cuda/ptx/math.cuh>

namespace sextant::gpu {

/// log2(e), what turns a natural logarithm into one of base 2.
inline constexpr float log2_e = 1.44269504088896340736f;

/// log(1 + e) / e for 0 <= e <= 1, a polynomial: minimax, relative error 3e-8 where `Exact`, for tokens in float; 6e-5, a
/// quarter of a rounding to half and less, for tokens of 16 bits.
template <bool Exact> __device__ __forceinline__ float log1p_ratio(float e) {
  float p;
  if constexpr (Exact) {
    p = fmaf(5.232694111e-3f, e, -2.950523728e-2f);
    p = fmaf(p, e, 7.822594782e-2f);
    p = fmaf(p, e, -1.366324530e-1f);
    p = fmaf(p, e, 1.910600644e-1f);
    p = fmaf(p, e, -2.484298211e-1f);
    p = fmaf(p, e, 3.331909679e-1f);
    p = fmaf(p, e, -4.999949314e-1f);
    p = fmaf(p, e, 9.999999699e-1f);
  } else {
    p = fmaf(4.134726039e-2f, e, -1.574271198e-1f);
    p = fmaf(p, e, 3.063008693e-1f);
    p = fmaf(p, e, -4.969777901e-1f);
    p = fmaf(p, e, 9.999432769e-1f);
  }
  return p;
}

/// softplus(x) = max(x, 0) + log(1 + e), e = exp(-|x|), with a small relative error also where it is tiny. From about 17 on
/// it is x itself.
template <bool Exact> __device__ __forceinline__ float softplus(float x) {
  const float e = ptx::exp2_approx(fabsf(x) * -log2_e);
  return fmaf(log1p_ratio<Exact>(e), e, fmaxf(x, 0.0f));  // a NaN is in e already
}

/// silu(x) = x sigmoid(x): by an exponential and a reciprocal where `Exact`, else by the tanh instruction, which is off by
/// 2.4e-4 |x| at most.
template <bool Exact> __device__ __forceinline__ float silu(float x) {
  if constexpr (Exact) {
    const float e = ptx::exp2_approx(fabsf(x) * -log2_e);
    return x * (x < 0.0f ? e : 1.0f) * ptx::reciprocal_approx(1.0f + e);
  } else {
    const float half = 0.5f * x;
    return fmaf(half, ptx::tanh_approx(half), half);
  }
}

/// 2^x on the multiply-add units, for when the special function unit is what a kernel waits for: the nearest integer by
/// rounding, a polynomial on [-1/2, 1/2] that is 1 at 0 (minimax; relative error 3e-7 |x| where `Exact`, 3e-4 |x| for tokens of
/// 16 bits), the exponent by an addition. At least 2^-126; for x up to 127, and beyond as for 127 where `Exact`. Adding to the
/// bits of a NaN makes a huge number of it: who cares must look at x.
template <bool Exact> __device__ __forceinline__ float exp2_by_polynomial(float x) {
  asm("max.NaN.f32 %0, %0, 0fC2FC0000;" : "+f"(x));                       // -126
  if constexpr (Exact) asm("min.NaN.f32 %0, %0, 0f42FE0000;" : "+f"(x));  // 127
  const float shifted = x + 12582912.0f;  // 1.5 * 2^23: the integer ends up in the last bits
  const float f = x - (shifted - 12582912.0f);
  float p;
  if constexpr (Exact) {
    p = fmaf(1.326522649e-3f, f, 9.671231709e-3f);
    p = fmaf(p, f, 5.550728477e-2f);
    p = fmaf(p, f, 2.402224813e-1f);
    p = fmaf(p, f, 6.931469860e-1f);
  } else {
    p = fmaf(5.508869835e-2f, f, 2.420067854e-1f);
    p = fmaf(p, f, 6.932289561e-1f);
  }
  p = fmaf(p, f, 1.0f);
  return __int_as_float(__float_as_int(p) + (__float_as_int(shifted) << 23));
}

/// 2^x = factor (1 + change), for what is multiplied by nearly the same power of two thousands of times: 2^x itself, as a
/// float, is rounded by up to half of 2^-24 where it is nearly 1, each time the same way. `change` is 2^y - 1 of y, x or the
/// nearest number to it in [-1/16, 0], by a polynomial (minimax, relative error 1.1e-7); `factor` is 2^(x - y) by the
/// special function unit, 1 where y is x.
struct split_power {
  float factor, change;
};
__device__ __forceinline__ split_power split_exp2(float x) {
  const float s = __saturatef(-16.0f * x);  // -16 y; 0 for NaN, which then is in the factor
  const float p = fmaf(fmaf(-1.333256336e-5f, s, 9.383030245e-4f), s, -4.332169423e-2f);
  return {ptx::exp2_approx(fmaf(s, 0.0625f, x)), p * s};
}

}  // namespace sextant::gpu
