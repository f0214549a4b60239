// SPDX-License-Identifier: Apache-2.0
/// @file  Norms of rows on the CPU.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/activation.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// Rows of a norm fewer than these go to one worker.
inline constexpr index_t rows_of_norm = 16;

/// visit(vector, place, whole?, count) over the vectors of a row.
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

/// One row, in three passes over what is in the first cache by then: the mean, the variance, the result.
template <class S, class E, class Real>
void layer_norm_row(const S* x, index_t count, const Real* weight, const Real* bias, Real eps, E* y) {
  using number = simd<Real>;
  number sums = Real(0), squares = Real(0);
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) { sums += load_some<Real>(x + i, whole, n); });
  const Real mean = sum(sums) / Real(count);
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) {
    number d = load_some<Real>(x + i, whole, n) - mean;
    if constexpr (!decltype(whole)::value) d = select(number::mask_type::first(n), d, number(Real(0)));
    squares = fma(d, d, squares);
  });
  const number scale = number(Real(1)) / sqrt(number(sum(squares) / Real(count) + eps));
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) {
    const number d = (load_some<Real>(x + i, whole, n) - mean) * scale;
    store_some(fma(d, load_some<Real>(weight + i, whole, n), load_some<Real>(bias + i, whole, n)), y + i, whole, n);
  });
}
template <class S, class E, class Real>
void rms_norm_row(const S* x, index_t count, const Real* weight, Real eps, E* y) {
  using number = simd<Real>;
  number squares = Real(0);
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) {
    const number value = load_some<Real>(x + i, whole, n);
    squares = fma(value, value, squares);
  });
  const number scale = number(Real(1)) / sqrt(number(sum(squares) / Real(count) + eps));
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) {
    store_some(load_some<Real>(x + i, whole, n) * scale * load_some<Real>(weight + i, whole, n), y + i, whole, n);
  });
}

}  // namespace detail

/// y = (x - mean) / sqrt(variance + eps) (.) weight + bias, row by row. y may be x.
template <block_backend On, class E>
status layer_norm(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::modules::layer_norm<E>& w,
                  std::type_identity_t<blocks::rows<E>> y) {
  if (const status found = blocks::shapes::norm<E>(x, w, y); !found) return found;
  using Real = blocks::accumulator_of<E>;
  if (w.channels() == 0) return {};
  each_run(on, x.template extent<axis::row>(), detail::rows_of_norm, [&](index_t first, index_t last, int) {
    for (index_t i = first; i < last; ++i)
      detail::layer_norm_row(&x(i, 0), w.channels(), w.weight.data(), w.bias.data(), Real(w.eps), &y(i, 0));
  });
  return {};
}

/// y = x / sqrt(mean(x^2) + eps) (.) weight, row by row. y may be x.
template <block_backend On, class E>
status rms_norm(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::modules::rms_norm<E>& w,
                std::type_identity_t<blocks::rows<E>> y) {
  if (const status found = blocks::shapes::norm<E>(x, w, y); !found) return found;
  using Real = blocks::accumulator_of<E>;
  if (w.channels() == 0) return {};
  each_run(on, x.template extent<axis::row>(), detail::rows_of_norm, [&](index_t first, index_t last, int) {
    for (index_t i = first; i < last; ++i)
      detail::rms_norm_row(&x(i, 0), w.channels(), w.weight.data(), Real(w.eps), &y(i, 0));
  });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
