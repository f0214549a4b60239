// SPDX-License-Identifier: Apache-2.0
/// @file  Single numbers of the storage types as floats and back, by the hardware's conversions.
#pragma once

#include <type_traits>  // is_same

#include <sextant/tensor/precision.hpp>

namespace sextant::gpu::ptx {

/// A stored number as a float; exact.
template <class Stored> __device__ __forceinline__ float as_float(Stored x) {
  if constexpr (std::is_same_v<Stored, bfloat16>) return __uint_as_float(std::uint32_t(x.bits) << 16);
  else if constexpr (std::is_same_v<Stored, float16>) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
  } else return float(x);
}

/// A float as it is stored, to nearest even.
template <class Stored> __device__ __forceinline__ Stored as_stored(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  Stored y;
  if constexpr (std::is_same_v<Stored, bfloat16>) asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  else if constexpr (std::is_same_v<Stored, float16>) asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  else y = Stored(x);
  return y;
#else
  return Stored(x);
#endif
}

}  // namespace sextant::gpu::ptx
