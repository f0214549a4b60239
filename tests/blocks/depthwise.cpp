// SPDX-License-Identifier: Apache-2.0
/// @file  Depthwise 3x3 convolutions on the CPU against plain loops in double.
#include <doctest/doctest.h>

#include <sextant/blocks/cpu/depthwise.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;
using blocks::activation;

namespace {

template <class E> void check(index_t B, index_t H, index_t W, index_t C, int stride, activation act, int more) {
  CAPTURE(H);
  CAPTURE(W);
  CAPTURE(C);
  CAPTURE(stride);
  CAPTURE(more);
  dice d{std::uint64_t(H * 100 + W * 10 + C)};
  const cpu::parallel on{{}, 2};
  const index_t h = (H + stride - 1) / stride, v = (W + stride - 1) / stride;
  with_weights layer(blocks::modules::depthwise<E>(C, more != 3), d);
  const auto& w = layer.module;
  table<E> x(B * H * W, C, 3, d), plus(B * h * v, C, 1, d), y(B * h * v, C, 2);
  blocks::after_convolution<E> after{.act = act, .plus_input = more == 1};
  if (more == 2) after.plus = plus.pictures(B, h, v);
  REQUIRE(depthwise_3x3(on, x.pictures(B, H, W), w, y.pictures(B, h, v), after, stride));
  CHECK(error_of(y, [&](index_t pixel, index_t c) {
          const index_t b = pixel / (h * v), i = pixel / v % h * stride, j = pixel % v * stride;
          double sum = w.biased() ? double(w.bias(c)) : 0;
          for (index_t tap = 0; tap < 9; ++tap) {
            const index_t row = i + tap / 3 - 1, column = j + tap % 3 - 1;
            if (row < 0 || row >= H || column < 0 || column >= W) continue;
            sum += double(w.weight(tap, c)) * x.value((b * H + row) * W + column, c);
          }
          if (act == activation::silu) sum /= 1 + std::exp(-sum);
          if (act == activation::relu && sum < 0) sum = 0;
          if (more == 1) sum += x.value((b * H + i) * W + j, c);
          return more == 2 ? sum + plus.value(pixel, c) : sum;
        }) <= tolerance<E>);
  CHECK(y.gaps_untouched());
}

/// The convolution and the norm in one are the one and then the other, to the bit.
template <class E> void check_with_norm(index_t B, index_t H, index_t W, index_t C) {
  CAPTURE(H);
  CAPTURE(W);
  CAPTURE(C);
  dice d{std::uint64_t(H * 100 + W * 10 + C)};
  const cpu::parallel on{{}, 2};
  with_weights layer(blocks::modules::depthwise<E>(C), d);
  with_weights norm(blocks::modules::layer_norm<E>(C), d);
  table<E> x(B * H * W, C, 3, d), y(B * H * W, C, 2), normed(B * H * W, C, 1), z(B * H * W, C), of_z(B * H * W, C);
  constexpr blocks::after_convolution<E> residual{.plus_input = true};
  REQUIRE(depthwise_3x3_layer_norm(on, x.pictures(B, H, W), layer.module, y.pictures(B, H, W), norm.module, normed,
                                   residual));
  REQUIRE(depthwise_3x3(on, x.pictures(B, H, W), layer.module, z.pictures(B, H, W), residual));
  REQUIRE(layer_norm(on, z, norm.module, of_z));
  CHECK(error_of(y, [&](index_t i, index_t c) { return z.value(i, c); }) == 0);
  CHECK(error_of(normed, [&](index_t i, index_t c) { return of_z.value(i, c); }) == 0);
  CHECK((y.gaps_untouched() && normed.gaps_untouched()));
}

template <class E> void check_all() {
  for (const index_t H : {1, 2, 3, 8})
    for (const index_t W : {1, 2, 3, 7})
      for (const index_t C : {1, 17, 48})
        for (const int stride : {1, 2})
          check<E>(H % 3 + 1, H, W, C, stride, C == 17 ? activation::silu : activation::none,
                   int(stride == 2 ? 2 * (W % 2) : (H + W + C) % 4));
  check<E>(0, 3, 3, 5, 1, activation::none, 0);
  check<E>(1, 0, 3, 5, 1, activation::none, 0);
  check<E>(2, 5, 6, 33, 2, activation::relu, 3);
  for (const index_t H : {0, 1, 9})
    for (const index_t C : {1, 40}) check_with_norm<E>(2, H, 5, C);
}

}  // namespace

TEST_CASE("depthwise: float") { check_all<float>(); }
TEST_CASE("depthwise: double") { check_all<double>(); }
TEST_CASE("depthwise: bfloat16") { check_all<bfloat16>(); }
TEST_CASE("depthwise: float16") { check_all<float16>(); }

TEST_CASE("depthwise: what lies beyond the picture is nought, however infinite the picture") {
  dice d;
  with_weights layer(blocks::modules::depthwise<float>(4), d);
  table<float> x(9, 4, 0, d), y(9, 4);
  x.at(4, 1) = std::numeric_limits<float>::infinity();  // the middle of three rows
  REQUIRE(depthwise_3x3(cpu::serial{}, x.pictures(1, 3, 3), layer.module, y.pictures(1, 3, 3)));
  for (index_t i = 0; i < 9; ++i) CHECK(std::isinf(y.at(i, 1)));
  for (index_t i = 0; i < 9; ++i) CHECK(std::isfinite(y.at(i, 0)));
}
