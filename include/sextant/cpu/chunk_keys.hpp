// SPDX-License-Identifier: Apache-2.0
/// @file  The queries and keys of a chunk of tokens, and the scores between them.
#pragma once

#include <sextant/cpu/chunk_division.hpp>
#include <sextant/cpu/transpose.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Columns of row t of a lower triangular matrix up to which products may read it, in whole vectors.
template <class Real> index_t triangle_end(index_t t, index_t count) {
  constexpr index_t reach = detail::wide_rows > detail::narrow_rows ? detail::wide_rows : detail::narrow_rows;
  return padded<Real>(t + reach < count ? t + reach : count);
}
/// Zeros behind the diagonal of a square, as far as products read.
template <class Real> void cut_triangle(Real* square, index_t ld, index_t count) {
  for (index_t t = 0; t < count; ++t) zero(square + t * ld + t + 1, triangle_end<Real>(t, count) - t - 1);
}

/// Queries and keys of one key head over a chunk, in rows of `ld` numbers with zeros behind the keys.
template <class Real> struct chunk_keys {
  Real *q = nullptr, *k = nullptr;              // mapped and turned
  Real *q_plain = nullptr, *k_plain = nullptr;  // mapped alone; the same rows where the design has no position
  Real *q_raw = nullptr, *k_raw = nullptr;      // before an expanding map that knows the product of two of its rows
  Real *row = nullptr, *transposed = nullptr;
  index_t ld = 0, raw_ld = 0, square_ld = 0;
  rotation<Real> turning;

  static bool turns(const plan<Real>& p) { return p.position != position_kind::none; }

  void allocate(arena& memory, const plan<Real>& p, index_t tokens) {
    ld = row_length<Real>(padded_keys<Real>(p.width));
    raw_ld = row_length<Real>(p.keys);
    square_ld = row_length<Real>(tokens);
    q_plain = memory.take<Real>(tokens * ld);
    k_plain = memory.take<Real>(tokens * ld);
    q = turns(p) ? memory.take<Real>(tokens * ld) : q_plain;
    k = turns(p) ? memory.take<Real>(tokens * ld) : k_plain;
    if (p.map_product != nullptr) {
      q_raw = memory.take<Real>(tokens * raw_ld);
      k_raw = memory.take<Real>(tokens * raw_ld);
    } else {
      row = memory.take<Real>(padded<Real>(p.keys));
    }
    transposed = memory.take<Real>((ld > raw_ld ? ld : raw_ld) * square_ld);
    turning.allocate(memory, p, tokens);
  }

  void load(const plan<Real>& p, const window& w, index_t g) {
    turning.start_tile(p, w.n, w.t, w.count);
    if (p.map_product == nullptr) {
      read_mapped(p, p.q, w, g, turning, false, row, q, q_plain, ld);
      read_mapped(p, p.k, w, g, turning, true, row, k, k_plain, ld);
    } else {
      expand(p, p.q, w, g, Real(1), q_raw, q_plain, q);
      expand(p, p.k, w, g, p.key_scale, k_raw, k_plain, k);
    }
  }

  /// Scores of the turned rows, [count][square_ld]; zeros behind the diagonal.
  void score(const plan<Real>& p, const window& w, Real* scores) const {
    if (turns(p)) products(q, k, ld, p.width, w.count, scores);
    else score_plain(p, w, scores);
  }
  /// Scores of the plain rows.
  void score_plain(const plan<Real>& p, const window& w, Real* scores) const {
    if (p.map_product == nullptr) return products(q_plain, k_plain, ld, p.width, w.count, scores);
    products(q_raw, k_raw, raw_ld, p.keys, w.count, scores);
    for (index_t t = 0; t < w.count; ++t) p.map_product(p.map, scores + t * square_ld, t + 1);
  }
  /// a b^T for rows of `width` numbers; zeros behind the diagonal.
  void products(const Real* a, const Real* b, index_t rows_ld, index_t width, index_t count, Real* scores) const {
    transpose<Real>(count, width, {b, rows_ld}, {transposed, square_ld});
    multiply<Real>(count, padded<Real>(count), width, {a, rows_ld}, {transposed, square_ld}, {scores, square_ld}, update::overwrite,
                   nullptr, triangle::lower_result);
    cut_triangle(scores, square_ld, count);
  }

 private:
  void expand(const plan<Real>& p, const tensor<Real>& x, const window& w, index_t g, Real scale, Real* raw,
              Real* plain, Real* turned) const {
    read_rows(p, x, w, g, 0, x.key, p.keys, raw, raw_ld);
    for (index_t t = 0; t < w.count; ++t) {
      Real *const from = raw + t * raw_ld, *const to = plain + t * ld;
      if (scale != Real(1))
        for (index_t i = 0; i < p.keys; ++i) from[i] *= scale;
      p.apply_map(p.map, from, p.keys, to);
      zero_tail(to, p.width, ld);
      if (!turns(p)) continue;
      for (index_t i = 0; i < ld; ++i) turned[t * ld + i] = to[i];
      turning.turn(p, w.n, w.t + t, t, turned + t * ld);
    }
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
