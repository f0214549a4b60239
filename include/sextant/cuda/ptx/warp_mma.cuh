// SPDX-License-Identifier: Apache-2.0
/// @file  Matrix products of a warp (mma.sync, sm_80): 16 x 8 sums in registers, factors of 16 bits or in TF32.
#pragma once

#include <cstdint>      // uint32_t
#include <type_traits>  // is_same

#include <sextant/tensor/precision.hpp>

namespace sextant::gpu::ptx {

// Lane l, with g = l / 4 and t = l % 4, holds of the 16 x 8 sums
//   d[0], d[1] = row g, columns 2 t and 2 t + 1;   d[2], d[3] = row g + 8, the same columns;
// of a first factor of 16 rows and 16 terms, two numbers of 16 bits in a register,
//   a[0] = row g, terms 2 t, 2 t + 1;   a[1] = row g + 8;   a[2], a[3] = the same rows, terms 2 t + 8, 2 t + 9;
// of a second one of 16 terms and 8 columns
//   b0 = terms 2 t, 2 t + 1 of column g;   b1 = terms 2 t + 8, 2 t + 9;
// and of factors in TF32 with 8 terms, a number in a register,
//   a[0] = row g, term t;   a[1] = row g + 8, term t;   a[2], a[3] = the same rows, term t + 4;   b0, b1 = terms t, t + 4.

/// sums += a b, 16 terms of bfloat16 or float16, products exact, sums in float.
template <class Token>
__device__ __forceinline__ void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1) {
  if constexpr (std::is_same_v<Token, bfloat16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// The same of 8 terms: a0 = row g, terms 2 t and 2 t + 1; a1 = row g + 8; b0 = those terms of column g.
template <class Token>
__device__ __forceinline__ void multiply_add_few(float (&sums)[4], std::uint32_t a0, std::uint32_t a1,
                                                 std::uint32_t b0) {
  if constexpr (std::is_same_v<Token, bfloat16>)
    asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a0), "r"(a1), "r"(b0));
  else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a0), "r"(a1), "r"(b0));
}

/// sums += a b, 8 terms in TF32.
__device__ __forceinline__ void multiply_add_tf32(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                  std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// The TF32 nearest to x: 11 bits of it, in the upper bits of a float.
__device__ __forceinline__ std::uint32_t as_tf32(float x) {
  std::uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}

}  // namespace sextant::gpu::ptx
