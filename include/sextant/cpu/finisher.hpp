// SPDX-License-Identifier: Apache-2.0
/// @file  The end of every form: scale, shortcut, output gate, and the rounding to storage.
#pragma once

#include <sextant/cpu/local.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// y = factor[t] (q S)[t] + shortcut, times silu(gate), rounded and stored.
template <class Real> struct finisher {
  Real *shortcut = nullptr, *row = nullptr;
  local_shortcut<Real> local;
  index_t ld = 0, whole = 0;  // of rows: from one to the next, and numbers that are worth computing

  /// `blocks`: how many blocks of channels' parameters are kept.
  void allocate(arena& memory, const plan<Real>& p, index_t padded_values, index_t blocks = 1) {
    ld = whole = padded_values;
    if (p.d) shortcut = memory.take<Real>(blocks * ld);
    local.allocate(memory, p, ld, blocks);
    if (p.output_gate) row = memory.take<Real>(ld);
  }
  /// Goes `blocks` blocks of channels further, where `allocate` was asked for several.
  void move(index_t blocks) {
    if (shortcut != nullptr) shortcut += blocks * ld;
    local.move(blocks);
  }
  void start(const plan<Real>& p, const window& w) {
    if (p.d) {
      p.d.read(p.d.at(0, 0, w.h) + w.v * p.d.value, p.d.value, w.values, shortcut);
      zero_tail(shortcut, w.values, ld);
    }
    local.start(p, w);
  }
  /// Where y of the window's first token and channel is, for a y of plain numbers.
  static Real* place(const plan<Real>& p, const window& w) {
    return reinterpret_cast<Real*>(rows_of(p, p.y, w, w.h).first + w.v * p.y.value);
  }
  /// Whether y is scale (q S) and no more, in whole vectors of plain numbers.
  static bool only_scales(const plan<Real>& p, const window& w) {
    return is_plain(p.y) && !p.d && !p.lepe && !p.output_gate && w.values % lanes<Real> == 0;
  }
  /// sums[w.count][ld] holds q S and is overwritten; values[w.count][ld] the ungated v; factor[w.count] scale /
  /// divisor, or null for `scale` alone.
  void store(const plan<Real>& p, const window& w, Real* sums, const Real* values, const Real* factor) const {
    using vector = simd<Real>;
    // Numbers that need no rounding go straight to where they belong.
    const bool straight = is_plain(p.y) && !p.lepe && !p.output_gate;
    const index_t count = straight ? w.values : whole, step = ld;
    const token_rows rows = rows_of(p, p.y, w, w.h);
    const auto place = [&](index_t t) { return rows.first + t * rows.step + w.v * p.y.value; };
    for (index_t t = 0; t < w.count; ++t) {
      const Real *const from = sums + t * step, *const v = values + t * step, *const d = shortcut;
      Real* const to = straight ? reinterpret_cast<Real*>(place(t)) : sums + t * step;
      const vector by = factor == nullptr ? vector(p.scale) : vector(factor[t]);
      if (d != nullptr)
        fill_row(to, count, [&](index_t c) __attribute__((always_inline)) {
          return fma(vector::load(d + c), vector::load(v + c), by * vector::load(from + c));
        });
      else
        fill_row(to, count, [&](index_t c) __attribute__((always_inline)) { return by * vector::load(from + c); });
    }
    if (straight) return;
    if (p.lepe) local.add(p, w, sums);
    const tensor<Real>& gate = p.output_gate;
    const token_rows gates = gate ? rows_of(p, gate, w, w.h) : token_rows{};
    for (index_t t = 0; t < w.count; ++t) {
      Real* const y = sums + t * step;
      if (gate) {
        gate.read(gates.first + t * gates.step + w.v * gate.value, gate.value, w.values, row);
        zero_tail(row, w.values, whole);
        const Real* const raw = row;
        fill_row(y, whole, [&](index_t c) __attribute__((always_inline)) {
          return vector::load(y + c) * math::silu(vector::load(raw + c));
        });
      }
      p.y.write(y, w.values, place(t), p.y.value);
    }
  }

 private:
  /// Vector after vector of a row, the last one cut off at `count`.
  template <class Number> SEXTANT_INLINE static void fill_row(Real* to, index_t count, const Number& number) {
    index_t c = 0;
    for (; c + lanes<Real> <= count; c += lanes<Real>) number(c).store(to + c);
    if (c < count) number(c).store(to + c, count - c);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
