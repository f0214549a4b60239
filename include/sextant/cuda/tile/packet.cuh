// SPDX-License-Identifier: Apache-2.0
/// @file  Sixteen bytes of stored numbers: how states travel between memory and the registers that compute with them.
#pragma once

#include <cstdint>      // uint32_t, uintptr_t
#include <type_traits>  // is_same

#include <sextant/tensor/precision.hpp>

namespace sextant::gpu {

/// As many neighbours of a tensor as one instruction moves: 4 floats, or 8 numbers of 16 bits. They stay as they are
/// stored, so that a packet on its way costs 4 registers whatever it holds.
template <class Stored> struct packet {
  static_assert(sizeof(Stored) == 2 || sizeof(Stored) == 4, "a packet holds numbers of 2 or 4 bytes");
  static constexpr int count = 16 / int(sizeof(Stored));
  uint4 words;
};

/// Whether packets may start at this address.
template <class Stored> SEXTANT_FN bool holds_packets(const Stored* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; }

/// Reads a packet past the L1 cache, where nobody would find it again.
template <class Stored> __device__ __forceinline__ packet<Stored> load_packet(const Stored* from) {
  return {__ldcg(reinterpret_cast<const uint4*>(from))};
}
/// Writes a packet that nobody reads soon: L2 gives up its line first.
template <class Stored> __device__ __forceinline__ void store_packet(Stored* to, packet<Stored> p) {
  __stcs(reinterpret_cast<uint4*>(to), p.words);
}

namespace detail {

// The two numbers of 16 bits in a word, and two floats rounded to nearest even into a word; `low` lies first in memory.
template <class Stored> __device__ __forceinline__ void widen_pair(std::uint32_t word, float& low, float& high) {
  if constexpr (std::is_same_v<Stored, bfloat16>) {
    low = __uint_as_float(word << 16);
    high = __uint_as_float(word & 0xffff0000u);
  } else {
    asm("{ .reg .b16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h; }"
        : "=f"(low), "=f"(high) : "r"(word));
  }
}
template <class Stored> __device__ __forceinline__ std::uint32_t round_pair(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t word;
  if constexpr (std::is_same_v<Stored, bfloat16>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#else
  return std::uint32_t(Stored(low).bits) | std::uint32_t(Stored(high).bits) << 16;
#endif
}

}  // namespace detail

/// The numbers of a packet as floats; exact.
template <class Stored> __device__ __forceinline__ void widen(const packet<Stored>& p, float (&to)[packet<Stored>::count]) {
  if constexpr (sizeof(Stored) == 4) {
    to[0] = __uint_as_float(p.words.x), to[1] = __uint_as_float(p.words.y);
    to[2] = __uint_as_float(p.words.z), to[3] = __uint_as_float(p.words.w);
  } else {
    detail::widen_pair<Stored>(p.words.x, to[0], to[1]);
    detail::widen_pair<Stored>(p.words.y, to[2], to[3]);
    detail::widen_pair<Stored>(p.words.z, to[4], to[5]);
    detail::widen_pair<Stored>(p.words.w, to[6], to[7]);
  }
}

/// Floats as a packet, each rounded to nearest even.
template <class Stored> __device__ __forceinline__ packet<Stored> narrowed(const float (&from)[packet<Stored>::count]) {
  if constexpr (sizeof(Stored) == 4)
    return {{__float_as_uint(from[0]), __float_as_uint(from[1]), __float_as_uint(from[2]), __float_as_uint(from[3])}};
  else
    return {{detail::round_pair<Stored>(from[0], from[1]), detail::round_pair<Stored>(from[2], from[3]),
             detail::round_pair<Stored>(from[4], from[5]), detail::round_pair<Stored>(from[6], from[7])}};
}

}  // namespace sextant::gpu
