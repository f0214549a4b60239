// SPDX-License-Identifier: Apache-2.0
/// @file  A float whose functions are the special function unit's: for parts whose results are rounded to 16 bits at once.
#pragma once

#include <sextant/cuda/tile/activation.cuh>
#include <sextant/math/functions.hpp>

namespace sextant::gpu {

/// A scalar type for gates and feature maps. Arithmetic is float's; exp and log and what is made of them cost one or two
/// instructions and are off by about 2^-22 of themselves or of their argument's size, log(1 + x) by 6e-5 of itself, tanh by
/// 2^-11.
class approximate {
 public:
  approximate() = default;
  __device__ __forceinline__ explicit approximate(float x) : value_{x} {}
  __device__ __forceinline__ explicit approximate(double x) : value_{float(x)} {}
  __device__ __forceinline__ explicit approximate(int x) : value_{float(x)} {}
  __device__ __forceinline__ explicit operator float() const { return value_; }

#define SEXTANT_OF_TWO(op)                                                                              \
  friend __device__ __forceinline__ approximate operator op(approximate x, approximate y) { \
    return approximate(x.value_ op y.value_);                                                           \
  }
#define SEXTANT_COMPARISON(op) \
  friend __device__ __forceinline__ bool operator op(approximate x, approximate y) { return x.value_ op y.value_; }
#define SEXTANT_OF_ONE(name, result) \
  friend __device__ __forceinline__ approximate name(approximate v) { const float x = v.value_; return approximate(result); }
  SEXTANT_OF_TWO(+)
  SEXTANT_OF_TWO(-)
  SEXTANT_OF_TWO(*)
  SEXTANT_COMPARISON(<)
  SEXTANT_COMPARISON(>)
  SEXTANT_COMPARISON(<=)
  SEXTANT_COMPARISON(>=)
  SEXTANT_OF_ONE(operator-, -x)
  SEXTANT_OF_ONE(abs, fabsf(x))
  SEXTANT_OF_ONE(exp, ptx::exp2_approx(x * 1.44269504088896340736f))
  SEXTANT_OF_ONE(exp2, ptx::exp2_approx(x))
  SEXTANT_OF_ONE(log, ptx::log2_approx(x) * 0.693147180559945309417f)
  SEXTANT_OF_ONE(log2, ptx::log2_approx(x))
  SEXTANT_OF_ONE(log1p, log1pf(x))
  SEXTANT_OF_ONE(log1p_unit, log1p_ratio<false>(x) * x)
  SEXTANT_OF_ONE(sqrt, sqrtf(x))
  SEXTANT_OF_ONE(tanh, ptx::tanh_approx(x))
  SEXTANT_OF_ONE(sin, sinf(x))
  SEXTANT_OF_ONE(cos, cosf(x))
#undef SEXTANT_OF_TWO
#undef SEXTANT_COMPARISON
#undef SEXTANT_OF_ONE
  friend __device__ __forceinline__ approximate operator/(approximate x, approximate y) {
    return approximate(x.value_ * ptx::reciprocal_approx(y.value_));
  }
  friend __device__ __forceinline__ approximate max(approximate x, approximate y) { return x > y ? x : y; }
  friend __device__ __forceinline__ approximate min(approximate x, approximate y) { return x < y ? x : y; }

 private:
  float value_;
};

}  // namespace sextant::gpu
