// SPDX-License-Identifier: Apache-2.0
/// @file  The special function unit's instructions: one each, 16 lanes per clock and multiprocessor, errors as given.
#pragma once

/// Raw instructions. All of them flush subnormal numbers to zero, and answer NaN for NaN.
namespace sextant::gpu::ptx {

/// 2^x with a relative error of 2^-22; 0 below -126.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// log2(x) with an absolute error of 2^-22 between 0.5 and 2, a relative one of 2^-22 elsewhere.
__device__ __forceinline__ float log2_approx(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// tanh(x) with a relative error of 2^-11.
__device__ __forceinline__ float tanh_approx(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// 1 / x within one unit of the last place.
__device__ __forceinline__ float reciprocal_approx(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace sextant::gpu::ptx
