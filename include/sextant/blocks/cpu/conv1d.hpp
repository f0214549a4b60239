// SPDX-License-Identifier: Apache-2.0
/// @file  Causal convolutions along time on the CPU.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/activation.hpp>
#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/cpu/row_vectors.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

namespace detail {

/// y = act(b + sum of the taps) of one token; `taps[k]` is the token that tap k reads, null where there is none.
template <blocks::activation Act, class E>
void conv1d_token(const blocks::modules::conv1d<E>& w, const E* const* taps, E* y) {
  using Real = blocks::accumulator_of<E>;
  const index_t C = w.channels(), width = w.width();
  const Real* const weight = w.weight.data();
  vectors_of<Real>(C, [&](index_t c, auto whole, index_t count) {
    simd<Real> sum = w.biased() ? load_some<Real>(w.bias.data() + c, whole, count) : simd<Real>(Real(0));
    for (index_t k = 0; k < width; ++k)
      if (taps[k] != nullptr)
        sum = fma(load_some<Real>(weight + k * C + c, whole, count), load_some<Real>(taps[k] + c, whole, count), sum);
    store_some(activate<Act>(sum), y + c, whole, count);
  });
}

}  // namespace detail

/// y_t = act(b + sum_k weight_k x_{t - width + 1 + k}), of every channel by itself. Before the first token stands the
/// initial state, [B, width - 1, C], the oldest token first; zeros, if there is none. The final state is the same of the
/// last tokens and may be the initial one. y overlaps x nowhere. width multiply-adds for each number; width is at most 8.
template <block_backend On, class E>
status causal_conv1d(const On& on, std::type_identity_t<blocks::tokens<const E>> x, const blocks::modules::conv1d<E>& w,
                     std::type_identity_t<blocks::tokens<E>> y,
                     blocks::activation activation = blocks::activation::none,
                     std::type_identity_t<blocks::tokens<const E>> initial_state = {},
                     std::type_identity_t<blocks::tokens<E>> final_state = {}) {
  if (const status found = blocks::shapes::conv1d<E>(x, w, y, initial_state, final_state); !found) return found;
  const index_t B = x.template extent<axis::batch>(), T = x.template extent<axis::time>(), C = w.channels();
  const index_t before = w.width() - 1;
  if (B == 0 || C == 0) return {};
  const auto token = [&](index_t b, index_t t) -> const E* {
    if (t >= 0) return &x(b, t, 0);
    return initial_state ? &initial_state(b, t + before, 0) : nullptr;
  };
  with_activation(activation, [&](auto act) {
    each_run(on, B * T, 16, [&](index_t first, index_t last, int) {
      for (index_t i = first; i < last; ++i) {
        const E* taps[blocks::shapes::most_taps];
        for (index_t k = 0; k <= before; ++k) taps[k] = token(i / T, i % T - before + k);
        detail::conv1d_token<decltype(act)::value, E>(w, taps, &y(i / T, i % T, 0));
      }
    });
  });
  if (final_state)
    for (index_t b = 0; b < B; ++b)
      for (index_t k = 0; k < before; ++k) {
        const E* const from = token(b, T - before + k);
        for (index_t c = 0; c < C; ++c) final_state(b, k, c) = from == nullptr ? E(0.0f) : from[c];
      }
  return {};
}

/// One token of causal_conv1d(): x and y [B, C]; the state [B, width - 1, C] is read and moved on. y may be x.
template <block_backend On, class E>
status causal_conv1d_step(const On& on, std::type_identity_t<blocks::rows<const E>> x,
                          const blocks::modules::conv1d<E>& w, std::type_identity_t<blocks::tokens<E>> state,
                          std::type_identity_t<blocks::rows<E>> y,
                          blocks::activation activation = blocks::activation::none) {
  if (const status found = blocks::shapes::conv1d_step<E>(x, w, state, y); !found) return found;
  const index_t B = x.template extent<axis::row>(), C = w.channels(), before = w.width() - 1;
  using Real = blocks::accumulator_of<E>;
  if (C == 0) return {};
  with_activation(activation, [&](auto act) {
    each_run(on, B, 1, [&](index_t first, index_t last, int) {
      for (index_t b = first; b < last; ++b)
        detail::vectors_of<Real>(C, [&](index_t c, auto whole, index_t count) {
          const auto read = [&](const auto* from) { return detail::load_some<Real>(from, whole, count); };
          simd<Real> sum = w.biased() ? read(w.bias.data() + c) : simd<Real>(Real(0));
          const simd<Real> now = read(&x(b, c));
          for (index_t k = 0; k < before; ++k) {
            const simd<Real> value = read(&state(b, k, c));
            sum = fma(read(w.weight.data() + k * C + c), value, sum);
            if (k > 0) detail::store_some(value, &state(b, k - 1, c), whole, count);
          }
          sum = fma(read(w.weight.data() + before * C + c), now, sum);
          if (before > 0) detail::store_some(now, &state(b, before - 1, c), whole, count);
          detail::store_some(activate<decltype(act)::value>(sum), &y(b, c), whole, count);
        });
    });
  });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
