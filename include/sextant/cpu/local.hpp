// SPDX-License-Identifier: Apache-2.0
/// @file  The local shortcut: a depthwise 3x3 convolution of the values over the image.
#pragma once

#include <sextant/cpu/rows.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// y_t += bias + sum of nine taps (.) v at the neighbours of pixel t, zeros around the image, for some channels of one
/// head. Rows of v that lie as the accumulators do are read where they are, others through nine rows of scratch.
template <class Real> struct local_convolution {
  Real *weights = nullptr, *rows = nullptr;  // [10][ld] taps and bias; [10][ld], the last one zeros
  index_t ld = 0;

  void allocate(arena& memory, index_t padded_values) {
    ld = padded_values;
    weights = memory.take<Real>(10 * ld);
    rows = memory.take<Real>(10 * ld);
  }
  /// The weights of channels v to v + values of head h.
  void start(const plan<Real>& p, index_t h, index_t v, index_t values) {
    zero(weights, 10 * ld);
    zero(rows, 10 * ld);
    for (index_t tap = 0; tap < 9; ++tap)
      p.lepe.read(p.lepe.at(0, 0, h) + v * p.lepe.value + tap / 3 * p.lepe_row + tap % 3 * p.lepe_column, p.lepe.value,
                  values, weights + tap * ld);
    if (p.lepe_bias) p.lepe_bias.read(p.lepe_bias.at(0, 0, h) + v * p.lepe_bias.value, p.lepe_bias.value, values, weights + 9 * ld);
  }
  /// y[values] += the convolution at pixel `at` of sequence n.
  void add(const plan<Real>& p, index_t n, index_t at, index_t h, index_t v, index_t values, Real* y) const {
    using vector = simd<Real>;
    const index_t i = at / p.grid_width, j = at % p.grid_width;
    const bool in_place = p.v.load == &load_row<Real, Real> && p.v.value == p.v.element;
    const Real* near[9];
    for (index_t tap = 0; tap < 9; ++tap) {
      const index_t r = i + tap / 3 - 1, s = j + tap % 3 - 1;
      near[tap] = rows + 9 * ld;
      if (r < 0 || r >= p.grid_height || s < 0 || s >= p.grid_width) continue;
      const std::byte* const from = p.v.at(p.batch(n), p.first(n) + r * p.grid_width + s, h) + v * p.v.value;
      near[tap] = in_place ? reinterpret_cast<const Real*>(from) : rows + tap * ld;
      if (!in_place) p.v.read(from, p.v.value, values, rows + tap * ld);
    }
    index_t c = 0;
    for (; c + lanes<Real> <= values; c += lanes<Real>) {
      vector sum = vector::load(y + c) + vector::load(weights + 9 * ld + c), other(Real(0));
      for (int tap = 0; tap < 8; tap += 2) {
        sum = fma(vector::load(weights + tap * ld + c), vector::load(near[tap] + c), sum);
        other = fma(vector::load(weights + (tap + 1) * ld + c), vector::load(near[tap + 1] + c), other);
      }
      sum = fma(vector::load(weights + 8 * ld + c), vector::load(near[8] + c), sum);
      (sum + other).store(y + c);
    }
    for (; c < values; ++c) {
      Real sum = y[c] + weights[9 * ld + c];
      for (int tap = 0; tap < 9; ++tap) sum += weights[tap * ld + c] * near[tap][c];
      y[c] = sum;
    }
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
