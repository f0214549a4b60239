// SPDX-License-Identifier: Apache-2.0
/// @file  Small matrix products of one warp in tf32 (sm_80): D = A B + D, sums in float.
#pragma once

namespace sextant::gpu::ptx {

// Lane l of the warp, with g = l / 4 and q = l % 4, holds
//   of D [16 x 8]  d0: (g, 2q)  d1: (g, 2q + 1)  d2: (g + 8, 2q)  d3: (g + 8, 2q + 1)
//   of A [16 x 4]  a0: (g, q)   a1: (g + 8, q)
//   of A [16 x 8]  a0: (g, q)   a1: (g + 8, q)   a2: (g, q + 4)   a3: (g + 8, q + 4)
//   of B [4 x 8]   b0: (q, g)
//   of B [8 x 8]   b0: (q, g)   b1: (q + 4, g)
// Factors are floats of which 10 bits of the mantissa count; the rest is cut off.

/// D += A B with 4 columns of A.
__device__ __forceinline__ void multiply_16x8x4(float (&d)[4], float a0, float a1, float b0) {
  asm("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a0)), "r"(__float_as_uint(a1)), "r"(__float_as_uint(b0)));
}
/// D += A B with 8 columns of A.
__device__ __forceinline__ void multiply_16x8x8(float (&d)[4], const float (&a)[4], float b0, float b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}
/// D = A B, likewise.
__device__ __forceinline__ void multiply_16x8x8_anew(float (&d)[4], const float (&a)[4], float b0, float b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)), "f"(0.0f));
}
/// A float rounded to the bits that count, to nearest, ties away from zero.
__device__ __forceinline__ float round_to_tf32(float x) {
  float y;
  asm("{ .reg .b32 r; cvt.rna.tf32.f32 r, %1; mov.b32 %0, r; }" : "=f"(y) : "f"(x));
  return y;
}
/// The same bits, cut off: exact to subtract from x.
__device__ __forceinline__ float cut_to_tf32(float x) { return __uint_as_float(__float_as_uint(x) & 0xffffe000u); }

}  // namespace sextant::gpu::ptx
