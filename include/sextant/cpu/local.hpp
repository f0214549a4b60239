// SPDX-License-Identifier: Apache-2.0
/// @file  The local shortcut: a depthwise 3x3 convolution of v over the image whose pixels the tokens are.
#pragma once

#include <sextant/cpu/tile.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Adds, to rows of channels, the convolution of v around their tokens and its bias. Nine multiply-adds for each
/// number, with the nine weights of some channels in registers along a row of the image. Rows of v are read where they
/// are if
/// they are plain numbers and whole vectors, else as copies, three for each token and not nine.
template <class Real> struct local_shortcut {
  static constexpr index_t span = 16;  // tokens whose neighbours are copied at once

  Real *weights = nullptr;  // [10][ld]: nine taps and the bias
  Real *zeros = nullptr;    // [ld], beyond the image
  Real *copies = nullptr;   // [3][span + 2][ld]
  index_t ld = 0;

  static bool copies_rows(const plan<Real>& p) { return !is_plain(p.v) || p.values % lanes<Real> != 0; }

  void allocate(arena& memory, const plan<Real>& p, index_t padded_values, index_t blocks) {
    if (!p.lepe) return;
    ld = padded_values;
    weights = memory.take<Real>(blocks * 10 * ld);
    zeros = memory.take<Real>(ld);
    if (copies_rows(p)) copies = memory.take<Real>(3 * (span + 2) * ld);
  }
  void move(index_t blocks) {
    if (weights != nullptr) weights += blocks * 10 * ld;
  }
  void start(const plan<Real>& p, const window& w) const {
    if (!p.lepe) return;
    zero(weights, 10 * ld);
    zero(zeros, ld);
    for (index_t tap = 0; tap < 9; ++tap)
      p.lepe.read(p.lepe.at(0, 0, w.h) + w.v * p.lepe.value + tap / 3 * p.lepe_row + tap % 3 * p.lepe_column,
                  p.lepe.value, w.values, weights + tap * ld);
    if (p.lepe_bias)
      p.lepe_bias.read(p.lepe_bias.at(0, 0, w.h) + w.v * p.lepe_bias.value, p.lepe_bias.value, w.values,
                       weights + 9 * ld);
  }

  /// y[t] += bias + sum of the taps, for the tokens of the window; rows of ld numbers.
  void add(const plan<Real>& p, const window& w, Real* y) const {
    const index_t last = w.t + w.count - 1, backwards = p.direction() < 0;
    const index_t lowest = p.place(w.n, backwards ? last : w.t) - p.first(w.n);  // pixel
    for (index_t done = 0; done < w.count;) {
      const index_t pixel = lowest + done, i = pixel / p.grid_width, j = pixel % p.grid_width;
      index_t count = p.grid_width - j < w.count - done ? p.grid_width - j : w.count - done;
      if (copies != nullptr && count > span) count = span;
      const index_t step = backwards ? -ld : ld;
      segment(p, w, i, j, count, y + (backwards ? w.count - 1 - done : done) * ld, step);
      done += count;
    }
  }

 private:
  /// Rows of neighbours: the first one and the way to the next, 0 beyond the image.
  struct neighbours {
    const Real* at;
    index_t step;
  };

  /// `count` pixels of image row i from column j on.
  void segment(const plan<Real>& p, const window& w, index_t i, index_t j, index_t count, Real* y, index_t step) const {
    neighbours row[3];  // above, beside and below, from column j - 1 on
    for (index_t r = 0; r < 3; ++r) {
      const index_t above = i + r - 1;
      if (above < 0 || above >= p.grid_height) {
        row[r] = {zeros, 0};
        continue;
      }
      const tensor<Real>& v = p.v;
      const index_t first = p.first(w.n) + above * p.grid_width + j - 1;
      const std::byte* const from = v.at(p.batch(w.n), first, w.h) + w.v * v.value;
      if (copies == nullptr) {
        row[r] = {reinterpret_cast<const Real*>(from), v.time / v.element};
        continue;
      }
      Real* const to = copies + r * (span + 2) * ld;
      for (index_t s = 0; s < count + 2; ++s) {
        if (j + s - 1 < 0 || j + s - 1 >= p.grid_width) continue;
        v.read(from + s * v.time, v.value, w.values, to + s * ld);
        zero_tail(to + s * ld, w.values, padded<Real>(w.values));
      }
      row[r] = {to, ld};
    }
    const index_t channels = padded<Real>(w.values);
    const bool left = j == 0, right = j + count == p.grid_width;  // edges of the image: their outer neighbours are 0
    const index_t first = left ? 1 : 0, last = right && count > first ? count - 1 : count;
    if (left) edge(row, 0, true, right && count == 1, channels, y);
    for (index_t c = 0; c < channels; c += lanes<Real>) run(row, first, last, c, y, step);
    if (last < count) edge(row, last, false, true, channels, y + last * step);
  }

  /// Pixels first to last of a segment, one vector of channels.
  SEXTANT_INLINE void run(const neighbours (&row)[3], index_t first, index_t last, index_t c, Real* y,
                          index_t step) const {
    using vector = simd<Real>;
    const auto weight = [&](index_t tap) { return vector::load(weights + tap * ld + c); };
    const vector w0 = weight(0), w1 = weight(1), w2 = weight(2), w3 = weight(3), w4 = weight(4), w5 = weight(5),
                 w6 = weight(6), w7 = weight(7), w8 = weight(8), bias = weight(9);
    const index_t da = row[0].step, db = row[1].step, dc = row[2].step;
    const Real *a = row[0].at + first * da + c, *b = row[1].at + first * db + c, *d = row[2].at + first * dc + c;
    Real* to = y + first * step + c;
    for (index_t s = first; s < last; ++s, a += da, b += db, d += dc, to += step) {
      vector sum = bias + vector::load(to);
      vector other = w0 * vector::load(a);  // two sums, so that none waits for all nine
      sum = fma(w1, vector::load(a + da), sum);
      other = fma(w2, vector::load(a + 2 * da), other);
      sum = fma(w3, vector::load(b), sum);
      other = fma(w4, vector::load(b + db), other);
      sum = fma(w5, vector::load(b + 2 * db), sum);
      other = fma(w6, vector::load(d), other);
      sum = fma(w7, vector::load(d + dc), sum);
      other = fma(w8, vector::load(d + 2 * dc), other);
      (sum + other).store(to);
    }
  }
  /// One pixel at the left or the right edge of the image, or at both.
  void edge(const neighbours (&row)[3], index_t s, bool left, bool right, index_t channels, Real* y) const {
    using vector = simd<Real>;
    for (index_t c = 0; c < channels; c += lanes<Real>) {
      vector sum = vector::load(weights + 9 * ld + c) + vector::load(y + c);
      for (index_t tap = 0; tap < 9; ++tap) {
        const index_t beside = tap % 3;
        if ((left && beside == 0) || (right && beside == 2)) continue;
        const neighbours& from = row[tap / 3];
        sum = fma(vector::load(weights + tap * ld + c), vector::load(from.at + (s + beside) * from.step + c), sum);
      }
      sum.store(y + c);
    }
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
