// SPDX-License-Identifier: Apache-2.0
/// @file  The matrix product of some dozens of rows on the CPU: x is transposed, every weight is read once, where it lies.
#pragma once

#include <cstddef>      // size_t
#include <cstdint>      // uintptr_t
#include <type_traits>  // integral_constant, is_same_v

#include <sextant/blocks/cpu/few_rows.hpp>
#include <sextant/blocks/cpu/finish.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/module.hpp>
#include <sextant/cpu/matrix.hpp>
#include <sextant/cpu/transpose.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// How y^T = W x^T is divided. A tile is some outputs of some rows: its x^T lies in panels of up to three vectors of rows,
/// [panel][I][vectors][lanes]. Up to few_rows rows behind the last whole vector stay as they are and meet the weights in
/// dot products.
template <class E> struct some_rows {
  using Real = blocks::accumulator_of<E>;
  static constexpr bool plain = std::is_same_v<E, Real>;
  static constexpr index_t lanes = native_lanes<Real>;
  static constexpr index_t widest = 3 * lanes;             // rows of a panel
  static constexpr index_t at_once = 48;                   // outputs
  static constexpr index_t most_bytes = index_t(1) << 20;  // of x^T, so that it stays in a core's second cache

  /// The most rows that are best multiplied this way: beyond, transposing them and the result costs more than transposing
  /// the weights does, which come from farther away.
  static index_t most(index_t O, index_t I) {
    if (O == 0 || I == 0) return 0;
    const index_t by_cost = 2 * I * O / (I + O), by_bytes = most_bytes / (I * index_t(sizeof(Real)));
    return by_cost < by_bytes ? by_cost : by_bytes;
  }

  index_t n, inputs, vectors, rest;  // vectors of rows, and rows that meet the weights in dot products
  index_t runs, across, down;        // runs of `lanes` outputs; tiles

  /// Rows are divided while a whole panel is left for each worker, outputs among the workers that rows do not keep busy:
  /// every one of these transposes x.
  some_rows(index_t rows, index_t O, index_t I, int workers)
      : n(rows), inputs(I), vectors(rows / lanes), rest(rows % lanes), runs((O + lanes - 1) / lanes), down(1) {
    if (rest > few_rows) ++vectors, rest = 0;
    for (index_t d = 2; d <= workers && 3 * d <= vectors; ++d)
      if (workers / d * d * 5 >= index_t(workers) * 4) down = d;
    across = workers / down < runs ? workers / down : runs;
  }

  struct memory_of_tile {
    Real *transposed, *rest, *of_x, *of_w, *by_output, *sums;
  };
  memory_of_tile take(arena& memory) const {
    return {memory.take<Real>(vectors * lanes * inputs), memory.take<Real>(rest * inputs),
            memory.take<Real>(lanes * inputs),           plain ? nullptr : memory.take<Real>(at_once * inputs),
            memory.take<Real>(at_once * widest),         memory.take<Real>(widest * at_once)};
  }
  std::size_t own_bytes() const {
    arena memory;
    return (void)take(memory), memory.used;
  }
};

/// Vectors of rows as panels.
struct panels_of_rows {
  index_t first, vectors, count;  // the first vector, how many, panels
  panels_of_rows(index_t begin, index_t end) : first(begin), vectors(end - begin), count((vectors + 2) / 3) {}
  /// The first vector of a panel; the panel's last is the next one's first.
  index_t begin(index_t panel) const { return first + vectors * panel / count; }
};

/// to[o][r] = w_o . x_r of `Rows` rows of weights and a panel of `Vectors` vectors of rows of x. Meanwhile the rows of
/// weights that lie behind are asked for, a line every few multiply-adds: they come from memory, in more streams than
/// hardware foresees.
template <class Real, int Rows, int Vectors>
[[gnu::noinline]] void multiply_weights(const Real* w, index_t I, const Real* panel, Real* to, index_t to_row,
                                        const Real* behind) {
  using number = simd<Real>;
  constexpr int lanes = number::lanes;
  number sum[std::size_t(Rows * Vectors)];
  unroll<Rows * Vectors>([&](auto j) __attribute__((always_inline)) { sum[j] = Real(0); });
  for (index_t i = 0; i < I; ++i, panel += Vectors * lanes, behind += Rows) {
    __builtin_prefetch(behind, 0, 3);
    number x[std::size_t(Vectors)];
    unroll<Vectors>([&](auto v) __attribute__((always_inline)) { x[v] = number::load(panel + v * lanes); });
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      const number weight = w[r * I + i];
      unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
        sum[r * Vectors + v] = fma(weight, x[v], sum[r * Vectors + v]);
      });
    });
  }
  unroll<Rows * Vectors>([&](auto j) __attribute__((always_inline)) {
    sum[j].store(to + j / Vectors * to_row + j % Vectors * lanes);
  });
}

/// The same for `count` rows of weights, behind which `left` more lie.
template <class Real, int Vectors>
void multiply_by_panel(index_t count, index_t left, index_t I, const Real* w, const Real* panel, Real* to,
                       index_t to_row) {
  // As many sums as leave room in 16 (AVX-512: 32) registers.
  constexpr int most = SEXTANT_CPU_BYTES == 64 ? (Vectors == 3 ? 8 : 12) : Vectors == 3 ? 4 : Vectors == 2 ? 6 : 12;
  for (index_t o = 0; o < count;) {
    const index_t rows = count - o >= most ? most : count - o >= 4 ? 4 : 1;
    const Real* const behind = o + 2 * rows <= count + left ? w + rows * I : w;
    if (rows == 1) multiply_weights<Real, 1, Vectors>(w, I, panel, to, to_row, behind);
    else if (rows == 4) multiply_weights<Real, 4, Vectors>(w, I, panel, to, to_row, behind);
    else multiply_weights<Real, most, Vectors>(w, I, panel, to, to_row, behind);
    o += rows, w += rows * I, to += rows * to_row;
  }
}

/// `height` rows of x, up to one vector of them, as a column of a panel: to[i * step + r] = x(first + r, i). Zeros where
/// there are fewer rows.
template <class Real, class Source>
void transpose_rows(const Source& source, index_t first, index_t height, index_t I, Real* copies, Real* to,
                    index_t step) {
  constexpr index_t lanes = simd<Real>::lanes;
  matrix_rows<const Real> x = source(first, height, copies);
  if (height < lanes) {
    if (x.data != copies)
      for (index_t r = 0; r < height; ++r)
        for (index_t i = 0; i < I; ++i) copies[r * I + i] = x.data[r * x.row + i];
    for (index_t i = height * I; i < lanes * I; ++i) copies[i] = Real(0);
    x = {copies, I};
  }
  transpose<Real>(lanes, I, x, {to, step});
}

/// The rows x W^T and what follows them, as in product_of_many().
template <class On, class E, class Source, class Row>
void product_of_some(const On& on, const some_rows<E>& d, const blocks::modules::linear<E>& w,
                     blocks::activation activation, const Source& source, const Row& row) {
  using Real = typename some_rows<E>::Real;
  constexpr bool plain = some_rows<E>::plain;
  constexpr index_t lanes = some_rows<E>::lanes, widest = some_rows<E>::widest, at_once = some_rows<E>::at_once;
  const index_t I = w.inputs(), O = w.outputs();
  const std::size_t own = d.own_bytes();
  each_item(on, d.across * d.down, [&](index_t item, int worker) {
    arena arena_of_worker{reinterpret_cast<std::uintptr_t>(worker_memory(on, own, worker)), 0};
    const auto memory = d.take(arena_of_worker);
    const index_t part = item / d.down, part_of_rows = item % d.down;
    const panels_of_rows panels(d.vectors * part_of_rows / d.down, d.vectors * (part_of_rows + 1) / d.down);
    const index_t rest = part_of_rows == d.down - 1 ? d.rest : 0, whole = d.n - d.rest;
    const auto transposed = [&](index_t vector) { return memory.transposed + (vector - panels.first) * lanes * I; };
    for (index_t panel = 0; panel < panels.count; ++panel) {
      const index_t begin = panels.begin(panel), end = panels.begin(panel + 1);
      for (index_t v = begin; v < end; ++v)
        transpose_rows(source, v * lanes, whole - v * lanes < lanes ? whole - v * lanes : lanes, I, memory.of_x,
                       transposed(begin) + (v - begin) * lanes, (end - begin) * lanes);
    }
    const matrix_rows<const Real> left = rest > 0 ? source(whole, rest, memory.rest) : matrix_rows<const Real>{};
    const Real* left_rows[few_rows] = {};
    for (index_t r = 0; r < rest; ++r) left_rows[r] = left.data + r * left.row;

    const index_t end = d.runs * (part + 1) / d.across * lanes, last = end < O ? end : O;
    for (index_t o = d.runs * part / d.across * lanes; o < last; o += at_once) {
      const index_t count = last - o < at_once ? last - o : at_once;
      const matrix_rows<const Real> weights = as_real(w.weight.data() + o * I, I, count, I, memory.of_w);
      const E* const bias = w.biased() ? w.bias.data() + o : nullptr;
      const auto finish = [&](index_t first, index_t height) {
        with_activation(activation, [&](auto act) {
          for (index_t r = 0; r < height; ++r)
            finish_row<decltype(act)::value, E, Real>(memory.sums + r * at_once, o, count, bias, row(first + r));
        });
      };
      for (index_t panel = 0; panel < panels.count; ++panel) {
        const index_t begin = panels.begin(panel), vectors = panels.begin(panel + 1) - begin, first = begin * lanes;
        const auto by_panel = [&](auto wide) {
          multiply_by_panel<Real, decltype(wide)::value>(count, plain && panel == 0 ? last - o - count : 0, I,
                                                         weights.data, transposed(begin), memory.by_output, widest);
        };
        if (vectors == 3) by_panel(std::integral_constant<int, 3>{});
        else if (vectors == 2) by_panel(std::integral_constant<int, 2>{});
        else by_panel(std::integral_constant<int, 1>{});
        transpose<Real>(count, vectors * lanes, {memory.by_output, widest}, {memory.sums, at_once});
        finish(first, whole - first < vectors * lanes ? whole - first : vectors * lanes);
      }
      if (rest > 0) {
        dot_products_of(rest, left_rows, weights.data, weights.row, count, I, memory.sums, at_once);
        finish(whole, rest);
      }
    }
  });
}

}  // namespace detail

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
