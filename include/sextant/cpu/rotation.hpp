// SPDX-License-Identifier: Apache-2.0
/// @file  Rotary positions: tables of cosines and sines, and the turning of a row.
#pragma once

#include <sextant/cpu/rows.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The angles of one key head. A table row holds, for coordinate c, cos(c theta) and -/+ sin(c theta) for the two
/// numbers of each pair, so that turning is x cosine + swapped(x) sine. Angles advance by complex products in
/// float64, taken anew from cos and sin every 16 rows.
template <class Real> struct rotation {
  Real *cosine = nullptr, *sine = nullptr;  // [rows][width]
  double *theta = nullptr;                  // [width / 2]
  index_t width = 0, ld = 0;
  index_t by_row = 0;                       // pairs before this one turn by the pixel's row, others by its column

  static index_t rows(const plan<Real>& p, index_t tile) {
    if (p.position == position_kind::rotary_1d) return tile;
    if (p.position == position_kind::rotary_2d) return p.grid_height > p.grid_width ? p.grid_height : p.grid_width;
    return 0;
  }
  void allocate(arena& memory, const plan<Real>& p, index_t tile) {
    if (p.position == position_kind::none) return;
    width = p.width;
    ld = padded<Real>(width);
    cosine = memory.take<Real>(rows(p, tile) * ld);
    sine = memory.take<Real>(rows(p, tile) * ld);
    theta = memory.take<double>(width / 2);
  }
  /// The angles of key head g; for an image the whole table.
  void start(const plan<Real>& p, index_t g) {
    if (p.position == position_kind::none) return;
    const double log_base = math::log(p.rotary_base);
    const index_t half = width / 2, quarter = p.key_heads * width / 4;
    by_row = quarter - g * half < 0 ? 0 : quarter - g * half < half ? quarter - g * half : half;
    for (index_t m = 0; m < half; ++m)
      theta[m] = p.position == position_kind::rotary_1d
                     ? math::exp(-log_base * 2 * double(m) / double(width))
                     : math::exp(-log_base * double((g * half + m) % quarter) / double(quarter));
    if (p.position == position_kind::rotary_2d) fill(0, 1, rows(p, 0));
  }
  /// The table of a tile of tokens, for positions along the sequence.
  void start_tile(const plan<Real>& p, index_t n, index_t t0, index_t count) {
    if (p.position == position_kind::rotary_1d)
      fill(p.first_position + p.place(n, t0) - p.first(n), p.direction(), count);
  }
  /// Turns the row of token t, which is number `in_tile` of its tile, into `to`, which may be the row itself.
  [[gnu::noinline]] void turn(const plan<Real>& p, index_t n, index_t t, index_t in_tile, const Real* row,
                              Real* to) const {
    if (p.position == position_kind::rotary_1d) {
      turn_pairs(row, to, in_tile, 0, width);
    } else if (p.position == position_kind::rotary_2d) {
      const index_t at = p.place(n, t) - p.first(n);
      turn_pairs(row, to, at / p.grid_width, 0, 2 * by_row);
      turn_pairs(row, to, at % p.grid_width, 2 * by_row, width);
    }
  }

 private:
  void fill(index_t first, index_t direction, index_t count) {
    for (index_t m = 0; m < width / 2; ++m) {
      const double step_re = math::cos(theta[m]), step_im = double(direction) * math::sin(theta[m]);
      double re = 1, im = 0;
      for (index_t r = 0; r < count; ++r) {
        if (r % 16 == 0) {
          const double angle = double(first + direction * r) * theta[m];
          re = math::cos(angle), im = math::sin(angle);
        }
        cosine[r * ld + 2 * m] = cosine[r * ld + 2 * m + 1] = Real(re);
        sine[r * ld + 2 * m] = Real(-im), sine[r * ld + 2 * m + 1] = Real(im);
        const double next = re * step_re - im * step_im;
        im = re * step_im + im * step_re;
        re = next;
      }
    }
  }
  [[gnu::noinline]] void turn_pairs(const Real* row, Real* out, index_t coordinate, index_t from, index_t to) const {
    using vector = simd<Real>;
    const Real *c = cosine + coordinate * ld, *s = sine + coordinate * ld;
    index_t i = from;
    for (; lanes<Real> > 1 && i + lanes<Real> <= to; i += lanes<Real>) {
      const vector x = vector::load(row + i);
      fma(x, vector::load(c + i), pairs_swapped(x) * vector::load(s + i)).store(out + i);
    }
    for (; i < to; i += 2) {
      const Real re = row[i], im = row[i + 1];
      out[i] = re * c[i] + im * s[i];
      out[i + 1] = im * c[i + 1] + re * s[i + 1];
    }
  }
  /// The two numbers of each pair exchanged. (Spelt out: nvcc's host pass does not expand a pack inside the builtin.)
  SEXTANT_INLINE static simd<Real> pairs_swapped(simd<Real> x) {
    if constexpr (simd<Real>::lanes == 1) return x;
    else if constexpr (simd<Real>::lanes == 2)
      return simd<Real>::from_vector(__builtin_shufflevector(x.data, x.data, 1, 0));
    else if constexpr (simd<Real>::lanes == 4)
      return simd<Real>::from_vector(__builtin_shufflevector(x.data, x.data, 1, 0, 3, 2));
    else if constexpr (simd<Real>::lanes == 8)
      return simd<Real>::from_vector(__builtin_shufflevector(x.data, x.data, 1, 0, 3, 2, 5, 4, 7, 6));
    else
      return simd<Real>::from_vector(
          __builtin_shufflevector(x.data, x.data, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
