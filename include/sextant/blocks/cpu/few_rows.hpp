// SPDX-License-Identifier: Apache-2.0
/// @file  The product of linear layers for a few rows on the CPU, as in decoding: every weight is read once, where it lies.
#pragma once

#include <cstddef>  // size_t

#include <sextant/blocks/cpu/finish.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/module.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA::detail {

/// Rows that are few: their products are bound by the reading of the weights.
inline constexpr index_t few_rows = 4;
/// Outputs that are computed before what follows them.
inline constexpr index_t outputs_of_few = 64;
/// Outputs at a time, which share the reading of x: at least eight sums, so that none waits for another.
template <int Rows> inline constexpr index_t outputs_at_once = Rows == 1 ? 8 : 4;

/// sums[r][j] = x_r . w_j for `Rows` rows of x and `count` rows of weights; sums are written up to a multiple of eight.
template <int Rows, class E, class Real>
void dot_products(const E* const (&x)[few_rows], const E* w, index_t w_row, index_t count, index_t inputs, Real* sums,
                  index_t step) {
  using number = simd<Real>;
  constexpr index_t lanes = number::lanes, outputs = outputs_at_once<Rows>;
  for (index_t o = 0; o < count; o += outputs) {
    const E* weights[std::size_t(outputs)];
    for (index_t j = 0; j < outputs; ++j) weights[j] = w + (o + j < count ? o + j : count - 1) * w_row;
    number all[std::size_t(outputs)][std::size_t(Rows)];
    for (auto& of_output : all)
      for (number& one : of_output) one = Real(0);
    index_t i = 0;
    for (; i + lanes <= inputs; i += lanes) {
      number values[std::size_t(Rows)];
      for (int r = 0; r < Rows; ++r) values[r] = number::load(x[r] + i);
      for (index_t j = 0; j < outputs; ++j) {
        const number weight = number::load(weights[j] + i);
        for (int r = 0; r < Rows; ++r) all[j][r] = fma(weight, values[r], all[j][r]);
      }
    }
    if (i < inputs)
      for (index_t j = 0; j < outputs; ++j) {
        const number weight = number::load(weights[j] + i, inputs - i);
        for (int r = 0; r < Rows; ++r) all[j][r] = fma(weight, number::load(x[r] + i, inputs - i), all[j][r]);
      }
    for (int r = 0; r < Rows; ++r)
      for (index_t j = 0; j < outputs; ++j) sums[r * step + o + j] = sum(all[j][r]);
  }
}

/// The same for up to few_rows rows.
template <class E, class Real>
void dot_products_of(index_t rows, const E* const (&x)[few_rows], const E* w, index_t w_row, index_t count,
                     index_t inputs, Real* sums, index_t step) {
  if (rows == 1) dot_products<1>(x, w, w_row, count, inputs, sums, step);
  else if (rows == 2) dot_products<2>(x, w, w_row, count, inputs, sums, step);
  else if (rows == 3) dot_products<3>(x, w, w_row, count, inputs, sums, step);
  else dot_products<4>(x, w, w_row, count, inputs, sums, step);
}

/// The rows x W^T and what follows them; n is at most few_rows, row(i) a row_of_result.
template <class On, class E, class Row>
void product_of_few(const On& on, const blocks::rows<const E>& x, const blocks::modules::linear<E>& w,
                    blocks::activation activation, const Row& row) {
  using Real = blocks::accumulator_of<E>;
  const index_t n = x.extent(0), I = w.inputs();
  const E* rows[few_rows] = {};
  for (index_t r = 0; r < n; ++r) rows[r] = blocks::row_at(x, r);
  each_run(on, w.outputs(), outputs_of_few, [&](index_t first, index_t last, int) {
    Real sums[std::size_t(few_rows * outputs_of_few)];
    for (index_t o = first; o < last; o += outputs_of_few) {
      const index_t count = last - o < outputs_of_few ? last - o : outputs_of_few;
      dot_products_of(n, rows, w.weight.data() + o * I, I, count, I, sums, outputs_of_few);
      with_activation(activation, [&](auto act) {
        for (index_t r = 0; r < n; ++r)
          finish_row<decltype(act)::value, E, Real>(sums + r * outputs_of_few, o, count,
                                                    w.biased() ? w.bias.data() + o : nullptr, row(r));
      });
    }
  });
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA::detail
