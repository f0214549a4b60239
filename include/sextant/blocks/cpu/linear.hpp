// SPDX-License-Identifier: Apache-2.0
/// @file  Linear layers on the CPU: a matrix product in panels, with what follows it.
#pragma once

#include <type_traits>  // type_identity_t, is_same_v

#include <sextant/blocks/cpu/activation.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/shapes.hpp>
#include <sextant/cpu/matrix.hpp>
#include <sextant/cpu/transpose.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// How the product is divided. A tile is some outputs of some rows: its part of the weights is transposed into panels of
/// two vectors of outputs, [panel][I][2 lanes], and meets a few rows at a time.
template <class E> struct linear_tiles {
  using Real = blocks::accumulator_of<E>;
  static constexpr bool plain = std::is_same_v<E, Real>;
  static constexpr index_t panel = 2 * native_lanes<Real>;
  static constexpr index_t at_once = 96;           // rows
  static constexpr index_t panels_bytes = 393216;  // of a tile's panels, so that they stay in a core's second cache

  index_t rows = 0, outputs = 0, inputs = 0;  // of a tile, but for the inputs
  index_t down = 0, across = 0;               // tiles

  linear_tiles(index_t n, index_t O, index_t I, int workers) : inputs(I) {
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
            plain ? nullptr : memory.take<Real>(height * inputs), plain ? nullptr : memory.take<Real>(panel * inputs)};
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

/// y = act(sums + b) (.) times + plus of one row.
template <blocks::activation Act, class E, class Real>
void finish_row(const Real* sums, index_t count, const E* bias, const E* times, const E* plus, E* y) {
  using number = simd<Real>;
  constexpr index_t lanes = number::lanes;
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
    if (whole) value.store(y + j);
    else value.store(y + j, count - j);
  }
}

}  // namespace detail

/// Bytes of workspace of linear() for n rows.
template <block_backend On, class E>
std::size_t linear_bytes(const On& on, index_t n, const blocks::modules::linear<E>& w) {
  return worker_bytes(on, detail::linear_tiles<E>(n, w.outputs(), w.inputs(), workers(on)).bytes());
}

/// y = act(x W^T + b) (.) times + plus, with sums in float (double for double). y overlaps x nowhere; times and plus
/// may be y. n O I multiply-adds; tiles of rows and outputs go to the workers.
template <block_backend On, class E>
status linear(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::modules::linear<E>& w,
              std::type_identity_t<blocks::rows<E>> y, std::type_identity_t<blocks::after_linear<E>> after = {}) {
  if (const status found = blocks::shapes::linear<E>(x, w, y, after); !found) return found;
  using tiles_of = detail::linear_tiles<E>;
  using Real = typename tiles_of::Real;
  constexpr index_t panel = tiles_of::panel;
  const index_t n = x.template extent<axis::row>(), I = w.inputs(), O = w.outputs();
  if (n == 0 || O == 0) return {};
  const tiles_of tiles(n, O, I, workers(on));
  const std::size_t own = tiles.bytes();
  if (on.memory.bytes < worker_bytes(on, own)) return {errc::workspace, "linear: fewer bytes than linear_bytes() says"};
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
      transpose<Real>(width, I, detail::as_real(w.weight.data() + (o + p) * I, I, width, I, memory.of_w), {to, panel});
    }
    for (index_t i = first; i < last; i += tiles_of::at_once) {
      const index_t height = last - i < tiles_of::at_once ? last - i : tiles_of::at_once;
      const auto of_x = detail::as_real(blocks::row_at(x, i), x.template stride<axis::row>(), height, I, memory.of_x);
      for (index_t p = 0; p < outputs; p += panel)
        multiply<Real>(height, panel, I, {of_x.data, of_x.row}, {memory.panels + p * I, panel},
                       {memory.sums + p, tiles.outputs}, update::overwrite);
      with_activation(after.act, [&](auto act) {
        for (index_t r = 0; r < height; ++r)
          detail::finish_row<decltype(act)::value, E, Real>(
              memory.sums + r * tiles.outputs, outputs, w.biased() ? w.bias.data() + o : nullptr,
              after.times ? blocks::row_at(after.times, i + r) + o : nullptr,
              after.plus ? blocks::row_at(after.plus, i + r) + o : nullptr, blocks::row_at(y, i + r) + o);
      });
    }
  });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
