// SPDX-License-Identifier: Apache-2.0
/// @file  Asking the caches for the rows that will be read next.
#pragma once

#include <sextant/cpu/tile.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The rows of a window that is computed after the one at hand. Rows of a few channels lie far apart, a page or more,
/// which no hardware foresees; asked for a few at a time between computations, they cost nothing.
template <class Real> struct channels_ahead {
  const plan<Real>& p;
  window w;
  index_t asked = 0;

  /// The next `count` tokens.
  void ask(index_t count) {
    for (index_t end = asked + count < w.count ? asked + count : w.count; asked < end; ++asked) {
      ask(p.v);
      if (p.step_varies == per::channel) ask(p.dt);
      if (p.forget.raw_varies == per::channel && !p.forget.from_step) ask(p.forget.raw);
      if (p.input.raw_varies == per::channel && !p.input.from_step) ask(p.input.raw);
      if (p.output_gate) ask(p.output_gate);
      ask(p.y);
    }
  }

 private:
  SEXTANT_INLINE void ask(const tensor<Real>& x) const {
    if (x.value != x.element) return;
    const std::byte* const row = x.at(p.batch(w.n), p.place(w.n, w.t + asked), w.h) + w.v * x.value;
    for (index_t i = 0; i < w.values * x.element; i += index_t(line_bytes)) __builtin_prefetch(row + i);
  }
};

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
