// SPDX-License-Identifier: Apache-2.0
/// @file  Blocks' operations on pictures on a GPU: sizes, strides, what follows a convolution, against their formulas in double.
#include <doctest/doctest.h>

#include <sextant/blocks/cuda/depthwise.cuh>
#include <sextant/blocks/cuda/tokens.cuh>

#include "cuda/block_numbers.cuh"

using namespace sextant;
using namespace sextant::test;
using blocks::activation;

namespace {

struct picture {
  index_t B, H, W, C, gap = 0;
  index_t pixels() const { return B * H * W; }
};

template <class E> blocks::image<E> image_at(E* data, const picture& p) {
  const index_t step = p.C + p.gap;
  return {data, {p.B, p.H, p.W, p.C}, {p.H * p.W * step, p.W * step, step, 1}};
}

/// The error of depthwise_3x3 on such a picture.
template <class E>
double depthwise_error(const picture& p, int stride, activation act, bool plus_input, bool plus, bool biased,
                       bool again = false) {
  using real = blocks::accumulator_of<E>;
  const picture out{p.B, (p.H + stride - 1) / stride, (p.W + stride - 1) / stride, p.C, p.gap};
  block_numbers<E> x(p.pixels() * p.C, 1, p.C, p.gap), more(out.pixels() * p.C, 2, p.C, p.gap);
  block_numbers<real> weight(9 * p.C, 3, p.C), bias(p.C, 4);
  auto y = block_numbers<E>::poisoned(out.pixels() * p.C, p.C, p.gap);
  blocks::modules::depthwise<E> w(p.C, biased);
  w.weight = {weight.device(), {9, p.C}};
  if (biased) w.bias = {bias.device(), {p.C}};
  const blocks::after_convolution<E> after{
      .act = act,
      .plus_input = plus_input,
      .plus = plus ? blocks::image<const E>(image_at(more.device(), out)) : blocks::image<const E>{}};
  const auto call = [&] {
    return depthwise_3x3(gpu::stream{}, image_at(x.device(), p), w, image_at(y.device(), out), after, stride);
  };
  if (again && !repeats(y, call)) return 1e9;
  if (const status done = call(); !done) {
    MESSAGE(done.what);
    return 1e9;
  }
  return block_error(y, out.pixels(), p.C, [&](index_t at, index_t c) {
    const index_t b = at / (out.H * out.W), i = stride * (at / out.W % out.H), j = stride * (at % out.W);
    double sum = biased ? bias(c) : 0;
    for (index_t u = -1; u <= 1; ++u)
      for (index_t v = -1; v <= 1; ++v)
        if (i + u >= 0 && i + u < p.H && j + v >= 0 && j + v < p.W)
          sum += weight(3 * u + v + 4, c) * x((b * p.H + i + u) * p.W + j + v, c);
    sum = activated(act, sum);
    if (plus_input) sum += x((b * p.H + i) * p.W + j, c);
    return plus ? sum + more(at, c) : sum;
  });
}
template <class E> void hold_depthwise(const picture& p) {
  INFO("B ", p.B, " H ", p.H, " W ", p.W, " C ", p.C, " gap ", p.gap, " bytes ", sizeof(E));
  CHECK(depthwise_error<E>(p, 1, activation::none, true, false, true) <= block_tolerance<E>);
  CHECK(depthwise_error<E>(p, 1, activation::silu, false, false, true) <= block_tolerance<E>);
  CHECK(depthwise_error<E>(p, 1, activation::relu, true, true, false) <= block_tolerance<E>);
  CHECK(depthwise_error<E>(p, 2, activation::relu, false, false, true) <= block_tolerance<E>);
  CHECK(depthwise_error<E>(p, 2, activation::none, false, true, true) <= block_tolerance<E>);
}
void hold_all(const picture& p) {
  hold_depthwise<bfloat16>(p), hold_depthwise<float16>(p), hold_depthwise<float>(p), hold_depthwise<double>(p);
}

/// A residual convolution with the norm behind it, in one call.
template <class E> void hold_normed(const picture& p) {
  INFO("B ", p.B, " H ", p.H, " W ", p.W, " C ", p.C, " gap ", p.gap, " bytes ", sizeof(E));
  using real = blocks::accumulator_of<E>;
  const index_t n = p.pixels(), C = p.C;
  block_numbers<E> x(n * C, 1, C, p.gap);
  block_numbers<real> weight(9 * C, 3, C), bias(C, 4), scale(C, 5), shift(C, 6);
  auto y = block_numbers<E>::poisoned(n * C, C, p.gap), normed = block_numbers<E>::poisoned(n * C, C, p.gap);
  blocks::modules::depthwise<E> w(C);
  w.weight = {weight.device(), {9, C}}, w.bias = {bias.device(), {C}};
  blocks::modules::layer_norm<E> norm(C);
  norm.weight = {scale.device(), {C}}, norm.bias = {shift.device(), {C}};
  const auto call = [&] {
    return depthwise_3x3_layer_norm(gpu::stream{}, image_at(x.device(), p), w, image_at(y.device(), p), norm,
                                    blocks::rows<E>(normed.device(), {n, C}, {normed.stride(), 1}),
                                    {.plus_input = true});
  };
  CHECK(repeats(normed, call));
  CHECK(block_error(y, n, C, [&](index_t at, index_t c) {
          const index_t b = at / (p.H * p.W), i = at / p.W % p.H, j = at % p.W;
          double sum = bias(c) + x(at, c);
          for (index_t u = -1; u <= 1; ++u)
            for (index_t v = -1; v <= 1; ++v)
              if (i + u >= 0 && i + u < p.H && j + v >= 0 && j + v < p.W)
                sum += weight(3 * u + v + 4, c) * x((b * p.H + i + u) * p.W + j + v, c);
          return sum;
        }) <= block_tolerance<E>);
  std::vector<double> means, factors;
  for (index_t at = 0; at < n; ++at) {
    double mean = 0, square = 0;
    for (index_t k = 0; k < C; ++k) mean += y(at, k) / double(C);
    for (index_t k = 0; k < C; ++k) square += (y(at, k) - mean) * (y(at, k) - mean) / double(C);
    means.push_back(mean), factors.push_back(1 / std::sqrt(square + norm.eps));
  }
  CHECK(block_error(normed, n, C, [&](index_t at, index_t c) {
          return (y(at, c) - means[std::size_t(at)]) * factors[std::size_t(at)] * scale(c) + shift(c);
        }) <= block_tolerance<E>);
}

}  // namespace

TEST_CASE("a convolution and the norm behind it in one pass, where the channels let it") {
  if (!has_gpu()) return;
  for (const index_t C : {8, 16, 64, 96, 128, 256, 512})
    for (const index_t W : {5, 28}) {
      hold_normed<bfloat16>({2, 9, W, C});
      hold_normed<float>({1, 6, W, C, 4});
    }
  hold_normed<float16>({3, 14, 14, 256});
  hold_normed<double>({1, 7, 11, 32});
  hold_normed<bfloat16>({2, 56, 56, 64});
}

TEST_CASE("depthwise convolutions of pictures of many sizes") {
  if (!has_gpu()) return;
  for (const index_t H : {1, 2, 3, 7, 12, 57})
    for (const index_t W : {1, 5, 28, 71}) hold_all({1, H, W, 16});
  for (const index_t C : {1, 3, 8, 24, 40, 96, 512}) hold_all({2, 7, 9, C});
  hold_all({3, 14, 14, 256});
  hold_all({2, 56, 56, 64});
}

TEST_CASE("depthwise convolutions whose rows take nearly 48 KB of shared memory") {
  if (!has_gpu()) return;
  hold_all({1, 4, 190, 8});
  hold_all({1, 4, 94, 16});
  hold_all({1, 4, 280, 24});
}

TEST_CASE("depthwise convolutions of parts of wider rows, whole pieces and not") {
  if (!has_gpu()) return;
  hold_all({2, 9, 30, 32, 16});
  hold_all({2, 9, 30, 32, 3});
}

TEST_CASE("every function behind a depthwise convolution; the same bits again") {
  if (!has_gpu()) return;
  for (const activation act :
       {activation::none, activation::relu, activation::gelu, activation::silu, activation::softplus}) {
    CHECK(depthwise_error<float>({1, 6, 6, 8}, 1, act, true, true, true) <= block_tolerance<float>);
    CHECK(depthwise_error<bfloat16>({1, 6, 6, 8}, 2, act, false, true, true) <= block_tolerance<bfloat16>);
    CHECK(depthwise_error<bfloat16>({2, 9, 7, 24}, 1, act, true, true, true) <= block_tolerance<bfloat16>);
    CHECK(depthwise_error<double>({1, 6, 6, 8}, 1, act, true, true, true) <= block_tolerance<double>);
  }
  CHECK(depthwise_error<bfloat16>({5, 28, 28, 128}, 1, activation::silu, false, false, true, true) <=
        block_tolerance<bfloat16>);
}

TEST_CASE("strides of rows that no int holds are refused, with the norm in the same pass and without") {
  using tokens = blocks::image<float>;
  const index_t far = (index_t(1) << 32) + 64;  // 64 as an int
  alignas(64) float numbers[256] = {};          // which nothing reads
  blocks::modules::depthwise<float> w(8);
  w.weight = {numbers, {9, 8}}, w.bias = {numbers, {8}};
  blocks::modules::layer_norm<float> norm(8);
  norm.weight = {numbers, {8}}, norm.bias = {numbers, {8}};
  const tokens near(numbers, {1, 2, 1, 8}, {128, 64, 64, 1}), wide(numbers, {1, 2, 1, 8}, {2 * far, far, far, 1});
  const blocks::rows<float> normed(numbers, {2, 8}, {64, 1});
  for (const auto& [x, y] : {std::pair{wide, near}, {near, wide}}) {
    CHECK(depthwise_3x3(gpu::stream{}, x, w, y).code == errc::shape);
    CHECK(depthwise_3x3_layer_norm(gpu::stream{}, x, w, y, norm, normed).code == errc::shape);
  }
}

TEST_CASE("depthwise convolutions of nothing, and refusals") {
  if (!has_gpu()) return;
  CHECK(depthwise_error<float>({0, 4, 4, 8}, 1, activation::none, false, false, true) == 0);
  CHECK(depthwise_error<float>({1, 0, 4, 8}, 2, activation::none, false, false, true) == 0);
  blocks::modules::depthwise<float> unbound(8);
  CHECK(depthwise_3x3(gpu::stream{}, {}, unbound, {}).code == errc::missing);
}

TEST_CASE("patches of four pixels, odd edges and pieces of any size") {
  if (!has_gpu()) return;
  const auto hold = [](auto number, const picture& p) {
    using E = decltype(number);
    block_numbers<E> x(p.pixels() * p.C, 1, p.C, p.gap);
    const index_t rows = (p.H + 1) / 2, columns = (p.W + 1) / 2;
    auto y = block_numbers<E>::poisoned(p.B * rows * columns * 4 * p.C, 4 * p.C, p.gap);
    const blocks::rows<E> to(y.device(), {p.B * rows * columns, 4 * p.C}, {y.stride(), 1});
    CHECK(bool(merge_patches(gpu::stream{}, blocks::image<const E>(image_at(x.device(), p)), to)));
    CHECK(block_error(y, to.extent(0), 4 * p.C, [&](index_t at, index_t c) {
            const index_t b = at / (rows * columns), i = 2 * (at / columns % rows) + c / p.C % 2,
                          j = 2 * (at % columns) + c / p.C / 2;
            return i < p.H && j < p.W ? x((b * p.H + i) * p.W + j, c % p.C) : 0;
          }) == 0);
  };
  for (const picture& p : {picture{2, 7, 9, 8}, picture{1, 4, 6, 96}, picture{3, 1, 1, 5}, picture{2, 3, 2, 16, 8}})
    hold(bfloat16{}, p), hold(float{}, p), hold(double{}, p);
}
