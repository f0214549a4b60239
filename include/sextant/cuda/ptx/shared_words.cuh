// SPDX-License-Identifier: Apache-2.0
/// @file  Pairs of words of shared memory by their shared address, which may be computed with bits.
#pragma once

#include <cstdint>  // uint32_t

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
template <int Bytes> __device__ __forceinline__ void store_words(std::uint32_t at, std::uint32_t x, std::uint32_t y) {
  asm volatile("st.shared.v2.b32 [%0 + %1], {%2, %3};" ::"r"(at), "n"(Bytes), "r"(x), "r"(y) : "memory");
}

}  // namespace sextant::gpu::ptx
