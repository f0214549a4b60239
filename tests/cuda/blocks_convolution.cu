// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions of pictures on a GPU in each of their ways: sizes, strides, what follows them, against the formula in double.
#include <doctest/doctest.h>

#include <sextant/blocks/cuda/convolution.cuh>

#include "cuda/block_numbers.cuh"
#include "cuda/block_products.cuh"

using namespace sextant;
using namespace sextant::test;
using blocks::activation;
using gpu::blockwise::convolution_way;

namespace {

struct convolved {
  index_t B, H, W, I, O, kernel, stride, padding, gap = 0;
};

template <class E> blocks::image<E> image_at(const block_numbers<E>& x, index_t B, index_t H, index_t W, index_t C) {
  return {x.device(), {B, H, W, C}, {H * W * x.stride(), W * x.stride(), x.stride(), 1}};
}

/// The error of a convolution; infinity where it is not computed in the way that is expected.
template <class E>
double convolution_error(const convolved& p, convolution_way way, activation act = activation::none, bool plus = false,
                         bool plus_input = false, bool again = false) {
  const index_t terms = p.kernel * p.kernel * p.I;
  blocks::modules::convolution<E> w(p.I, p.O, {.kernel = p.kernel, .stride = p.stride, .padding = p.padding});
  const index_t rows = w.pixels(p.H), columns = w.pixels(p.W);
  block_numbers<E> x(p.B * p.H * p.W * p.I, 1, p.I, p.gap), weight(p.O * terms, 2, terms), bias(p.O, 3);
  block_numbers<E> more(p.B * rows * columns * p.O, 4, p.O, p.gap);
  auto y = block_numbers<E>::poisoned(p.B * rows * columns * p.O, p.O, p.gap);
  w.weight = {weight.device(), {p.O, terms}}, w.bias = {bias.device(), {p.O}};
  const blocks::image<const E> in = image_at(x, p.B, p.H, p.W, p.I);
  const blocks::image<E> out = image_at(y, p.B, rows, columns, p.O);
  blocks::after_convolution<E> after{.act = act, .plus_input = plus_input};
  if (plus) after.plus = image_at(more, p.B, rows, columns, p.O);
  CHECK(gpu::blockwise::way_of<E>(in, w, out, after) == way);
  const device_memory memory(gpu::convolution_bytes(gpu::stream{}, p.B, p.H, p.W, w));
  const gpu::block_stream on(gpu::stream{.memory = {memory.data(), memory.size()}}, products());
  const auto call = [&] { return convolution(on, in, w, out, after); };
  if (again && !repeats(y, call)) return 1e9;
  if (const status done = call(); !done) {
    MESSAGE(done.what);
    return 1e9;
  }
  return block_error(y, p.B * rows * columns, p.O, [&](index_t at, index_t o) {
    const index_t b = at / (rows * columns), i = at / columns % rows * p.stride - p.padding,
                  j = at % columns * p.stride - p.padding;
    double sum = bias(o);
    for (index_t u = 0; u < p.kernel; ++u)
      for (index_t v = 0; v < p.kernel; ++v)
        if (i + u >= 0 && i + u < p.H && j + v >= 0 && j + v < p.W)
          for (index_t c = 0; c < p.I; ++c)
            sum += weight(o, (u * p.kernel + v) * p.I + c) * x((b * p.H + i + u) * p.W + j + v, c);
    sum = activated(act, sum);
    if (plus) sum += more(at, o);
    return plus_input ? sum + x(at, o) : sum;
  });
}
template <class E> void hold(const convolved& p, convolution_way way) {
  INFO("B ", p.B, " ", p.H, " x ", p.W, " ", p.I, " to ", p.O, " kernel ", p.kernel, " stride ", p.stride, " bytes ",
       sizeof(E));
  CHECK(convolution_error<E>(p, way) <= block_tolerance<E>);
  CHECK(convolution_error<E>(p, way, activation::relu, true) <= block_tolerance<E>);
}

}  // namespace

TEST_CASE("convolutions by the tensor cores, of tiles that are not full, channels that fill no group") {
  if (!has_gpu()) return;
  for (const index_t stride : {1, 2})
    for (const index_t H : {1, 7, 16, 19})
      for (const index_t W : {2, 15, 33}) {
        hold<bfloat16>({2, H, W, 32, 32, 3, stride, 1}, convolution_way::tiles);
        hold<float16>({1, H, W, 16, 56, 3, stride, 1, 8}, convolution_way::tiles);
      }
  hold<bfloat16>({1, 9, 9, 48, 8, 2, 2, 0}, convolution_way::tiles);
  hold<bfloat16>({3, 56, 56, 32, 64, 3, 2, 1}, convolution_way::tiles);
  hold<bfloat16>({3, 56, 56, 32, 256, 3, 2, 1}, convolution_way::unfolded);
  hold<float16>({1, 12, 20, 32, 40, 5, 1, 2}, convolution_way::tiles);
  CHECK(convolution_error<bfloat16>({2, 20, 40, 32, 32, 3, 1, 1}, convolution_way::tiles, activation::relu, true, true,
                                    true) <= block_tolerance<bfloat16>);
}

TEST_CASE("convolutions of few terms: a stem's") {
  if (!has_gpu()) return;
  for (const index_t W : {5, 31, 32, 264}) {  // rows of whole pieces and others, one tile and two
    hold<bfloat16>({2, 23, W, 3, 32, 3, 2, 1}, convolution_way::few_terms);
    hold<float16>({1, 16, W, 3, 96, 4, 4, 0}, convolution_way::few_terms);
    hold<float>({2, 9, W, 3, 37, 3, 1, 1, 3}, convolution_way::few_terms);
    hold<double>({1, 9, W, 3, 8, 3, 2, 1}, convolution_way::few_terms);
  }
  hold<bfloat16>({2, 19, 64, 2, 40, 5, 1, 2}, convolution_way::few_terms);
  hold<float16>({1, 17, 40, 4, 8, 2, 3, 1}, convolution_way::few_terms);
  CHECK(convolution_error<float>({1, 8, 8, 4, 4, 3, 1, 1}, convolution_way::few_terms, activation::silu, true, true,
                                 true) <= block_tolerance<float>);
}

TEST_CASE("convolutions that are products, unfolded or not") {
  if (!has_gpu()) return;
  hold<bfloat16>({2, 7, 9, 24, 40, 1, 1, 0}, convolution_way::product);
  hold<float>({2, 7, 9, 24, 40, 1, 1, 0, 8}, convolution_way::product);
  hold<float>({2, 13, 9, 32, 32, 3, 1, 1}, convolution_way::unfolded);
  hold<double>({1, 13, 9, 12, 20, 3, 2, 1}, convolution_way::unfolded);
  hold<bfloat16>({1, 13, 9, 15, 20, 3, 2, 1}, convolution_way::unfolded);
  hold<float>({5, 56, 56, 96, 16, 3, 1, 1}, convolution_way::unfolded);  // more than fits at a time
}

namespace {

/// The error of a stem's last two layers in one kernel, at pixels of a picture that is not whole tiles; infinity where
/// they are not.
template <class E> double two_convolutions_error(index_t B, index_t H, index_t W, index_t padding, index_t gap) {
  constexpr index_t I = 32, C = 256, O = 64, terms = 9 * I;
  blocks::modules::convolution<E> first(I, C, {.kernel = 3, .stride = 2, .padding = padding}), second(C, O, {});
  const index_t rows = first.pixels(H), columns = first.pixels(W);
  block_numbers<E> x(B * H * W * I, 1, I, gap), w1(C * terms, 2, terms), b1(C, 3), w2(O * C, 4, C), b2(O, 5);
  auto y = block_numbers<E>::poisoned(B * rows * columns * O, O, gap);
  first.weight = {w1.device(), {C, terms}}, first.bias = {b1.device(), {C}};
  second.weight = {w2.device(), {O, C}}, second.bias = {b2.device(), {O}};
  const blocks::image<const E> in = image_at(x, B, H, W, I);
  const blocks::image<E> out = image_at(y, B, rows, columns, O);
  const gpu::block_stream on({}, products());
  const auto call = [&] { return two_convolutions(on, in, first, second, out); };
  CHECK(takes_two_convolutions(on, in, first, second, out));
  if (!repeats(y, call)) return 1e9;
  std::vector<double> between(std::size_t(B * rows * columns * C));
  for (index_t at = 0; at < B * rows * columns; ++at)
    for (index_t c = 0; c < C; ++c) {
      const index_t b = at / (rows * columns), i = at / columns % rows * 2 - padding, j = at % columns * 2 - padding;
      double sum = b1(c);
      for (index_t u = 0; u < 3; ++u)
        for (index_t v = 0; v < 3; ++v)
          if (i + u >= 0 && i + u < H && j + v >= 0 && j + v < W)
            for (index_t k = 0; k < I; ++k) sum += w1(c, (u * 3 + v) * I + k) * x((b * H + i + u) * W + j + v, k);
      between[std::size_t(at * C + c)] = double(E(float(activated(activation::relu, sum))));
    }
  return block_error(y, B * rows * columns, O, [&](index_t at, index_t o) {
    double sum = b2(o);
    for (index_t c = 0; c < C; ++c) sum += w2(o, c) * between[std::size_t(at * C + c)];
    return sum;
  });
}

}  // namespace

TEST_CASE("two convolutions in one kernel: a stem's last") {
  if (!has_gpu() || gpu::device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) return;
  CHECK(two_convolutions_error<bfloat16>(1, 16, 16, 1, 0) <= block_tolerance<bfloat16>);
  CHECK(two_convolutions_error<bfloat16>(3, 1, 1, 1, 8) <= block_tolerance<bfloat16>);
  CHECK(two_convolutions_error<float16>(2, 23, 18, 1, 8) <= block_tolerance<float16>);
  CHECK(two_convolutions_error<bfloat16>(1, 5, 40, 0, 0) <= block_tolerance<bfloat16>);
  CHECK(two_convolutions_error<bfloat16>(7, 67, 45, 1, 0) <= block_tolerance<bfloat16>);  // several tiles to a group
}
