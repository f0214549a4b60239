// SPDX-License-Identifier: Apache-2.0
/// @file  Dense convolutions on the CPU against plain loops in double.
#include <doctest/doctest.h>

#include <sextant/blocks/cpu/convolution.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;
using blocks::activation;

namespace {

template <class E>
void check(index_t B, index_t H, index_t W, index_t I, index_t O, index_t kernel, index_t stride, index_t padding,
           int more, index_t gap = 3, index_t beside = 0) {
  CAPTURE(H);
  CAPTURE(W);
  CAPTURE(I);
  CAPTURE(O);
  CAPTURE(kernel);
  CAPTURE(more);
  dice d{std::uint64_t(H * 100 + W * 10 + I)};
  cpu::parallel on{{}, 2};
  with_weights layer(blocks::modules::convolution<E>(
                         I, O, {.kernel = kernel, .stride = stride, .padding = padding, .biased = more != 0}),
                     d);
  const auto& w = layer.module;
  const index_t h = w.pixels(H), v = w.pixels(W);
  // Pictures are the left parts of these, which have more columns.
  table<E> x(B * H * (W + beside), I, gap, d), plus(B * h * (v + beside), O, 1, d), y(B * h * (v + beside), O, 2);
  scratch memory(convolution_bytes(on, B, H, W, w));
  on.memory = memory;
  blocks::after_convolution<E> after{.act = more == 1 ? activation::relu : activation::none, .plus_input = more == 3};
  const auto left = [&](table<E>& of, index_t height, index_t width) {
    const blocks::image<E> whole = of.pictures(B, height, width + beside);
    return blocks::image<E>(whole.data(), {B, height, width, of.length},
                            {whole.stride(0), whole.stride(1), whole.stride(2), whole.stride(3)});
  };
  for (index_t i = 0; i < y.n; ++i)  // nobody's pixels stay as they are
    for (index_t o = 0; i % (v + beside) >= v && o < O; ++o) y.at(i, o) = E(0);
  if (more >= 2) after.plus = left(plus, h, v);
  REQUIRE(convolution(on, left(x, H, W), w, left(y, h, v), after));
  CHECK(error_of(y, [&](index_t pixel, index_t o) {
          const index_t b = pixel / (h * (v + beside)), i = pixel / (v + beside) % h, j = pixel % (v + beside);
          if (j >= v) return 0.0;
          double sum = more != 0 ? double(w.bias(o)) : 0;
          for (index_t a = 0; a < kernel; ++a)
            for (index_t c = 0; c < kernel; ++c) {
              const index_t row = i * stride - padding + a, column = j * stride - padding + c;
              if (row < 0 || row >= H || column < 0 || column >= W) continue;
              for (index_t k = 0; k < I; ++k)
                sum +=
                    double(w.weight(o, (a * kernel + c) * I + k)) * x.value((b * H + row) * (W + beside) + column, k);
            }
          if (more == 1 && sum < 0) sum = 0;
          if (more >= 2) sum += plus.value(pixel, o);
          return more == 3 ? sum + x.value((b * H + i) * (W + beside) + j, o) : sum;
        }) <= tolerance<E>);
  CHECK(y.gaps_untouched());
}

template <class E> void check_all() {
  check<E>(1, 7, 9, 3, 8, 3, 2, 1, 0);
  check<E>(2, 5, 4, 17, 17, 3, 1, 1, 3);
  check<E>(2, 1, 1, 5, 40, 3, 1, 1, 1);
  check<E>(1, 8, 9, 3, 33, 4, 4, 0, 2);
  check<E>(3, 6, 5, 20, 7, 1, 1, 0, 2);
  check<E>(1, 20, 21, 6, 5, 3, 2, 1, 1);
  check<E>(1, 2, 2, 3, 4, 4, 4, 0, 1);  // no pixel
  check<E>(2, 9, 11, 3, 20, 3, 2, 1, 1, 0);
  check<E>(1, 23, 22, 17, 17, 3, 1, 1, 3, 0, 2);
  check<E>(2, 13, 7, 30, 40, 1, 1, 0, 2, 1, 3);
  check<E>(1, 21, 20, 40, 33, 1, 1, 0, 1, 0);
  check<E>(2, 9, 8, 17, 20, 1, 2, 0, 1);  // one tap, but not the pixels as they lie
  check<E>(1, 5, 6, 17, 20, 1, 1, 1, 1);
  check<E>(0, 5, 5, 3, 4, 3, 1, 1, 1);
}

}  // namespace

TEST_CASE("convolution: float") { check_all<float>(); }
TEST_CASE("convolution: double") { check_all<double>(); }
TEST_CASE("convolution: bfloat16") { check_all<bfloat16>(); }
TEST_CASE("convolution: float16") { check_all<float16>(); }
