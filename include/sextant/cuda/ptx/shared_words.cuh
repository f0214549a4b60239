// SPDX-License-Identifier: Apache-2.0
/// @file  Pairs of words of shared memory by their shared address, which may be computed with bits.
#pragma once

#include <cstdint>  // uint16_t, uint32_t

namespace sextant::gpu::ptx {

/// The word, and the two words at a multiple of 8 bytes, `Bytes` behind an address.
template <int Bytes> __device__ __forceinline__ std::uint32_t load_word(std::uint32_t at) {
  std::uint32_t x;
  asm volatile("ld.shared.b32 %0, [%1 + %2];" : "=r"(x) : "r"(at), "n"(Bytes) : "memory");
  return x;
}
template <int Bytes> __device__ __forceinline__ uint2 load_words(std::uint32_t at) {
  uint2 x;
  asm volatile("ld.shared.v2.b32 {%0, %1}, [%2 + %3];" : "=r"(x.x), "=r"(x.y) : "r"(at), "n"(Bytes) : "memory");
  return x;
}
/// Puts a word, half a word or two words there.
template <int Bytes> __device__ __forceinline__ void store_word(std::uint32_t at, std::uint32_t x) {
  asm volatile("st.shared.b32 [%0 + %1], %2;" ::"r"(at), "n"(Bytes), "r"(x) : "memory");
}
__device__ __forceinline__ void store_half_word(std::uint32_t at, std::uint16_t x) {
  asm volatile("st.shared.b16 [%0], %1;" ::"r"(at), "h"(x) : "memory");
}
template <int Bytes> __device__ __forceinline__ void store_words(std::uint32_t at, std::uint32_t x, std::uint32_t y) {
  asm volatile("st.shared.v2.b32 [%0 + %1], {%2, %3};" ::"r"(at), "n"(Bytes), "r"(x), "r"(y) : "memory");
}

/// Two words at a multiple of 8 bytes where `loads`; else x stays as it is.
__device__ __forceinline__ void load_words_if(uint2& x, std::uint32_t at, bool loads) {
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p ld.shared.v2.b32 {%0, %1}, [%3]; }"
               : "+r"(x.x), "+r"(x.y)
               : "r"(unsigned(loads)), "r"(at)
               : "memory");
}

/// Four words at a multiple of 16 bytes.
__device__ __forceinline__ uint4 load_four_words(std::uint32_t at) {
  uint4 x;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "r"(at)
               : "memory");
  return x;
}

}  // namespace sextant::gpu::ptx
