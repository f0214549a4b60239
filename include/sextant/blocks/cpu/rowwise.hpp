// SPDX-License-Identifier: Apache-2.0
/// @file  Products and sums of rows on the CPU, and the mean of a sequence's tokens.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/activation.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/cpu/row_vectors.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// y = f(a, b) row by row; row i of b is row i mod its number of rows.
template <class On, class E, class Function>
status combine_rows(const On& on, const blocks::rows<const E>& a, const blocks::rows<const E>& b,
                    const blocks::rows<E>& y, const Function& f) {
  if (const status found = blocks::shapes::two_rows<E>(a, b, y); !found) return found;
  using Real = blocks::accumulator_of<E>;
  const index_t C = y.template extent<axis::value>(), period = b.template extent<axis::row>();
  if (y.size() == 0) return {};
  each_run(on, y.template extent<axis::row>(), 16, [&](index_t first, index_t last, int) {
    for (index_t i = first; i < last; ++i) {
      const E *const p = &a(i, 0), *const q = &b(i % period, 0);
      E* const to = &y(i, 0);
      vectors_of<Real>(C, [&](index_t c, auto whole, index_t n) {
        store_some(f(load_some<Real>(p + c, whole, n), load_some<Real>(q + c, whole, n)), to + c, whole, n);
      });
    }
  });
  return {};
}

}  // namespace detail

/// y = a + b, row by row; b may have fewer rows, which repeat (positions of every picture of a batch). y may be a or b.
template <block_backend On, class E>
status add(const On& on, std::type_identity_t<blocks::rows<const E>> a, std::type_identity_t<blocks::rows<const E>> b,
           blocks::rows<E> y) {
  return detail::combine_rows<On, E>(on, a, b, y, [](auto p, auto q) { return p + q; });
}

/// y = a (.) b, likewise.
template <block_backend On, class E>
status multiply(const On& on, std::type_identity_t<blocks::rows<const E>> a,
                std::type_identity_t<blocks::rows<const E>> b, blocks::rows<E> y) {
  return detail::combine_rows<On, E>(on, a, b, y, [](auto p, auto q) { return p * q; });
}

/// y = a (.) silu(z), likewise.
template <block_backend On, class E>
status times_silu(const On& on, std::type_identity_t<blocks::rows<const E>> a,
                  std::type_identity_t<blocks::rows<const E>> z, blocks::rows<E> y) {
  return detail::combine_rows<On, E>(on, a, z, y,
                                     [](auto p, auto q) { return p * activate<blocks::activation::silu>(q); });
}

/// y = act(x), number by number. y may be x.
template <block_backend On, class E>
status apply_activation(const On& on, blocks::activation activation, std::type_identity_t<blocks::rows<const E>> x,
                        blocks::rows<E> y) {
  const index_t C = y.template extent<axis::value>();
  if (const status found = blocks::shapes::rows_to_rows<E>(x, C, y, C); !found) return found;
  using Real = blocks::accumulator_of<E>;
  if (y.size() == 0) return {};
  with_activation(activation, [&](auto act) {
    each_run(on, y.template extent<axis::row>(), 16, [&](index_t first, index_t last, int) {
      for (index_t i = first; i < last; ++i)
        detail::vectors_of<Real>(C, [&](index_t c, auto whole, index_t n) {
          const simd<Real> value = detail::load_some<Real>(&x(i, c), whole, n);
          detail::store_some(activate<decltype(act)::value>(value), &y(i, c), whole, n);
        });
    });
  });
  return {};
}

/// y = the mean of a sequence's tokens: x [B, T, C], y [B, C]. Zeros where T is 0.
template <block_backend On, class E>
status token_mean(const On& on, std::type_identity_t<blocks::tokens<const E>> x, blocks::rows<E> y) {
  if (const status found = blocks::shapes::token_mean<E>(x, y); !found) return found;
  using Real = blocks::accumulator_of<E>;
  constexpr index_t lanes = simd<Real>::lanes;
  const index_t T = x.template extent<axis::time>(), C = y.template extent<axis::value>();
  const index_t vectors = (C + lanes - 1) / lanes;
  const simd<Real> share = Real(T > 0 ? 1 / double(T) : 0);
  each_run(on, y.template extent<axis::row>() * vectors, 4, [&](index_t first, index_t last, int) {
    for (index_t i = first; i < last; ++i) {
      const index_t b = i / vectors, c = i % vectors * lanes, count = C - c < lanes ? C - c : lanes;
      simd<Real> sum = Real(0);
      for (index_t t = 0; t < T; ++t) sum += simd<Real>::load(&x(b, t, c), count);
      (sum * share).store(&y(b, c), count);
    }
  });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
