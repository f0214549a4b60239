// SPDX-License-Identifier: Apache-2.0
/// @file  A small network in which every kind of tensor stands: what checkpoints are tested and fuzzed with.
#pragma once

#include <sextant/blocks/module.hpp>

namespace sextant::test {

/// A unit of a stage.
template <class E> struct unit {
  blocks::modules::linear<E> both{3, {{"q.weight", "q.bias", 2}, {"k.weight", "k.bias", 4}}};
  blocks::modules::conv1d<E> conv{5, 4};
  template <class Visit> constexpr void each(const Visit& visit) { visit("", both), visit("conv1d", conv); }
};
/// A network in which every kind of tensor stands.
template <class E> struct network {
  using real = blocks::accumulator_of<E>;
  using rate = view<const real, axis::value, axis::key>;
  blocks::modules::convolution<E> stem{2, 3, {.kernel = 3, .biased = false, .normalised = true}};
  blocks::modules::convolution<E> last{3, 4, {.biased = true, .normalised = true}};
  blocks::modules::depthwise<E> cpe{7};
  blocks::repeated<unit<E>> units{unit<E>{}, 3};
  blocks::modules::parameter<rate> rates{
      rate(nullptr, {4, 6}), {blocks::start::rule::log_of_count}, blocks::kept::minus_exp};
  blocks::modules::layer_norm<E> norm{5};
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("stem.conv", stem), visit("last.conv", last), visit("cpe", cpe), visit("layers.0.units", units);
    visit("mixer.A_log", rates), visit("norm", norm);
  }
};

}  // namespace sextant::test
