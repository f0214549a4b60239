// SPDX-License-Identifier: Apache-2.0
/// @file  Causal convolutions along time on the CPU against plain loops in double: whole, in two pieces, token by token.
#include <doctest/doctest.h>

#include <sextant/blocks/cpu/conv1d.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;
using blocks::activation;

namespace {

template <class E> void check(index_t B, index_t T, index_t C, index_t width, bool stateful) {
  CAPTURE(T);
  CAPTURE(C);
  CAPTURE(width);
  CAPTURE(stateful);
  dice d{std::uint64_t(T * 100 + C * 10 + width)};
  const cpu::parallel on{{}, 2};
  const index_t before = width - 1;
  with_weights layer(blocks::modules::conv1d<E>(C, width, C != 17), d);
  const auto& w = layer.module;
  table<E> x(B * T, C, 3, d), y(B * T, C, 2), again(B * T, C, 1), first(B * before, C, 1, d), last(B * before, C, 2);
  table<E> state(B * before, C, 1);
  for (index_t i = 0; i < B * before; ++i)
    for (index_t c = 0; c < C; ++c) state.at(i, c) = stateful ? first.at(i, c) : E(0.0f);
  const auto input = [&](index_t b, index_t t, index_t c) {
    return t >= 0 ? x.value(b * T + t, c) : stateful ? first.value(b * before + t + before, c) : 0.0;
  };
  const auto exact = [&](index_t row, index_t c) {
    const index_t b = row / T, t = row % T;
    double sum = w.biased() ? double(w.bias(c)) : 0;
    for (index_t k = 0; k < width; ++k) sum += double(w.weight(k, c)) * input(b, t - before + k, c);
    return sum / (1 + std::exp(-sum));
  };
  const auto initial = stateful ? blocks::tokens<const E>(first.sequences(B, before)) : blocks::tokens<const E>{};
  REQUIRE(
      causal_conv1d(on, x.sequences(B, T), w, y.sequences(B, T), activation::silu, initial, last.sequences(B, before)));
  CHECK(error_of(y, exact) <= tolerance<E>);
  CHECK(y.gaps_untouched());
  CHECK(error_of(last, [&](index_t row, index_t c) { return input(row / before, T - before + row % before, c); }) == 0);

  for (index_t t = 0; t < T; ++t) {
    const auto now = x.sequences(B, T);
    const blocks::rows<const E> token(now.data() + t * x.step, {B, C}, {T * x.step, 1});
    const blocks::rows<E> result(again.memory.data() + t * again.step, {B, C}, {T * again.step, 1});
    REQUIRE(causal_conv1d_step(on, token, w, state.sequences(B, before), result, activation::silu));
  }
  CHECK(error_of(again, exact) <= tolerance<E>);
  CHECK(error_of(state, [&](index_t row, index_t c) { return last.value(row, c); }) == 0);
}

template <class E> void check_all() {
  for (const index_t T : {0, 1, 2, 5, 40})
    for (const index_t C : {1, 17, 48})
      for (const index_t width : {1, 2, 4}) check<E>(T % 3 + 1, T, C, width, (T + C) % 2 == 0);
}

}  // namespace

TEST_CASE("conv1d: float") { check_all<float>(); }
TEST_CASE("conv1d: double") { check_all<double>(); }
TEST_CASE("conv1d: bfloat16") { check_all<bfloat16>(); }
TEST_CASE("conv1d: float16") { check_all<float16>(); }

TEST_CASE("conv1d: the final state may be the initial one") {
  dice d;
  for (const index_t T : {1, 2, 9}) {
    with_weights layer(blocks::modules::conv1d<float>(5), d);
    table<float> x(T, 5, 0, d), y(T, 5), z(T, 5), state(3, 5, 0, d), last(3, 5);
    REQUIRE(causal_conv1d(cpu::serial{}, x.sequences(1, T), layer.module, y.sequences(1, T), activation::none,
                          state.sequences(1, 3), last.sequences(1, 3)));
    REQUIRE(causal_conv1d(cpu::serial{}, x.sequences(1, T), layer.module, z.sequences(1, T), activation::none,
                          state.sequences(1, 3), state.sequences(1, 3)));
    CHECK(error_of(z, [&](index_t i, index_t j) { return y.value(i, j); }) == 0);
    CHECK(error_of(state, [&](index_t i, index_t j) { return last.value(i, j); }) == 0);
  }
}
