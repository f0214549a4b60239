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
  using vector = simd<Real>;
  for (index_t t = 0; t < count; ++t) {
    Real* const row = square + t * ld;
    const index_t end = triangle_end<Real>(t, count);
    for (index_t s = (t + 1) / lanes<Real> * lanes<Real>; s < end; s += lanes<Real>)
      select(simd_mask<Real>::first(t + 1 - s), vector::load(row + s), vector(Real(0))).store(row + s);
  }
}

/// Queries and keys of one key head over a chunk, in rows of `ld` numbers with zeros behind the keys.
template <class Real> struct chunk_keys {
  Real *q = nullptr, *k = nullptr;              // mapped and turned
  Real *q_plain = nullptr, *k_plain = nullptr;  // mapped alone; the same rows where the design has no position
  Real *q_raw = nullptr, *k_raw = nullptr;      // neither; the same rows where the map is the identity
  index_t ld = 0, raw_ld = 0, square_ld = 0;
  index_t whole = 0;  // numbers of a row that anybody reads: keys and zeros behind them
  Real* transposed = nullptr;
  rotation<Real> turning;

  static bool turns(const plan<Real>& p) { return p.position != position_kind::none; }

  void allocate(arena& memory, const plan<Real>& p, index_t tokens) {
    whole = padded_keys<Real>(p.width);
    ld = row_length<Real>(whole);
    raw_ld = row_length<Real>(padded_keys<Real>(p.keys));
    square_ld = row_length<Real>(tokens);
    q_raw = memory.take<Real>(tokens * raw_ld), k_raw = memory.take<Real>(tokens * raw_ld);
    const auto rows = [&](bool apart, Real* otherwise) { return apart ? memory.take<Real>(tokens * ld) : otherwise; };
    q_plain = rows(p.apply_map != nullptr, q_raw), k_plain = rows(p.apply_map != nullptr, k_raw);
    q = rows(turns(p), q_plain), k = rows(turns(p), k_plain);
    transposed = memory.take<Real>((ld > raw_ld ? ld : raw_ld) * square_ld);
    turning.allocate(memory, p, tokens);
  }

  /// Reads the rows of key head g, maps and turns them.
  void load(const plan<Real>& p, const window& w, index_t g) const {
    load(p, p.q, w, g, Real(1), q_raw, q_plain, q);
    load(p, p.k, w, g, p.key_scale, k_raw, k_plain, k);
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
    multiply<Real>(count, padded<Real>(count), width, {a, rows_ld}, {transposed, square_ld}, {scores, square_ld},
                   update::overwrite, nullptr, triangle::lower_result);
    cut_triangle(scores, square_ld, count);
  }

 private:
  [[gnu::noinline]] void load(const plan<Real>& p, const tensor<Real>& x, const window& w, index_t g, Real scale,
                              Real* raw, Real* plain, Real* turned) const {
    read_rows(p, x, w, g, 0, x.key, p.keys, raw, raw_ld, padded_keys<Real>(p.keys));
    for (index_t t = 0; t < w.count; ++t, raw += raw_ld, plain += ld, turned += ld) {
      if (scale != Real(1))
        for (index_t i = 0; i < p.keys; ++i) raw[i] *= scale;
      if (p.apply_map != nullptr) {
        p.apply_map(p.map, raw, p.keys, plain);
        zero_tail(plain, p.width, whole);
      }
      if (turns(p)) {
        turning.turn(p, w.n, w.t + t, t, plain, turned);
        zero_tail(turned, p.width, whole);
      }
    }
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
