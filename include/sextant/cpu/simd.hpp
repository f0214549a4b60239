// SPDX-License-Identifier: Apache-2.0
/// @file  A vector register as a number: what the CPU kernels compute with.
#pragma once

#include <concepts>     // same_as
#include <cstddef>      // size_t
#include <type_traits>  // is_arithmetic_v

#include <sextant/cpu/memory.hpp>
#include <sextant/cpu/vector.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

template <class Real, int Lanes = native_lanes<Real>> struct simd;

/// One truth value per lane: what a comparison of `simd<Real, Lanes>` gives.
template <class Real, int Lanes = native_lanes<Real>> struct simd_mask {
  detail::vector_bits<Real, Lanes> data;  ///< all bits of a lane set, or none

  /// True in the lanes below `count` (all from `Lanes` on).
  SEXTANT_INLINE static simd_mask first(index_t count) { return {detail::first_lanes<Real, Lanes>(count)}; }

  SEXTANT_INLINE bool operator[](int lane) const {
    if constexpr (Lanes == 1) {
      return lane == 0 && data != 0;
    } else {
      return data[lane] != 0;
    }
  }
  SEXTANT_INLINE friend simd_mask operator&(simd_mask a, simd_mask b) { return {a.data & b.data}; }
  SEXTANT_INLINE friend simd_mask operator|(simd_mask a, simd_mask b) { return {a.data | b.data}; }
  SEXTANT_INLINE friend simd_mask operator^(simd_mask a, simd_mask b) { return {a.data ^ b.data}; }
  SEXTANT_INLINE friend simd_mask operator!(simd_mask a) { return {~a.data}; }
  /// Whether one lane is true.
  SEXTANT_INLINE friend bool any(simd_mask a) { return detail::any_bits<Real, Lanes>(a.data); }
  /// Whether every lane is true.
  SEXTANT_INLINE friend bool all(simd_mask a) { return !any(!a); }
  /// Lane by lane `condition ? a : b`.
  SEXTANT_INLINE friend simd<Real, Lanes> select(simd_mask condition, simd<Real, Lanes> a, simd<Real, Lanes> b) {
    return simd<Real, Lanes>::from_vector(condition.data ? a.data : b.data);
  }
};

/// `Lanes` numbers of type `Real` (float or double) that are computed with at once. By default as many as fill one
/// register of the instruction set that the file is compiled for; any other power of two works too, more slowly, and
/// 1 is a plain number.
///
/// Arithmetic is lane by lane and rounds as `Real` does. A `Real` stands for that number in every lane, so `x > 20`
/// and `2 * x` mean what they say. Memory needs no alignment. exp, log, tanh and others are in simd_math.hpp.
template <class Real, int Lanes> struct simd {
  static_assert(real_type<Real>, "sextant::cpu::simd holds float or double");

  using value_type = Real;
  using mask_type = simd_mask<Real, Lanes>;
  static constexpr int lanes = Lanes;

  detail::vector<Real, Lanes> data;

  simd() = default;
  /// x in every lane.
  SEXTANT_INLINE simd(Real x) : data(detail::broadcast<Real, Lanes>(x)) {}
  template <class Number>
  requires(std::is_arithmetic_v<Number> && !std::same_as<Number, Real>) SEXTANT_INLINE simd(Number x)
      : simd(static_cast<Real>(x)) {}
  SEXTANT_INLINE static simd from_vector(detail::vector<Real, Lanes> vector) {
    simd a;
    a.data = vector;
    return a;
  }
  /// first, first + step, first + 2 step, ...
  SEXTANT_INLINE static simd sequence(Real first, Real step) {
    const detail::vector_bits<Real, Lanes> numbers = detail::lane_numbers<Real, Lanes>();
    if constexpr (Lanes == 1) {
      return first + step * static_cast<Real>(numbers);
    } else {
      using vector = detail::vector<Real, Lanes>;
      return simd(first) + simd(step) * from_vector(__builtin_convertvector(numbers, vector));
    }
  }

  /// The `Lanes` elements from `from` on, converted: float, double, bfloat16 or float16.
  template <storage_type Storage> SEXTANT_INLINE static simd load(const Storage* from) {
    return from_vector(detail::load_vector<Real, Lanes>(from));
  }
  /// The first `count` (0 to `Lanes`) elements, and zeros; no memory behind them is read.
  template <storage_type Storage> SEXTANT_INLINE static simd load(const Storage* from, index_t count) {
    return from_vector(detail::load_first<Real, Lanes>(from, count));
  }
  /// Elements that lie `stride` elements apart.
  template <storage_type Storage> SEXTANT_INLINE static simd gather(const Storage* from, index_t stride) {
    Real numbers[std::size_t(Lanes)];
    for (int i = 0; i < Lanes; ++i) numbers[i] = static_cast<Real>(from[i * stride]);
    return load(static_cast<const Real*>(numbers));
  }
  /// Writes all lanes, rounded to nearest even where the storage is narrower.
  template <storage_type Storage> SEXTANT_INLINE void store(Storage* to) const {
    detail::store_vector<Real, Lanes>(data, to);
  }
  /// Writes the first `count` (0 to `Lanes`) lanes and touches nothing behind them.
  template <storage_type Storage> SEXTANT_INLINE void store(Storage* to, index_t count) const {
    detail::store_first<Real, Lanes>(data, to, count);
  }
  /// Writes lane i to to[i * stride].
  template <storage_type Storage> SEXTANT_INLINE void scatter(Storage* to, index_t stride) const {
    for (int i = 0; i < Lanes; ++i) to[i * stride] = static_cast<Storage>((*this)[i]);
  }
  /// Writes around the caches, where the data won't be read again soon. `to` is a multiple of the vector's size in
  /// bytes. Another thread may read it after `stream_fence()` and the threads' own synchronisation.
  SEXTANT_INLINE void stream(Real* to) const { detail::stream_vector<Real, Lanes>(data, to); }

  SEXTANT_INLINE Real operator[](int lane) const {
    if constexpr (Lanes == 1) {
      return static_cast<void>(lane), data;
    } else {
      return data[lane];
    }
  }

  SEXTANT_INLINE friend simd operator+(simd a) { return a; }
  SEXTANT_INLINE friend simd operator-(simd a) { return from_vector(-a.data); }
  SEXTANT_INLINE friend simd operator+(simd a, simd b) { return from_vector(a.data + b.data); }
  SEXTANT_INLINE friend simd operator-(simd a, simd b) { return from_vector(a.data - b.data); }
  SEXTANT_INLINE friend simd operator*(simd a, simd b) { return from_vector(a.data * b.data); }
  SEXTANT_INLINE friend simd operator/(simd a, simd b) { return from_vector(a.data / b.data); }
  SEXTANT_INLINE simd& operator+=(simd b) { return *this = *this + b; }
  SEXTANT_INLINE simd& operator-=(simd b) { return *this = *this - b; }
  SEXTANT_INLINE simd& operator*=(simd b) { return *this = *this * b; }
  SEXTANT_INLINE simd& operator/=(simd b) { return *this = *this / b; }

  SEXTANT_INLINE friend mask_type operator<(simd a, simd b) { return mask(a.data < b.data); }
  SEXTANT_INLINE friend mask_type operator>(simd a, simd b) { return mask(a.data > b.data); }
  SEXTANT_INLINE friend mask_type operator<=(simd a, simd b) { return mask(a.data <= b.data); }
  SEXTANT_INLINE friend mask_type operator>=(simd a, simd b) { return mask(a.data >= b.data); }
  SEXTANT_INLINE friend mask_type operator==(simd a, simd b) { return mask(a.data == b.data); }
  SEXTANT_INLINE friend mask_type operator!=(simd a, simd b) { return mask(a.data != b.data); }

  /// Lane by lane `a < b ? a : b`, a single instruction: b where they are equal or one is a NaN.
  SEXTANT_INLINE friend simd min(simd a, simd b) { return from_vector(detail::lesser<Real, Lanes>(a.data, b.data)); }
  /// Lane by lane `a > b ? a : b`, a single instruction: b where they are equal or one is a NaN.
  SEXTANT_INLINE friend simd max(simd a, simd b) { return from_vector(detail::greater<Real, Lanes>(a.data, b.data)); }
  /// |a|; the sign of a NaN goes too.
  SEXTANT_INLINE friend simd abs(simd a) {
    using bits = detail::vector_bits<Real, Lanes>;
    constexpr auto all_but_sign = static_cast<typename detail::vector_types<Real, Lanes>::integer>(
        ~typename detail::vector_types<Real, Lanes>::natural(0) >> 1);
    return from_vector(
        __builtin_bit_cast(detail::vector<Real, Lanes>, __builtin_bit_cast(bits, a.data) & all_but_sign));
  }
  /// 1 / a within one unit in the last place, where a and the result are normal numbers; beyond, no promise.
  SEXTANT_INLINE friend simd reciprocal(simd a) { return from_vector(detail::inverse<Real, Lanes>(a.data)); }
  SEXTANT_INLINE friend simd sqrt(simd a) { return from_vector(detail::square_root<Real, Lanes>(a.data)); }
  /// a b + c, rounded once where the instruction set has it, else twice.
  SEXTANT_INLINE friend simd fma(simd a, simd b, simd c) {
    return from_vector(detail::multiply_add<Real, Lanes>(a.data, b.data, c.data));
  }
  /// The sum of all lanes, added in halves: lane i to lane i + n/2, until one is left. Always in the same order.
  SEXTANT_INLINE friend Real sum(simd a) { return detail::sum_of_lanes<Real, Lanes>(a.data); }

 private:
  template <class Comparison> SEXTANT_INLINE static mask_type mask(Comparison comparison) {
    return {detail::as_bits<Real, Lanes>(comparison)};
  }
};

/// Makes what `stream` wrote visible before whatever this thread writes next.
SEXTANT_INLINE void stream_fence() {
#if SEXTANT_CPU_BYTES > 0 && defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
