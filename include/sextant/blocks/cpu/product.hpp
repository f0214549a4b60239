// SPDX-License-Identifier: Apache-2.0
/// @file  The matrix product of linear layers and convolutions on the CPU, with what follows it.
#pragma once

#include <cstddef>      // byte, size_t
#include <cstdint>      // uintptr_t
#include <type_traits>  // is_same_v

#include <sextant/blocks/cpu/activation.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/module.hpp>
#include <sextant/cpu/matrix.hpp>
#include <sextant/cpu/transpose.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// How the product is divided. A tile is some outputs of some rows: its part of the weights is transposed into panels of
/// two vectors of outputs, [panel][I][2 lanes], and meets a few rows at a time.
template <class E> struct product_tiles {
  using Real = blocks::accumulator_of<E>;
  static constexpr bool plain = std::is_same_v<E, Real>;
  static constexpr index_t panel = 2 * native_lanes<Real>;
  static constexpr index_t at_once = 96;           // rows
  static constexpr index_t panels_bytes = 393216;  // of a tile's panels, so that they stay in a core's second cache

  index_t rows = 0, outputs = 0, inputs = 0;  // of a tile, but for the inputs
  index_t down = 0, across = 0;               // tiles
  bool copies = false;                        // of x

  product_tiles(index_t n, index_t O, index_t I, int workers, bool copies_x) : inputs(I), copies(copies_x || !plain) {
    if (n == 0 || O == 0) return;
    const index_t panels = (O + panel - 1) / panel;
    index_t wide = panels_bytes / (panel * index_t(sizeof(Real)) * (I > 0 ? I : 1));
    if (wide < 1) wide = 1;
    if (wide > panels) wide = panels;
    across = (panels + wide - 1) / wide;
    if (workers > 1 && across < workers && n < 4 * at_once) across = panels < workers ? panels : index_t(workers);
    if (workers > 1 && across % workers != 0 && n >= 4 * at_once) {
      down = 4 * workers;
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
  std::size_t bytes() const {
    arena memory;
    return (void)take(memory), memory.used;
  }
};

/// Rows of E as rows of the type that is computed with: copies, if that is another type.
template <class E, class Real>
matrix_rows<const Real> as_real(const E* from, index_t step, index_t count, index_t length, Real* copies) {
  if constexpr (std::is_same_v<E, Real>) {
    return (void)count, (void)length, (void)copies, matrix_rows<const Real>{from, step};
  } else {
    constexpr index_t lanes = simd<Real>::lanes;
    for (index_t i = 0; i < count; ++i, from += step) {
      Real* const to = copies + i * length;
      index_t j = 0;
      for (; j + lanes <= length; j += lanes) simd<Real>::load(from + j).store(to + j);
      if (j < length) simd<Real>::load(from + j, length - j).store(to + j, length - j);
    }
    return {copies, length};
  }
}

/// Where a row of the result goes and what follows it: pointers to its first output, null where there is none.
template <class E> struct row_of_result {
  E* y;
  const E *times, *plus, *also_plus;
  const E* past(const E* at, index_t outputs) const { return at == nullptr ? nullptr : at + outputs; }
};

/// y = act(sums + b) (.) times + plus of the outputs of one row from `first` on.
template <blocks::activation Act, class E, class Real>
void finish_row(const Real* sums, index_t first, index_t count, const E* bias, const row_of_result<E>& row) {
  using number = simd<Real>;
  constexpr index_t lanes = number::lanes;
  const E *const times = row.past(row.times, first), *const plus = row.past(row.plus, first),
                 *const also = row.past(row.also_plus, first);
  E* const y = row.y + first;
  for (index_t j = 0; j < count; j += lanes) {
    const bool whole = j + lanes <= count;
    const auto read = [&](const auto* from) {
      return whole ? number::load(from + j) : number::load(from + j, count - j);
    };
    number value = number::load(sums + j);
    if (bias != nullptr) value += read(bias);
    value = activate<Act>(value);
    if (times != nullptr) value *= read(times);
    if (plus != nullptr) value += read(plus);
    if (also != nullptr) value += read(also);
    if (whole) value.store(y + j);
    else value.store(y + j, count - j);
  }
}

/// The rows x W^T and what follows them. source(first, height, copies) gives rows of x as numbers of the type that is
/// computed with, in `copies` ([height][I]) if it wants; row(i) is a row_of_result.
template <class On, class E, class Source, class Row>
void product(const On& on, const product_tiles<E>& tiles, index_t n, const blocks::modules::linear<E>& w,
             blocks::activation activation, const Source& source, const Row& row) {
  using tiles_of = product_tiles<E>;
  using Real = typename tiles_of::Real;
  constexpr index_t panel = tiles_of::panel;
  const index_t I = w.inputs(), O = w.outputs();
  const std::size_t own = tiles.bytes();
  each_item(on, tiles.down * tiles.across, [&](index_t item, int worker) {
    arena arena_of_worker{reinterpret_cast<std::uintptr_t>(worker_memory(on, own, worker)), 0};
    const auto memory = tiles.take(arena_of_worker);
    const index_t first = item / tiles.across * tiles.rows, o = item % tiles.across * tiles.outputs;
    const index_t last = first + tiles.rows < n ? first + tiles.rows : n;
    const index_t outputs = O - o < tiles.outputs ? O - o : tiles.outputs;
    for (index_t p = 0; p < outputs; p += panel) {
      const index_t width = outputs - p < panel ? outputs - p : panel;
      Real* const to = memory.panels + p * I;
      if (width < panel)
        for (index_t i = 0; i < panel * I; ++i) to[i] = Real(0);
      transpose<Real>(width, I, as_real(w.weight.data() + (o + p) * I, I, width, I, memory.of_w), {to, panel});
    }
    for (index_t i = first; i < last; i += tiles_of::at_once) {
      const index_t height = last - i < tiles_of::at_once ? last - i : tiles_of::at_once;
      const matrix_rows<const Real> x = source(i, height, memory.of_x);
      for (index_t p = 0; p < outputs; p += panel)
        multiply<Real>(height, panel, I, {x.data, x.row}, {memory.panels + p * I, panel},
                       {memory.sums + p, tiles.outputs}, update::overwrite);
      with_activation(activation, [&](auto act) {
        for (index_t r = 0; r < height; ++r)
          finish_row<decltype(act)::value, E, Real>(memory.sums + r * tiles.outputs, o, outputs,
                                                    w.biased() ? w.bias.data() + o : nullptr, row(i + r));
      });
    }
  });
}

}  // namespace detail

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
