// SPDX-License-Identifier: Apache-2.0
/// @file  The compiler's vector types and the few instructions that plain operators on them don't reach.
#pragma once

#include <concepts>     // same_as
#include <cstdint>      // uint16_t
#include <type_traits>  // conditional_t
#include <utility>      // index_sequence

#include <sextant/cpu/isa.hpp>
#include <sextant/tensor/precision.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA::detail {

/// The types of `Lanes` numbers: the numbers, and integers as wide. Plain numbers if there is one lane.
template <class Real, int Lanes> struct vector_types {
  static_assert(Lanes > 0 && (Lanes & (Lanes - 1)) == 0, "a vector has a power of two of lanes");
  using integer = std::conditional_t<sizeof(Real) == 4, int, long long>;
  using natural = std::conditional_t<sizeof(Real) == 4, unsigned, unsigned long long>;
  typedef Real number __attribute__((vector_size(Lanes * sizeof(Real))));
  typedef integer bits __attribute__((vector_size(Lanes * sizeof(Real))));
  typedef natural word __attribute__((vector_size(Lanes * sizeof(Real))));  // wraps around where bits would overflow
};
template <class Real> struct vector_types<Real, 1> {
  using integer = std::conditional_t<sizeof(Real) == 4, int, long long>;
  using natural = std::conditional_t<sizeof(Real) == 4, unsigned, unsigned long long>;
  using number = Real;
  using bits = integer;
  using word = natural;
};
template <class Real, int Lanes> using vector = typename vector_types<Real, Lanes>::number;
template <class Real, int Lanes> using vector_bits = typename vector_types<Real, Lanes>::bits;
template <class Real, int Lanes> using vector_word = typename vector_types<Real, Lanes>::word;

/// Every lane, for the instructions with a mask: compilers declare it signed or not, as char or short.
struct every_lane {
  template <class Mask> SEXTANT_INLINE constexpr operator Mask() const { return static_cast<Mask>(-1); }
};

template <int Bytes> struct short_vector {
  typedef std::uint16_t words __attribute__((vector_size(Bytes)));
  typedef short halves __attribute__((vector_size(Bytes)));
};

template <class Real, int Lanes> SEXTANT_INLINE vector<Real, Lanes> broadcast(Real x) {
  if constexpr (Lanes == 1) {
    return x;
  } else {
    return x - vector<Real, Lanes>{};  // x - 0 is x, -0 and NaN included; 0 + x would lose the sign of -0
  }
}

/// All bits of a lane set where a comparison holds.
template <class Real, int Lanes, class Comparison>
SEXTANT_INLINE vector_bits<Real, Lanes> as_bits(Comparison comparison) {
  if constexpr (Lanes == 1) {
    return comparison ? -1 : 0;
  } else {
    return __builtin_bit_cast(vector_bits<Real, Lanes>, comparison);
  }
}

/// 0, 1, 2, ... in the lanes.
template <class Real, int Lanes> SEXTANT_INLINE vector_bits<Real, Lanes> lane_numbers() {
  if constexpr (Lanes == 1) {
    return 0;
  } else {
    return []<int... I>(std::integer_sequence<int, I...>) { return vector_bits<Real, Lanes>{I...}; }
    (std::make_integer_sequence<int, Lanes>{});
  }
}

/// a * b + c in one rounding where the instruction exists, whatever -ffp-contract says.
template <class Real, int Lanes>
SEXTANT_INLINE vector<Real, Lanes> multiply_add(vector<Real, Lanes> a, vector<Real, Lanes> b, vector<Real, Lanes> c) {
#ifdef SEXTANT_CPU_FMA
  constexpr int bytes = Lanes * static_cast<int>(sizeof(Real));
  constexpr bool single = std::same_as<Real, float>;
  if constexpr (Lanes == 1 && single) {
    return __builtin_fmaf(a, b, c);
  } else if constexpr (Lanes == 1) {
    return __builtin_fma(a, b, c);
  } else if constexpr (bytes == 16 && single) {
    return __builtin_ia32_vfmaddps(a, b, c);
  } else if constexpr (bytes == 16) {
    return __builtin_ia32_vfmaddpd(a, b, c);
  } else if constexpr (bytes == 32 && single) {
    return __builtin_ia32_vfmaddps256(a, b, c);
  } else if constexpr (bytes == 32) {
    return __builtin_ia32_vfmaddpd256(a, b, c);
  }
#if SEXTANT_CPU_BYTES == 64
  else if constexpr (bytes == 64 && single) {
    return __builtin_ia32_vfmaddps512_mask(a, b, c, every_lane{}, 4);  // 4: round as is usual
  } else if constexpr (bytes == 64) {
    return __builtin_ia32_vfmaddpd512_mask(a, b, c, every_lane{}, 4);
  }
#endif
  else {
    return a * b + c;
  }
#else
  return a * b + c;
#endif
}

template <class Real, int Lanes> SEXTANT_INLINE vector<Real, Lanes> square_root(vector<Real, Lanes> a) {
  constexpr bool single = std::same_as<Real, float>;
#if SEXTANT_CPU_BYTES > 0 && defined(__SSE2__)
  constexpr int bytes = Lanes * static_cast<int>(sizeof(Real));
  if constexpr (bytes == 16 && single) {
    return __builtin_ia32_sqrtps(a);
  } else if constexpr (bytes == 16) {
    return __builtin_ia32_sqrtpd(a);
  }
#if SEXTANT_CPU_BYTES >= 32
  else if constexpr (bytes == 32 && single) {
    return __builtin_ia32_sqrtps256(a);
  } else if constexpr (bytes == 32) {
    return __builtin_ia32_sqrtpd256(a);
  }
#endif
#if SEXTANT_CPU_BYTES == 64 && defined(__clang__)
  else if constexpr (bytes == 64 && single) {
    return __builtin_ia32_sqrtps512(a, 4);
  } else if constexpr (bytes == 64) {
    return __builtin_ia32_sqrtpd512(a, 4);
  }
#elif SEXTANT_CPU_BYTES == 64
  else if constexpr (bytes == 64 && single) {
    return __builtin_ia32_sqrtps512_mask(a, a, every_lane{}, 4);
  } else if constexpr (bytes == 64) {
    return __builtin_ia32_sqrtpd512_mask(a, a, every_lane{}, 4);
  }
#endif
  else
#endif
      if constexpr (Lanes == 1 && single) {
    return __builtin_sqrtf(a);
  } else if constexpr (Lanes == 1) {
    return __builtin_sqrt(a);
  } else {
    for (int i = 0; i < Lanes; ++i)
      a[i] = single ? static_cast<Real>(__builtin_sqrtf(static_cast<float>(a[i])))
                    : static_cast<Real>(__builtin_sqrt(static_cast<double>(a[i])));
    return a;
  }
}

/// 1 / a, where a and that are normal numbers, within one unit in the last place: by a division, or with AVX-512,
/// sooner, by an estimate and a step of Newton's.
template <class Real, int Lanes> SEXTANT_INLINE vector<Real, Lanes> inverse(vector<Real, Lanes> a) {
#if SEXTANT_CPU_BYTES == 64
  if constexpr (std::same_as<Real, float> && Lanes == 16) {
    const vector<Real, Lanes> estimate = __builtin_ia32_rcp14ps512_mask(a, a, every_lane{});
    const vector<Real, Lanes> one = broadcast<Real, Lanes>(Real(1));
    const vector<Real, Lanes> rest = multiply_add<Real, Lanes>(-a, estimate, one);
    return multiply_add<Real, Lanes>(estimate, rest, estimate);
  } else
#endif
    return broadcast<Real, Lanes>(Real(1)) / a;
}

/// a < b ? a : b. g++ 12 forgets the one instruction where an operand is a constant, so it is told.
template <class Real, int Lanes>
SEXTANT_INLINE vector<Real, Lanes> lesser(vector<Real, Lanes> a, vector<Real, Lanes> b) {
#if SEXTANT_CPU_BYTES > 0 && defined(__SSE2__) && !defined(__clang__)
  constexpr int bytes = Lanes * static_cast<int>(sizeof(Real));
  constexpr bool single = std::same_as<Real, float>;
  if constexpr (bytes == 16 && single) return __builtin_ia32_minps(a, b);
  else if constexpr (bytes == 16) return __builtin_ia32_minpd(a, b);
#if SEXTANT_CPU_BYTES >= 32
  else if constexpr (bytes == 32 && single) return __builtin_ia32_minps256(a, b);
  else if constexpr (bytes == 32) return __builtin_ia32_minpd256(a, b);
#endif
#if SEXTANT_CPU_BYTES == 64
  else if constexpr (bytes == 64 && single) return __builtin_ia32_minps512_mask(a, b, a, every_lane{}, 4);
  else if constexpr (bytes == 64) return __builtin_ia32_minpd512_mask(a, b, a, every_lane{}, 4);
#endif
  else
#endif
    return a < b ? a : b;
}

/// a > b ? a : b, likewise.
template <class Real, int Lanes>
SEXTANT_INLINE vector<Real, Lanes> greater(vector<Real, Lanes> a, vector<Real, Lanes> b) {
#if SEXTANT_CPU_BYTES > 0 && defined(__SSE2__) && !defined(__clang__)
  constexpr int bytes = Lanes * static_cast<int>(sizeof(Real));
  constexpr bool single = std::same_as<Real, float>;
  if constexpr (bytes == 16 && single) return __builtin_ia32_maxps(a, b);
  else if constexpr (bytes == 16) return __builtin_ia32_maxpd(a, b);
#if SEXTANT_CPU_BYTES >= 32
  else if constexpr (bytes == 32 && single) return __builtin_ia32_maxps256(a, b);
  else if constexpr (bytes == 32) return __builtin_ia32_maxpd256(a, b);
#endif
#if SEXTANT_CPU_BYTES == 64
  else if constexpr (bytes == 64 && single) return __builtin_ia32_maxps512_mask(a, b, a, every_lane{}, 4);
  else if constexpr (bytes == 64) return __builtin_ia32_maxpd512_mask(a, b, a, every_lane{}, 4);
#endif
  else
#endif
    return a > b ? a : b;
}

/// Whether one instruction rounds `Lanes` numbers to integers of the same width (to nearest even; NaN gives the
/// lowest one).
template <class Real, int Lanes>
inline constexpr bool converts_to_integers =
#if SEXTANT_CPU_BYTES > 0 && defined(__SSE2__)
    std::same_as<Real, float> &&
    (Lanes == 4 || (Lanes == 8 && SEXTANT_CPU_BYTES >= 32) || (Lanes == 16 && SEXTANT_CPU_BYTES >= 64));
#else
    false;
#endif

/// The nearest integers, where `converts_to_integers`.
template <class Real, int Lanes>
SEXTANT_INLINE vector_bits<Real, Lanes> nearest_integers([[maybe_unused]] vector<Real, Lanes> a) {
  static_assert(converts_to_integers<Real, Lanes>);
#if SEXTANT_CPU_BYTES > 0 && defined(__SSE2__)
  if constexpr (Lanes == 4) {
    return __builtin_ia32_cvtps2dq(a);
  }
#if SEXTANT_CPU_BYTES >= 32
  else if constexpr (Lanes == 8) {
    return __builtin_ia32_cvtps2dq256(a);
  }
#endif
#if SEXTANT_CPU_BYTES >= 64
  else {
    return __builtin_ia32_cvtps2dq512_mask(a, vector_bits<Real, Lanes>{}, every_lane{}, 4);
  }
#endif
#endif
}

#if SEXTANT_CPU_BYTES > 0
/// The lanes `First`, `First` + 1, ... as a shorter vector.
template <int First, class Real, int Lanes, int... I>
SEXTANT_INLINE vector<Real, int(sizeof...(I))> part(vector<Real, Lanes> a, std::integer_sequence<int, I...>) {
  if constexpr (sizeof...(I) == 1) return a[First];
  else return __builtin_bit_cast(vector<Real, int(sizeof...(I))>, __builtin_shufflevector(a, a, (First + I)...));
}
#endif

/// The sum of all lanes, by halves.
template <class Real, int Lanes> SEXTANT_INLINE Real sum_of_lanes(vector<Real, Lanes> a) {
#if SEXTANT_CPU_BYTES > 0
  if constexpr (Lanes > 1) {
    constexpr int half = Lanes / 2;
    constexpr std::make_integer_sequence<int, half> lanes{};
    return sum_of_lanes<Real, half>(part<0, Real, Lanes>(a, lanes) + part<half, Real, Lanes>(a, lanes));
  } else
#endif
    return a;
}

/// Whether any lane is set. A lane has all its bits set or none.
template <class Real, int Lanes> SEXTANT_INLINE bool any_bits(vector_bits<Real, Lanes> a) {
  if constexpr (Lanes == 1) {
    return a != 0;
  } else {
    [[maybe_unused]] const vector<Real, Lanes> signs = __builtin_bit_cast(vector<Real, Lanes>, a);
#if SEXTANT_CPU_BYTES > 0 && defined(__SSE2__)
    constexpr int bytes = Lanes * static_cast<int>(sizeof(Real));
    constexpr bool single = std::same_as<Real, float>;
    if constexpr (bytes == 16 && single) {
      return __builtin_ia32_movmskps(signs) != 0;
    } else if constexpr (bytes == 16) {
      return __builtin_ia32_movmskpd(signs) != 0;
    }
#if SEXTANT_CPU_BYTES >= 32
    else if constexpr (bytes == 32 && single) {
      return __builtin_ia32_movmskps256(signs) != 0;
    } else if constexpr (bytes == 32) {
      return __builtin_ia32_movmskpd256(signs) != 0;
    }
#endif
#if SEXTANT_CPU_BYTES == 64
    else if constexpr (bytes == 64 && single) {
      return __builtin_ia32_cvtd2mask512(a) != 0;
    } else if constexpr (bytes == 64) {
      return __builtin_ia32_cvtq2mask512(a) != 0;
    }
#endif
    else
#endif
    {
      bool found = false;
      for (int i = 0; i < Lanes; ++i) found = found || a[i] != 0;
      return found;
    }
  }
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA::detail
