// SPDX-License-Identifier: Apache-2.0
/// @file  The transpose of a small matrix, in registers: keys into the rows that a product of scores wants.
#pragma once

#include <cstddef>  // size_t
#include <utility>  // integer_sequence

#include <sextant/config.hpp>
#include <sextant/cpu/matrix.hpp>
#include <sextant/cpu/simd.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// In a block of lanes x lanes numbers, exchanges the upper right with the lower left quarter of every square of 2
/// Width numbers. All widths 1, 2, 4, ... in any order make the transpose.
template <class Real, int Lanes, int Width>
SEXTANT_INLINE void exchange_quarters(simd<Real, Lanes>& upper, simd<Real, Lanes>& lower) {
  if constexpr (Lanes > 1) {
    [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
      const auto a = upper.data;
      const auto b = lower.data;
      upper.data = __builtin_shufflevector(a, b, ((I & Width) != 0 ? Lanes + I - Width : I)...);
      lower.data = __builtin_shufflevector(a, b, ((I & Width) != 0 ? Lanes + I : I + Width)...);
    }
    (std::make_integer_sequence<int, Lanes>{});
  }
}

template <class Real, int Lanes, int Width> SEXTANT_INLINE void transpose_registers(simd<Real, Lanes>* row) {
  unroll<Lanes>([&](auto i) __attribute__((always_inline)) {
    if constexpr ((i & Width) == 0) exchange_quarters<Real, Lanes, Width>(row[i], row[i + Width]);
  });
  if constexpr (Width > 1) transpose_registers<Real, Lanes, Width / 2>(row);
}

template <class Real>
[[gnu::noinline]] void transpose_block(const Real* from, index_t from_row, Real* to, index_t to_row) {
  constexpr int lanes = simd<Real>::lanes;
  simd<Real> row[std::size_t(lanes)];
  unroll<lanes>([&](auto i) __attribute__((always_inline)) { row[i] = simd<Real>::load(from + i * from_row); });
  transpose_registers<Real, lanes, lanes / 2>(row);
  unroll<lanes>([&](auto i) __attribute__((always_inline)) { row[i].store(to + i * to_row); });
}

}  // namespace detail

/// to[j][i] = from[i][j] for i < rows, j < columns. Any sizes; the two must not overlap.
/// Cost: about half a nanosecond per number.
template <class Real>
inline void transpose(index_t rows, index_t columns, matrix_rows<const Real> from, matrix_rows<Real> to) {
  constexpr index_t lanes = simd<Real>::lanes;
  index_t i = 0;
  if constexpr (lanes > 1) {
    for (; i + lanes <= rows; i += lanes) {
      index_t j = 0;
      for (; j + lanes <= columns; j += lanes)
        detail::transpose_block<Real>(from.data + i * from.row + j, from.row, to.data + j * to.row + i, to.row);
      for (; j < columns; ++j)
        for (index_t r = i; r < i + lanes; ++r) to.data[j * to.row + r] = from.data[r * from.row + j];
    }
  }
  for (; i < rows; ++i)
    for (index_t j = 0; j < columns; ++j) to.data[j * to.row + i] = from.data[i * from.row + j];
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
