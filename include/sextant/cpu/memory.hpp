// SPDX-License-Identifier: Apache-2.0
/// @file  Vectors from memory and back: whole and partial, and through the storage types of 16 bits.
#pragma once

#include <concepts>  // same_as
#include <cstddef>   // size_t
#include <cstdint>   // uint8_t, uint16_t

#include <sextant/cpu/vector.hpp>
#include <sextant/tensor/precision.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA::detail {

template <class Real, int Lanes> SEXTANT_INLINE vector<Real, Lanes> load_same(const Real* from) {
  vector<Real, Lanes> a;
  __builtin_memcpy(&a, from, sizeof a);
  return a;
}

template <class Real, int Lanes> SEXTANT_INLINE void store_same(vector<Real, Lanes> a, Real* to) {
  __builtin_memcpy(to, &a, sizeof a);
}

// A bfloat16 is the upper half of a float. g++ 12 widens in two parts where one instruction would do.
template <int Lanes> SEXTANT_INLINE vector<float, Lanes> load_bfloat16(const bfloat16* from) {
  using word = vector_word<float, Lanes>;
#if SEXTANT_CPU_BYTES >= 32 && defined(__AVX2__) && !defined(__clang__)
  typename short_vector<2 * Lanes>::halves stored;
  __builtin_memcpy(&stored, from, sizeof stored);
  if constexpr (Lanes == 8)
    return __builtin_bit_cast(vector<float, Lanes>, __builtin_bit_cast(word, __builtin_ia32_pmovzxwd256(stored)) << 16);
#if SEXTANT_CPU_BYTES == 64
  else if constexpr (Lanes == 16)
    return __builtin_bit_cast(
        vector<float, Lanes>,
        __builtin_bit_cast(word, __builtin_ia32_pmovzxwd512_mask(stored, vector_bits<float, 16>{}, every_lane{}))
            << 16);
#endif
  else
#endif
  {
    typename short_vector<2 * Lanes>::words stored_words;
    __builtin_memcpy(&stored_words, from, sizeof stored_words);
    return __builtin_bit_cast(vector<float, Lanes>, __builtin_convertvector(stored_words, word) << 16);
  }
}

// Round to nearest even by adding half a unit, less one if the last kept bit is 0; a NaN keeps its upper half, made
// quiet.
template <int Lanes> SEXTANT_INLINE void store_bfloat16(vector<float, Lanes> a, bfloat16* to) {
  using word = vector_word<float, Lanes>;
  using words = typename short_vector<2 * Lanes>::words;
  const word bits = __builtin_bit_cast(word, a);
  const word rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const word quiet = (bits >> 16) | 0x40u;
  const word number = __builtin_bit_cast(word, a == a);
  const word result = (rounded & number) | (quiet & ~number);
  const words stored = __builtin_convertvector(result, words);
  __builtin_memcpy(to, &stored, sizeof stored);
}

#ifdef SEXTANT_CPU_F16C
template <int Lanes>
inline constexpr bool halves_in_hardware = Lanes == 4 || Lanes == 8 || (SEXTANT_CPU_BYTES == 64 && Lanes == 16);

template <int Lanes> SEXTANT_INLINE vector<float, Lanes> load_float16(const float16* from) {
  typename short_vector<(Lanes > 8 ? 2 * Lanes : 16)>::halves stored{};
  __builtin_memcpy(&stored, from, 2 * Lanes);
  if constexpr (Lanes == 4) {
    return __builtin_ia32_vcvtph2ps(stored);
  } else if constexpr (Lanes == 8) {
    return __builtin_ia32_vcvtph2ps256(stored);
  }
#if SEXTANT_CPU_BYTES == 64
  else {
    return __builtin_ia32_vcvtph2ps512_mask(stored, vector<float, 16>{}, every_lane{}, 4);
  }
#endif
}

template <int Lanes> SEXTANT_INLINE void store_float16(vector<float, Lanes> a, float16* to) {
  typename short_vector<(Lanes > 8 ? 2 * Lanes : 16)>::halves stored{};
  if constexpr (Lanes == 4) {
    stored = __builtin_ia32_vcvtps2ph(a, 0);  // 0: to nearest, ties to even
  } else if constexpr (Lanes == 8) {
    stored = __builtin_ia32_vcvtps2ph256(a, 0);
  }
#if SEXTANT_CPU_BYTES == 64
  else {
    stored = __builtin_ia32_vcvtps2ph512_mask(a, 0, stored, every_lane{});
  }
#endif
  __builtin_memcpy(to, &stored, 2 * Lanes);
}
#else
template <int Lanes> inline constexpr bool halves_in_hardware = false;
#endif

/// `Lanes` consecutive elements of any storage type as numbers of type `Real`.
template <class Real, int Lanes, class Storage> SEXTANT_INLINE vector<Real, Lanes> load_vector(const Storage* from) {
  if constexpr (Lanes == 1) {
    return static_cast<Real>(*from);
  } else if constexpr (std::same_as<Storage, Real>) {
    return load_same<Real, Lanes>(from);
  } else if constexpr (std::same_as<Storage, bfloat16> && std::same_as<Real, float>) {
    return load_bfloat16<Lanes>(from);
#ifdef SEXTANT_CPU_F16C
  } else if constexpr (std::same_as<Storage, float16> && std::same_as<Real, float> && halves_in_hardware<Lanes>) {
    return load_float16<Lanes>(from);
#endif
  } else {
    Real numbers[std::size_t(Lanes)];
    for (int i = 0; i < Lanes; ++i) numbers[i] = static_cast<Real>(from[i]);
    return load_same<Real, Lanes>(numbers);
  }
}

/// Rounds to nearest even where `Storage` is the smaller type.
template <class Real, int Lanes, class Storage> SEXTANT_INLINE void store_vector(vector<Real, Lanes> a, Storage* to) {
  if constexpr (Lanes == 1) {
    *to = static_cast<Storage>(a);
  } else if constexpr (std::same_as<Storage, Real>) {
    store_same<Real, Lanes>(a, to);
  } else if constexpr (std::same_as<Storage, bfloat16> && std::same_as<Real, float>) {
    store_bfloat16<Lanes>(a, to);
#ifdef SEXTANT_CPU_F16C
  } else if constexpr (std::same_as<Storage, float16> && std::same_as<Real, float> && halves_in_hardware<Lanes>) {
    store_float16<Lanes>(a, to);
#endif
  } else {
    for (int i = 0; i < Lanes; ++i) to[i] = static_cast<Storage>(a[i]);
  }
}

/// The lanes below `count`, as a mask of set bits.
template <class Real, int Lanes> SEXTANT_INLINE vector_bits<Real, Lanes> first_lanes(index_t count) {
  using integer = typename vector_types<Real, Lanes>::integer;
  return as_bits<Real, Lanes>(lane_numbers<Real, Lanes>() < static_cast<integer>(count));
}

/// The first `count` elements, 0 <= count <= Lanes; zero in the other lanes, whose memory isn't touched.
template <class Real, int Lanes, class Storage>
SEXTANT_INLINE vector<Real, Lanes> load_first(const Storage* from, index_t count) {
#if SEXTANT_CPU_BYTES >= 32
  constexpr bool native = std::same_as<Storage, Real> && Lanes * sizeof(Real) == SEXTANT_CPU_BYTES;
#if SEXTANT_CPU_BYTES == 32
  if constexpr (native && std::same_as<Real, float>) {
    return __builtin_ia32_maskloadps256(reinterpret_cast<const vector<float, 8>*>(from), first_lanes<float, 8>(count));
  } else if constexpr (native) {
    return __builtin_ia32_maskloadpd256(reinterpret_cast<const vector<double, 4>*>(from),
                                        first_lanes<double, 4>(count));
  } else
#else
  if constexpr (native && std::same_as<Real, float>) {
    return __builtin_ia32_loadups512_mask(from, vector<float, 16>{}, static_cast<std::uint16_t>((1 << count) - 1));
  } else if constexpr (native) {
    return __builtin_ia32_loadupd512_mask(from, vector<double, 8>{}, static_cast<std::uint8_t>((1 << count) - 1));
  } else
#endif
#endif
  {
    Real numbers[std::size_t(Lanes)] = {};
    for (int i = 0; i < Lanes && i < count; ++i) numbers[i] = static_cast<Real>(from[i]);
    return load_vector<Real, Lanes>(static_cast<const Real*>(numbers));
  }
}

/// Writes the first `count` lanes, 0 <= count <= Lanes, and touches no memory behind them.
template <class Real, int Lanes, class Storage>
SEXTANT_INLINE void store_first(vector<Real, Lanes> a, Storage* to, index_t count) {
#if SEXTANT_CPU_BYTES >= 32
  constexpr bool native = std::same_as<Storage, Real> && Lanes * sizeof(Real) == SEXTANT_CPU_BYTES;
#if SEXTANT_CPU_BYTES == 32
  if constexpr (native && std::same_as<Real, float>) {
    __builtin_ia32_maskstoreps256(reinterpret_cast<vector<float, 8>*>(to), first_lanes<float, 8>(count), a);
  } else if constexpr (native) {
    __builtin_ia32_maskstorepd256(reinterpret_cast<vector<double, 4>*>(to), first_lanes<double, 4>(count), a);
  } else
#else
  if constexpr (native && std::same_as<Real, float>) {
    __builtin_ia32_storeups512_mask(to, a, static_cast<std::uint16_t>((1 << count) - 1));
  } else if constexpr (native) {
    __builtin_ia32_storeupd512_mask(to, a, static_cast<std::uint8_t>((1 << count) - 1));
  } else
#endif
#endif
  {
    Storage elements[std::size_t(Lanes)];
    store_vector<Real, Lanes>(a, static_cast<Storage*>(elements));
    for (int i = 0; i < Lanes && i < count; ++i) to[i] = elements[i];
  }
}

/// Writes around the caches; `to` is a multiple of the vector's size in bytes.
template <class Real, int Lanes> SEXTANT_INLINE void stream_vector(vector<Real, Lanes> a, Real* to) {
#ifdef __clang__
  if constexpr (Lanes > 1) {
    __builtin_nontemporal_store(a, reinterpret_cast<vector<Real, Lanes>*>(to));
    return;
  }
#elif SEXTANT_CPU_BYTES > 0 && defined(__SSE2__)
  constexpr int bytes = Lanes * static_cast<int>(sizeof(Real));
  constexpr bool single = std::same_as<Real, float>;
  if constexpr (bytes == 16 && single) {
    return __builtin_ia32_movntps(to, a);
  } else if constexpr (bytes == 16) {
    return __builtin_ia32_movntpd(to, a);
  }
#if SEXTANT_CPU_BYTES >= 32
  else if constexpr (bytes == 32 && single) {
    return __builtin_ia32_movntps256(to, a);
  } else if constexpr (bytes == 32) {
    return __builtin_ia32_movntpd256(to, a);
  }
#endif
#if SEXTANT_CPU_BYTES == 64
  else if constexpr (bytes == 64 && single) {
    return __builtin_ia32_movntps512(to, a);
  } else if constexpr (bytes == 64) {
    return __builtin_ia32_movntpd512(to, a);
  }
#endif
#endif
  store_vector<Real, Lanes>(a, to);
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA::detail
