// SPDX-License-Identifier: Apache-2.0
/// @file  The matrix product of many rows on the CPU: the weights are transposed, tile by tile.
#pragma once

#include <cstddef>      // size_t
#include <cstdint>      // uintptr_t
#include <type_traits>  // is_same_v

#include <sextant/blocks/cpu/finish.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/module.hpp>
#include <sextant/cpu/matrix.hpp>
#include <sextant/cpu/transpose.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// How the product is divided. A tile is some outputs of some rows: its part of the weights is transposed into panels of
/// two vectors of outputs, [panel][I][2 lanes], and meets a few rows at a time.
template <class E> struct many_rows {
  using Real = blocks::accumulator_of<E>;
  static constexpr bool plain = std::is_same_v<E, Real>;
  static constexpr index_t panel = 2 * native_lanes<Real>;
  static constexpr index_t at_once = 96;           // rows
  static constexpr index_t panels_bytes = 393216;  // of a tile's panels, so that they stay in a core's second cache
  static constexpr index_t shared = 384;           // rows from which on workers share the outputs

  index_t rows = 0, outputs = 0, inputs = 0;  // of a tile, but for the inputs
  index_t down = 0, across = 0;               // tiles
  bool copies = false;                        // of x

  many_rows(index_t n, index_t O, index_t I, int workers, bool copies_x) : inputs(I), copies(copies_x || !plain) {
    if (n == 0 || O == 0) return;
    const index_t panels = (O + panel - 1) / panel;
    index_t wide = panels_bytes / (panel * index_t(sizeof(Real)) * (I > 0 ? I : 1));
    if (wide < 1) wide = 1;
    if (wide > panels) wide = panels;
    across = (panels + wide - 1) / wide;
    if (workers > 1 && across < workers && n < shared) across = panels < workers ? panels : index_t(workers);
    if (workers > 1 && across % workers != 0 && n >= shared) {
      down = workers;
      if (down > n / at_once) down = n / at_once;
    }
    if (down < 1) down = 1;
    wide = (panels + across - 1) / across;
    across = (panels + wide - 1) / wide;
    outputs = wide * panel;
    rows = (n + down - 1) / down;
    down = (n + rows - 1) / rows;
  }

  struct memory_of_tile {
    Real *panels, *sums, *of_x, *of_w;
  };
  memory_of_tile take(arena& memory) const {
    const index_t height = rows < at_once ? rows : at_once;
    return {memory.take<Real>(outputs * inputs), memory.take<Real>(height * outputs),
            copies ? memory.take<Real>(height * inputs) : nullptr, plain ? nullptr : memory.take<Real>(panel * inputs)};
  }
  std::size_t own_bytes() const {
    arena memory;
    return (void)take(memory), memory.used;
  }
};

/// The rows x W^T and what follows them. source(first, height, copies) gives rows of x as numbers of the type that is
/// computed with, in `copies` ([height][I]) if it wants; row(i) is a row_of_result.
template <class On, class E, class Source, class Row>
void product_of_many(const On& on, const many_rows<E>& d, index_t n, const blocks::modules::linear<E>& w,
                     blocks::activation activation, const Source& source, const Row& row) {
  using Real = typename many_rows<E>::Real;
  constexpr index_t panel = many_rows<E>::panel, at_once = many_rows<E>::at_once;
  const index_t I = w.inputs(), O = w.outputs();
  const std::size_t own = d.own_bytes();
  each_item(on, d.down * d.across, [&](index_t item, int worker) {
    arena arena_of_worker{reinterpret_cast<std::uintptr_t>(worker_memory(on, own, worker)), 0};
    const auto memory = d.take(arena_of_worker);
    const index_t first = item / d.across * d.rows, o = item % d.across * d.outputs;
    const index_t last = first + d.rows < n ? first + d.rows : n;
    const index_t outputs = O - o < d.outputs ? O - o : d.outputs;
    for (index_t p = 0; p < outputs; p += panel) {
      const index_t width = outputs - p < panel ? outputs - p : panel;
      Real* const to = memory.panels + p * I;
      if (width < panel)
        for (index_t i = 0; i < panel * I; ++i) to[i] = Real(0);
      transpose<Real>(width, I, as_real(w.weight.data() + (o + p) * I, I, width, I, memory.of_w), {to, panel});
    }
    for (index_t i = first; i < last; i += at_once) {
      const index_t height = last - i < at_once ? last - i : at_once;
      const matrix_rows<const Real> x = source(i, height, memory.of_x);
      for (index_t p = 0; p < outputs; p += panel)
        multiply<Real>(height, panel, I, {x.data, x.row}, {memory.panels + p * I, panel}, {memory.sums + p, d.outputs},
                       update::overwrite);
      with_activation(activation, [&](auto act) {
        for (index_t r = 0; r < height; ++r)
          finish_row<decltype(act)::value, E, Real>(memory.sums + r * d.outputs, o, outputs,
                                                    w.biased() ? w.bias.data() + o : nullptr, row(i + r));
      });
    }
  });
}

}  // namespace detail

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
