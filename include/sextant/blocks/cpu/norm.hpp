// SPDX-License-Identifier: Apache-2.0
/// @file  Norms of rows on the CPU.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/activation.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/cpu/row_vectors.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// Rows of a norm fewer than these go to one worker.
inline constexpr index_t rows_of_norm = 16;

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

template <class Real, class S, class E> void add_row(const S* x, const E* delta, index_t count, S* sum) {
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) {
    store_some(load_some<Real>(x + i, whole, n) + load_some<Real>(delta + i, whole, n), sum + i, whole, n);
  });
}
template <class E, class Real>
void gated_rms_norm_row(const E* x, const E* z, index_t count, const Real* weight, Real eps, E* y) {
  using number = simd<Real>;
  const auto gated = [&](index_t i, auto whole, index_t n) {
    return load_some<Real>(x + i, whole, n) * activate<blocks::activation::silu>(load_some<Real>(z + i, whole, n));
  };
  number squares = Real(0);
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) {
    const number value = gated(i, whole, n);
    squares = fma(value, value, squares);
  });
  const number scale = number(Real(1)) / sqrt(number(sum(squares) / Real(count) + eps));
  vectors_of<Real>(count, [&](index_t i, auto whole, index_t n) {
    store_some(gated(i, whole, n) * scale * load_some<Real>(weight + i, whole, n), y + i, whole, n);
  });
}

/// row(i) for every row of y, if its rows have numbers.
template <class On, class E, class Row> status each_row(const On& on, const blocks::rows<E>& y, const Row& row) {
  if (y.template extent<axis::value>() == 0) return {};
  each_run(on, y.template extent<axis::row>(), rows_of_norm, [&](index_t first, index_t last, int) {
    for (index_t i = first; i < last; ++i) row(i);
  });
  return {};
}

}  // namespace detail

/// y = (x - mean) / sqrt(variance + eps) (.) weight + bias, row by row. y may be x.
template <block_backend On, class E>
status layer_norm(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::modules::layer_norm<E>& w,
                  std::type_identity_t<blocks::rows<E>> y) {
  if (const status found = blocks::shapes::norm<E>(x, w, y); !found) return found;
  using Real = blocks::accumulator_of<E>;
  return detail::each_row(on, y, [&](index_t i) {
    detail::layer_norm_row(&x(i, 0), w.channels(), w.weight.data(), w.bias.data(), Real(w.eps), &y(i, 0));
  });
}

/// y = x / sqrt(mean(x^2) + eps) (.) weight, row by row. y may be x.
template <block_backend On, class E>
status rms_norm(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::modules::rms_norm<E>& w,
                std::type_identity_t<blocks::rows<E>> y) {
  if (const status found = blocks::shapes::norm<E>(x, w, y); !found) return found;
  using Real = blocks::accumulator_of<E>;
  return detail::each_row(on, y, [&](index_t i) {
    detail::rms_norm_row(&x(i, 0), w.channels(), w.weight.data(), Real(w.eps), &y(i, 0));
  });
}

/// sum = x + delta, y = layer_norm(sum), row by row: what a residual stream of type S does before the next layer. The
/// norm reads the sum as it is stored. sum may be x, y may be delta.
template <block_backend On, class E, class S>
status add_layer_norm(const On& on, std::type_identity_t<blocks::rows<const S>> x,
                      std::type_identity_t<blocks::rows<const E>> delta, const blocks::modules::layer_norm<E>& w,
                      blocks::rows<S> sum, std::type_identity_t<blocks::rows<E>> y) {
  if (const status found = blocks::shapes::add_norm<E, S>(x, delta, w, sum, y); !found) return found;
  using Real = blocks::accumulator_of<E>;
  return detail::each_row(on, y, [&](index_t i) {
    detail::add_row<Real>(&x(i, 0), &delta(i, 0), w.channels(), &sum(i, 0));
    detail::layer_norm_row<S, E, Real>(&sum(i, 0), w.channels(), w.weight.data(), w.bias.data(), Real(w.eps),
                                       &y(i, 0));
  });
}

/// sum = x + delta, y = rms_norm(sum), likewise.
template <block_backend On, class E, class S>
status add_rms_norm(const On& on, std::type_identity_t<blocks::rows<const S>> x,
                    std::type_identity_t<blocks::rows<const E>> delta, const blocks::modules::rms_norm<E>& w,
                    blocks::rows<S> sum, std::type_identity_t<blocks::rows<E>> y) {
  if (const status found = blocks::shapes::add_norm<E, S>(x, delta, w, sum, y); !found) return found;
  using Real = blocks::accumulator_of<E>;
  return detail::each_row(on, y, [&](index_t i) {
    detail::add_row<Real>(&x(i, 0), &delta(i, 0), w.channels(), &sum(i, 0));
    detail::rms_norm_row<S, E, Real>(&sum(i, 0), w.channels(), w.weight.data(), Real(w.eps), &y(i, 0));
  });
}

/// y = u / sqrt(mean(u^2) + eps) (.) weight with u = x (.) silu(z), the mean that of each of `groups` equal parts of a
/// row (Mamba-2's norm before the last projection). y may be x.
template <block_backend On, class E>
status gated_rms_norm(const On& on, std::type_identity_t<blocks::rows<const E>> x,
                      std::type_identity_t<blocks::rows<const E>> z, const blocks::modules::rms_norm<E>& w,
                      std::type_identity_t<blocks::rows<E>> y, index_t groups = 1) {
  if (const status found = blocks::shapes::gated_norm<E>(x, z, w, y, groups); !found) return found;
  using Real = blocks::accumulator_of<E>;
  const index_t C = w.channels() / groups;
  return detail::each_row(on, y, [&](index_t i) {
    for (index_t g = 0; g < groups; ++g)
      detail::gated_rms_norm_row(&x(i, g * C), &z(i, g * C), C, w.weight.data() + g * C, Real(w.eps), &y(i, g * C));
  });
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
