// SPDX-License-Identifier: Apache-2.0
/// @file  Matrix products of a warpgroup (wgmma, sm_90a): 64 x N sums in registers, 16-bit factors, 16 terms at a time.
#pragma once

#include <cstdint>      // uint32_t, uint64_t
#include <type_traits>  // is_same

#include <sextant/tensor/precision.hpp>

namespace sextant::gpu::ptx {

// Tiles in shared memory have rows of 128 bytes, start at multiples of 1024 and are swizzled: the 16-byte piece at place p of
// row r lies at place p ^ (r % 8), as the copy engine writes them. Warp w of the four, lane l, holds of the 64 x N sums
//   d[4 j + 0, 1] = row 16 w + l / 4,     columns 8 j + 2 (l % 4) and the next one
//   d[4 j + 2, 3] = row 16 w + l / 4 + 8, the same columns
// and of a 64 x 16 factor in four registers of two numbers each the same pattern: columns 0..7 in a[0], a[1], 8..15 in a[2],
// a[3]. Two neighbouring groups of four sums, rounded, are therefore such a factor.

// A descriptor says where a tile begins and how its rows are laid out. `bytes` on, a multiple of 16, the same layout goes on:
// added to what all descriptors of a tile have in common, so that each costs an addition.

/// A tile whose rows run along the summed dimension. Its next 16 terms lie 32 bytes further.
__device__ __forceinline__ std::uint64_t rows_along_sum(std::uint32_t tile, int bytes) {
  return std::uint64_t((tile >> 4) + (std::uint32_t(bytes) / 16 | 1u << 16)) |
         std::uint64_t(1u << 30 | 1024 / 16) << 32;
}
/// A tile with one row for each term; rows of more than 64 numbers continue `slab` bytes further. Its next 16 terms lie
/// 2048 bytes further.
__device__ __forceinline__ std::uint64_t rows_across_sum(std::uint32_t tile, int bytes, int slab) {
  return std::uint64_t((tile >> 4) + (std::uint32_t(bytes) / 16 | std::uint32_t(slab) / 16 << 16)) |
         std::uint64_t(1u << 30 | 1024 / 16) << 32;
}

/// A tile whose rows run along the sum and are shorter than 128 bytes: rows 8 to 15 begin `bytes` further than rows 0 to 7 do,
/// and so on, all within 8 rows of 128 bytes.
__device__ __forceinline__ std::uint64_t rows_beside_rows(std::uint32_t tile, int bytes) {
  return std::uint64_t((tile >> 4) + (1u << 16)) | std::uint64_t(1u << 30 | std::uint32_t(bytes) / 16) << 32;
}

/// A tile that is not swizzled: 16 bytes of 8 rows lie one behind another, the next 8 rows' begin `rows` bytes further and the next
/// 16 bytes of the sum's terms `terms` bytes further; it may start at any multiple of 16.
__device__ __forceinline__ std::uint64_t rows_in_eights(std::uint32_t tile, int terms, int rows) {
  return std::uint64_t((tile >> 4) + (std::uint32_t(terms) / 16 << 16)) | std::uint64_t(std::uint32_t(rows) / 16) << 32;
}

/// Before products whose registers other instructions have written.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// Ends a group of products.
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Returns once all but the last `Pending` groups are done.
template <int Pending> __device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

// The operands of the instructions below, which are one line of assembly each: N / 2 sums, the factors, whether the sums
// so far count, and which way the second factor's rows run.
#define SEXTANT_SUMS_8(d, i)                                                                                     \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define SEXTANT_SUMS_32(d, i) SEXTANT_SUMS_8(d, i), SEXTANT_SUMS_8(d, i + 8), SEXTANT_SUMS_8(d, i + 16), SEXTANT_SUMS_8(d, i + 24)
#define SEXTANT_NAMES_32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define SEXTANT_NAMES_64 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

/// d = [d +] a b, both factors in shared memory with rows along the sum: 64 x 64.
template <class Token>
__device__ __forceinline__ void multiply(float (&d)[32], std::uint64_t a, std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<Token, bfloat16>)
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" SEXTANT_NAMES_32
               "}, %32, %33, p, 1, 1, 0, 0; }"
               : SEXTANT_SUMS_32(d, 0) : "l"(a), "l"(b), "r"(int(adds)));
  else
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" SEXTANT_NAMES_32
               "}, %32, %33, p, 1, 1, 0, 0; }"
               : SEXTANT_SUMS_32(d, 0) : "l"(a), "l"(b), "r"(int(adds)));
}
/// The same, 64 x 128.
template <class Token>
__device__ __forceinline__ void multiply(float (&d)[64], std::uint64_t a, std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<Token, bfloat16>)
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" SEXTANT_NAMES_64
               "}, %64, %65, p, 1, 1, 0, 0; }"
               : SEXTANT_SUMS_32(d, 0), SEXTANT_SUMS_32(d, 32) : "l"(a), "l"(b), "r"(int(adds)));
  else
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {" SEXTANT_NAMES_64
               "}, %64, %65, p, 1, 1, 0, 0; }"
               : SEXTANT_SUMS_32(d, 0), SEXTANT_SUMS_32(d, 32) : "l"(a), "l"(b), "r"(int(adds)));
}
/// The same with 8 rows of the second factor: 64 x 8.
template <class Token>
__device__ __forceinline__ void multiply(float (&d)[4], std::uint64_t a, std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<Token, bfloat16>)
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %6, 0; wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3}, %4, %5, p, 1, 1, 0, 0; }"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "l"(a), "l"(b), "r"(int(adds)));
  else
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %6, 0; wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 "
                 "{%0, %1, %2, %3}, %4, %5, p, 1, 1, 0, 0; }"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "l"(a), "l"(b), "r"(int(adds)));
}
/// d = [d +] a b, the first factor in registers, the second in shared memory, its rows `Across` the sum or along it: 64 x 64.
template <class Token, bool Across>
__device__ __forceinline__ void multiply(float (&d)[32], const std::uint32_t* a, std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<Token, bfloat16>)
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" SEXTANT_NAMES_32
               "}, {%32, %33, %34, %35}, %36, p, 1, 1, %38; }"
               : SEXTANT_SUMS_32(d, 0)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(adds)), "n"(int(Across)));
  else
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" SEXTANT_NAMES_32
               "}, {%32, %33, %34, %35}, %36, p, 1, 1, %38; }"
               : SEXTANT_SUMS_32(d, 0)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(adds)), "n"(int(Across)));
}
/// The same, 64 x 128.
template <class Token, bool Across>
__device__ __forceinline__ void multiply(float (&d)[64], const std::uint32_t* a, std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<Token, bfloat16>)
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" SEXTANT_NAMES_64
               "}, {%64, %65, %66, %67}, %68, p, 1, 1, %70; }"
               : SEXTANT_SUMS_32(d, 0), SEXTANT_SUMS_32(d, 32)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(adds)), "n"(int(Across)));
  else
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {" SEXTANT_NAMES_64
               "}, {%64, %65, %66, %67}, %68, p, 1, 1, %70; }"
               : SEXTANT_SUMS_32(d, 0), SEXTANT_SUMS_32(d, 32)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(adds)), "n"(int(Across)));
}

/// The same with 16 columns of the second factor, whose rows run across the sum: 64 x 16.
template <class Token>
__device__ __forceinline__ void multiply_few(float (&d)[8], const std::uint32_t (&a)[4], std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<Token, bfloat16>)
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %13, 0; wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, %12, p, 1, 1, 1; }"
                 : SEXTANT_SUMS_8(d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(adds)));
  else
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %13, 0; wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, %12, p, 1, 1, 1; }"
                 : SEXTANT_SUMS_8(d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(adds)));
}

/// The same of bfloat16 with 32 rows of the second factor, which run along the sum: 64 x 32.
__device__ __forceinline__ void multiply_few(float (&d)[16], const std::uint32_t* a, std::uint64_t b, bool adds) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %21, 0; wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
               "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19}, %20, p, 1, 1, 0; }"
               : SEXTANT_SUMS_8(d, 0), SEXTANT_SUMS_8(d, 8)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(adds)));
}

#undef SEXTANT_SUMS_8
#undef SEXTANT_SUMS_32
#undef SEXTANT_NAMES_32
#undef SEXTANT_NAMES_64

}  // namespace sextant::gpu::ptx
