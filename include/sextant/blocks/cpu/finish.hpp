// SPDX-License-Identifier: Apache-2.0
/// @file  What every product of linear layers on the CPU shares: rows in the type that is computed with, and what follows.
#pragma once

#include <type_traits>  // is_same_v

#include <sextant/blocks/cpu/activation.hpp>
#include <sextant/blocks/cpu/row_vectors.hpp>
#include <sextant/cpu/matrix.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// to = from, in the type that is computed with.
template <class Real, class E> void copy_row(const E* from, index_t count, Real* to) {
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) {
    store_some(load_some<Real>(from + i, whole, n), to + i, whole, n);
  });
}
/// Rows of E as rows of the type that is computed with: copies, if that is another type.
template <class E, class Real>
matrix_rows<const Real> as_real(const E* from, index_t step, index_t count, index_t length, Real* copies) {
  if constexpr (std::is_same_v<E, Real>) {
    return (void)count, (void)length, (void)copies, matrix_rows<const Real>{from, step};
  } else {
    for (index_t i = 0; i < count; ++i) copy_row(from + i * step, length, copies + i * length);
    return {copies, length};
  }
}

/// Where a row of the result goes and what follows it: pointers to its first output, null where there is none.
template <class E> struct row_of_result {
  E* y;
  const E *times, *plus, *also_plus;
  const E* past(const E* at, index_t outputs) const { return at == nullptr ? nullptr : at + outputs; }
};

/// y = act(sums + b) (.) times + plus of the outputs of one row from `first` on. Whole vectors of sums are read.
template <blocks::activation Act, class E, class Real>
void finish_row(const Real* sums, index_t first, index_t count, const E* bias, const row_of_result<E>& row) {
  using number = simd<Real>;
  const E *const times = row.past(row.times, first), *const plus = row.past(row.plus, first),
                 *const also = row.past(row.also_plus, first);
  E* const y = row.y + first;
  const auto value = [&](index_t j, auto whole, index_t n) {
    const number sum = number::load(sums + j);
    return activate<Act>(bias != nullptr ? sum + load_some<Real>(bias + j, whole, n) : sum);
  };
  if (times == nullptr && plus == nullptr && also == nullptr)
    return vectors_of<Real>(count,
                            [&](index_t j, auto whole, index_t n) { store_some(value(j, whole, n), y + j, whole, n); });
  vectors_of<Real>(count, [&](index_t j, auto whole, index_t n) {
    number result = value(j, whole, n);
    if (times != nullptr) result *= load_some<Real>(times + j, whole, n);
    if (plus != nullptr) result += load_some<Real>(plus + j, whole, n);
    if (also != nullptr) result += load_some<Real>(also + j, whole, n);
    store_some(result, y + j, whole, n);
  });
}

}  // namespace detail

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
