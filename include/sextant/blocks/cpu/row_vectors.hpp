// SPDX-License-Identifier: Apache-2.0
/// @file  Rows vector by vector, the last one perhaps in part.
#pragma once

#include <type_traits>  // true_type, false_type

#include <sextant/cpu/simd.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// visit(place, whole, count) for every vector of a row; `whole` is std::true_type where all its lanes are numbers.
template <class Real, class Visit> SEXTANT_INLINE void vectors_of(index_t count, const Visit& visit) {
  constexpr index_t lanes = simd<Real>::lanes;
  index_t i = 0;
  for (; i + lanes <= count; i += lanes) visit(i, std::true_type{}, lanes);
  if (i < count) visit(i, std::false_type{}, count - i);
}
template <class Real, class E, class Whole>
SEXTANT_INLINE simd<Real> load_some(const E* from, Whole, [[maybe_unused]] index_t count) {
  if constexpr (Whole::value) return simd<Real>::load(from);
  else return simd<Real>::load(from, count);
}
template <class Real, class E, class Whole>
SEXTANT_INLINE void store_some(simd<Real> value, E* to, Whole, [[maybe_unused]] index_t count) {
  if constexpr (Whole::value) value.store(to);
  else value.store(to, count);
}

}  // namespace detail

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
