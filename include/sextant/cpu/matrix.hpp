// SPDX-License-Identifier: Apache-2.0
/// @file  Products of small matrices on one core: what the chunked and global forms are made of.
#pragma once

#include <cstddef>      // size_t
#include <type_traits>  // integral_constant
#include <utility>      // integer_sequence

#include <sextant/config.hpp>
#include <sextant/cpu/rows_ahead.hpp>
#include <sextant/cpu/simd.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// A left operand of a product: element (m, i) is data[m * row + i * column]. A matrix in rows has column = 1;
/// exchange row and column for its transpose. Strides in elements.
template <class Real> struct left_operand {
  const Real* data;
  index_t row;
  index_t column = 1;
};

/// A matrix in rows: element (i, n) is data[i * row + n]. `Real` is const for an operand.
template <class Real> struct matrix_rows {
  Real* data;
  index_t row;
};

/// What a product does with its result.
enum class update {
  overwrite,  ///< C = A B; what stood in C isn't read
  add,        ///< C += A B
  decay,      ///< C = scale C + A B: the scale, which must be given, multiplies what stood in C
};

/// Which part of a product is wanted.
enum class triangle {
  none,           ///< all of it
  lower_operand,  ///< A(m, i) = 0 for i > m: C[m] sums i <= m alone. The zeros must be there, some are read.
  lower_result,   ///< only C[m][n] with n <= m is wanted; some elements beyond are computed and written too
};

namespace detail {

/// Calls f with the integral constants 0 ... Count - 1. A loop over an array of vectors would leave the array in
/// memory.
template <int Count, class Function> [[gnu::always_inline]] inline void unroll(const Function& f) {
  [&f]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, Count>{});
}

/// Rows of the largest register tile of two vectors: its sums leave room in 16 (AVX-512: 32) registers for two
/// vectors of B and one element of A. Where there is one vector only, 8 sums keep the multiply-adds from waiting for
/// one another.
inline constexpr int wide_rows = SEXTANT_CPU_BYTES == 64 ? 12 : 6;
inline constexpr int narrow_rows = 8;

/// What a tile needs to know: its corner of A, B and C, and how to finish.
template <class Real> struct tile_work {
  const Real* a;
  index_t a_row, a_column;
  const Real* b;
  index_t b_row;
  Real* c;
  index_t c_row;
  const Real* scale;  // of the tile's first row, or null
  index_t width;      // columns, where the tile is a partial one
  update how;
  // A second product in rows that is added, unscaled: its operands.
  const Real* a2 = nullptr;
  index_t a2_row = 0;
  const Real* b2 = nullptr;
  index_t b2_row = 0;
  rows_ahead* ahead = nullptr;  // what to fetch meanwhile, or null
};

/// sum[r][n] += sum_{i < length} A(r, i) B[i][n] in registers.
template <class Real, int Rows, int Vectors, bool Partial>
SEXTANT_INLINE void add_products(simd<Real>* sum, const Real* a, index_t a_row, index_t a_column, const Real* b,
                                 index_t b_row, index_t length, [[maybe_unused]] index_t width) {
  using number = simd<Real>;
  constexpr int lanes = number::lanes;
  for (index_t i = 0; i < length; ++i, a += a_column, b += b_row) {
    number row[std::size_t(Vectors)];
    unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
      row[v] = Partial ? number::load(b, width) : number::load(b + v * lanes);
    });
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      const number factor = a[r * a_row];
      unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
        sum[r * Vectors + v] = fma(factor, row[v], sum[r * Vectors + v]);
      });
    });
  }
}

/// C[r][n] (+)= scale[r] sum_{i < length} A(r, i) B[i][n] for `Rows` rows and `Vectors` vectors, or `width` columns; or
/// scale[r] C[r][n] + the sum. The second product, of `length2` terms, comes on top of either.
template <class Real, int Rows, int Vectors, bool Partial>
[[gnu::noinline]] void multiply_tile(const tile_work<Real>& work, index_t length, index_t length2) {
  using number = simd<Real>;
  constexpr int lanes = number::lanes;
  const index_t width = work.width;
  if (work.ahead != nullptr) work.ahead->ask();
  number sum[std::size_t(Rows * Vectors)];
  unroll<Rows * Vectors>([&](auto j) __attribute__((always_inline)) { sum[j] = Real(0); });
  add_products<Real, Rows, Vectors, Partial>(sum, work.a, work.a_row, work.a_column, work.b, work.b_row, length, width);
  Real* const c = work.c;
  const index_t c_row = work.c_row;
  const Real* const scale = work.scale;
  const bool decays = work.how == update::decay;
  if (scale != nullptr && !decays) {
    unroll<Rows * Vectors>([&](auto j) __attribute__((always_inline)) { sum[j] *= scale[j / Vectors]; });
  }
  add_products<Real, Rows, Vectors, Partial>(sum, work.a2, work.a2_row, 1, work.b2, work.b2_row, length2, width);
  if (work.how != update::overwrite) {
    unroll<Rows * Vectors>([&](auto j) __attribute__((always_inline)) {
      const Real* from = c + j / Vectors * c_row + j % Vectors * lanes;
      const number old = Partial ? number::load(from, width) : number::load(from);
      sum[j] = decays ? fma(number(scale[j / Vectors]), old, sum[j]) : sum[j] + old;
    });
  }
  unroll<Rows * Vectors>([&](auto j) __attribute__((always_inline)) {
    Real* to = c + j / Vectors * c_row + j % Vectors * lanes;
    if constexpr (Partial) sum[j].store(to, width);
    else sum[j].store(to);
  });
}

/// Rows of the next tile: few sizes, so that few functions are compiled. A partial panel, which no form asks for, goes
/// row by row.
template <int Vectors, bool Partial> SEXTANT_INLINE index_t next_rows(index_t left) {
  if constexpr (Partial) return 1;
  if constexpr (Vectors == 1) return left >= narrow_rows ? narrow_rows : 1;
  // Two tiles of 4 go before one of 6 and two or three of 1.
  if (left >= wide_rows && (wide_rows > 6 || (left != 8 && left != 9))) return wide_rows;
  return left >= 4 ? 4 : 1;
}

/// One panel of columns, from `column` on, all rows. The left operand of the second product, which has `second`
/// columns, is lower triangular.
template <class Real, int Vectors, bool Partial>
[[gnu::noinline]] void multiply_panel(tile_work<Real> work, index_t rows, index_t first, index_t length, triangle part,
                                      index_t column, index_t second = 0) {
  for (index_t m = 0; m < rows;) {
    const index_t height = next_rows<Vectors, Partial>(rows - m);
    m += height;
    const index_t in_triangle = part == triangle::lower_operand && m - first < length ? m - first : length;
    const index_t in_second = m < second ? m : second;
    const bool wanted = part != triangle::lower_result || m > column;
    if (wanted && (in_triangle > 0 || work.how != update::add)) {
      if (Partial || height == 1) multiply_tile<Real, 1, Vectors, Partial>(work, in_triangle, in_second);
      else if constexpr (Vectors == 1) multiply_tile<Real, narrow_rows, Vectors, Partial>(work, in_triangle, in_second);
      else if (height == 4) multiply_tile<Real, 4, Vectors, Partial>(work, in_triangle, in_second);
      else multiply_tile<Real, wide_rows, Vectors, Partial>(work, in_triangle, in_second);
    }
    work.a += height * work.a_row;
    work.a2 += height * work.a2_row;
    work.c += height * work.c_row;
    if (work.scale) work.scale += height;
  }
}

/// Rows of B that stay in the first cache while all rows of A pass.
inline constexpr index_t panel_rows = 256;

/// Whether the rows of a panel of B, a cache line each, would push one another out of the first cache (64 sets of 8
/// lines of 64 bytes), and enough rows of A pass to pay for a copy.
template <class Real> SEXTANT_INLINE bool worth_packing(index_t rows, index_t length, index_t b_row) {
  const index_t lines = b_row * static_cast<index_t>(sizeof(Real)) / 64;
  const index_t power_of_2 = lines & -lines;  // one set in so many is met
  return rows >= 32 && length * power_of_2 > 64 * 8;
}

template <class Real> inline void pack_panel(const tile_work<Real>& work, index_t length, Real* to) {
  constexpr index_t lanes = simd<Real>::lanes;
  const Real* from = work.b;
  for (index_t i = 0; i < length; ++i, from += work.b_row, to += 2 * lanes) {
    const simd<Real> left = simd<Real>::load(from), right = simd<Real>::load(from + lanes);
    left.store(to);
    right.store(to + lanes);
  }
}

}  // namespace detail

/// C[m][n] = or += scale[m] sum_{i < I} A(m, i) B[i][n] for m < M, n < N; no scale is a scale of 1. With
/// `update::decay`, C[m][n] = scale[m] C[m][n] + the sum.
///
/// Any sizes, 0 included (I = 0 overwrites with zeros); nothing beyond N columns is read or written, but N is best a
/// multiple of the vector's lanes. C must not overlap A or B. Each element's sum runs over i in order in one fused
/// multiply-add each, with a rounding to memory every 256 terms, so results don't depend on M, N or an element's
/// place. Cost: M N I multiply-adds. Stack: 256 rows of two vectors, into which rows of B are copied where they would
/// compete for the same sets of the first cache.
template <class Real>
inline void multiply(index_t M, index_t N, index_t I, left_operand<Real> a, matrix_rows<const Real> b,
                     matrix_rows<Real> c, update how, const Real* scale = nullptr, triangle part = triangle::none) {
  constexpr index_t lanes = simd<Real>::lanes;
  alignas(64) Real packed[std::size_t(detail::panel_rows * 2 * lanes)];
  index_t first = 0;
  do {
    const index_t length = I - first < detail::panel_rows ? I - first : detail::panel_rows;
    const bool packs = detail::worth_packing<Real>(M, length, b.row);
    const bool decayed = how == update::decay && first > 0;  // with the first rows of B
    detail::tile_work<Real> work{a.data + first * a.column,
                                 a.row,
                                 a.column,
                                 b.data + first * b.row,
                                 b.row,
                                 c.data,
                                 c.row,
                                 decayed ? nullptr : scale,
                                 0,
                                 first > 0 ? update::add : how};
    index_t n = 0;
    for (; n + 2 * lanes <= N; n += 2 * lanes, work.b += 2 * lanes, work.c += 2 * lanes) {
      detail::tile_work<Real> panel = work;
      if (packs) {
        detail::pack_panel(work, length, packed);
        panel.b = packed;
        panel.b_row = 2 * lanes;
      }
      detail::multiply_panel<Real, 2, false>(panel, M, first, length, part, n);
    }
    if (n + lanes <= N) {
      detail::multiply_panel<Real, 1, false>(work, M, first, length, part, n);
      n += lanes, work.b += lanes, work.c += lanes;
    }
    if (n < N) {
      work.width = N - n;
      detail::multiply_panel<Real, 1, true>(work, M, first, length, part, n);
    }
    first += detail::panel_rows;
  } while (first < I);
}

/// C[t][n] = or += scale[t] sum_{s <= t} P(t, s) U[s][n] for t < T, n < N: the causal half of a product. P holds
/// zeros above the diagonal. Half the cost of `multiply` with I = T.
template <class Real>
inline void multiply_lower(index_t T, index_t N, left_operand<Real> p, matrix_rows<const Real> u, matrix_rows<Real> c,
                           update how, const Real* scale = nullptr) {
  multiply<Real>(T, N, T, p, u, c, how, scale, triangle::lower_operand);
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
