// SPDX-License-Identifier: Apache-2.0
/// @file  Blocks' operations on rows and tokens on a GPU: sizes, strides, in place, against their formulas in double.
#include <doctest/doctest.h>

#include <sextant/blocks/cuda/operations.cuh>

#include "cuda/block_numbers.cuh"
#include "cuda/block_products.cuh"

using namespace sextant;
using namespace sextant::test;
using blocks::activation;

namespace {

template <class E> blocks::tokens<E> tokens_at(const block_numbers<E>& x, index_t B, index_t T, index_t C) {
  return {x.device(), {B, T, C}, {T * x.stride(), x.stride(), 1}};
}
/// A row's mean and 1 / sqrt(variance + eps), or with no mean.
template <class Row> std::pair<double, double> moments(const Row& row, index_t C, double eps, bool centred) {
  double mean = 0, square = 0;
  for (index_t j = 0; centred && j < C; ++j) mean += row(j) / double(C);
  for (index_t j = 0; j < C; ++j) square += (row(j) - mean) * (row(j) - mean) / double(C);
  return {mean, 1 / std::sqrt(square + eps)};
}

template <class E> void hold_norms(E, index_t n, index_t C, index_t gap) {
  INFO("rows ", n, " of ", C, " gap ", gap, " bytes ", sizeof(E));
  using real = blocks::accumulator_of<E>;
  block_numbers<E> x(n * C, 1, C, gap), z(n * C, 2, C, gap);
  block_numbers<real> weight(C, 3), bias(C, 4);
  const double eps = 1e-5;
  blocks::modules::layer_norm<E> layer(C, eps);
  layer.weight = {weight.device(), {C}}, layer.bias = {bias.device(), {C}};
  blocks::modules::rms_norm<E> rms(C, eps);
  rms.weight = layer.weight;
  const auto in = rows_at(x, n, C), other = rows_at(z, n, C);
  // |x - mean| / deviation of a row of few numbers loses what the mean cancels.
  const double tolerance = block_tolerance<E> * (C < 8 ? 8 : 1);
  {
    auto y = block_numbers<E>::poisoned(n * C, C, gap);
    CHECK(bool(layer_norm(gpu::stream{}, in, layer, rows_at(y, n, C))));
    CHECK(block_error(y, n, C, [&](index_t i, index_t j) {
            const auto [mean, factor] = moments([&](index_t c) { return x(i, c); }, C, eps, true);
            return (x(i, j) - mean) * factor * weight(j) + bias(j);
          }) <= tolerance);
  }
  {
    auto y = block_numbers<E>::poisoned(n * C, C, gap);
    CHECK(bool(rms_norm(gpu::stream{}, in, rms, rows_at(y, n, C))));
    CHECK(block_error(y, n, C, [&](index_t i, index_t j) {
            return x(i, j) * moments([&](index_t c) { return x(i, c); }, C, eps, false).second * weight(j);
          }) <= tolerance);
  }
  {
    auto y = block_numbers<E>::poisoned(n * C, C, gap), sum = block_numbers<E>::poisoned(n * C, C, gap);
    CHECK(bool(add_layer_norm(gpu::stream{}, in, other, layer, rows_at(sum, n, C), rows_at(y, n, C))));
    CHECK(block_error(sum, n, C, [&](index_t i, index_t j) { return x(i, j) + z(i, j); }) <= block_tolerance<E>);
    CHECK(block_error(y, n, C, [&](index_t i, index_t j) {
            const auto [mean, factor] = moments([&](index_t c) { return sum(i, c); }, C, eps, true);
            return (sum(i, j) - mean) * factor * weight(j) + bias(j);
          }) <= tolerance);
    if constexpr (std::is_same_v<E, bfloat16>) {  // a residual stream in float
      block_numbers<float> stream(n * C, 7, C, gap);
      auto its_sum = block_numbers<float>::poisoned(n * C, C, gap);
      CHECK(bool(
          add_rms_norm(gpu::stream{}, rows_at(stream, n, C), other, rms, rows_at(its_sum, n, C), rows_at(y, n, C))));
      CHECK(block_error(its_sum, n, C, [&](index_t i, index_t j) { return stream(i, j) + z(i, j); }) <=
            block_tolerance<float>);
      CHECK(block_error(y, n, C, [&](index_t i, index_t j) {
              return its_sum(i, j) * moments([&](index_t c) { return its_sum(i, c); }, C, eps, false).second *
                     weight(j);
            }) <= tolerance);
    }
    CHECK(bool(add_rms_norm(gpu::stream{}, in, other, rms, rows_at(sum, n, C), rows_at(y, n, C))));
    CHECK(block_error(y, n, C, [&](index_t i, index_t j) {
            return sum(i, j) * moments([&](index_t c) { return sum(i, c); }, C, eps, false).second * weight(j);
          }) <= tolerance);
  }
  for (const index_t groups : {1, 2})
    if (C % groups == 0) {
      auto y = block_numbers<E>::poisoned(n * C, C, gap);
      CHECK(bool(gated_rms_norm(gpu::stream{}, in, other, rms, rows_at(y, n, C), groups)));
      const auto gated = [&](index_t i, index_t j) { return x(i, j) * activated(activation::silu, z(i, j)); };
      CHECK(block_error(y, n, C, [&](index_t i, index_t j) {
              const index_t width = C / groups, first = j / width * width;
              return gated(i, j) * moments([&](index_t c) { return gated(i, first + c); }, width, eps, false).second *
                     weight(j);
            }) <= 2 * tolerance);
    }
  // in place
  CHECK(bool(layer_norm(gpu::stream{}, in, layer, rows_at(x, n, C))));
  const block_numbers<E> before(n * C, 1, C, gap);
  CHECK(block_error(x, n, C, [&](index_t i, index_t j) {
          const auto [mean, factor] = moments([&](index_t c) { return before(i, c); }, C, eps, true);
          return (before(i, j) - mean) * factor * weight(j) + bias(j);
        }) <= tolerance);
}

/// The error of both layers of an MLP in one kernel.
template <class E>
double feed_forward_error(index_t n, index_t hidden, bool biased, bool plus, index_t gap, bool in_place,
                          bool normed = false) {
  const index_t C = 64;
  block_numbers<E> u(n * C, 1, C, gap), w1(hidden * C, 2, C), b1(hidden, 3), w2(C * hidden, 4, hidden), b2(C, 5);
  block_numbers<E> more(n * C, 6, C, gap);
  auto y = in_place ? block_numbers<E>(n * C, 6, C, gap) : block_numbers<E>::poisoned(n * C, C, gap);
  blocks::modules::linear<E> fc1(C, hidden, biased), fc2(hidden, C, biased);
  fc1.weight = {w1.device(), {hidden, C}}, fc2.weight = {w2.device(), {C, hidden}};
  if (biased) fc1.bias = {b1.device(), {hidden}}, fc2.bias = {b2.device(), {C}};
  const gpu::block_stream on(gpu::stream{}, products());
  const blocks::rows<const E> from = rows_at(u, n, C);
  const blocks::rows<const E> its =
      plus ? blocks::rows<const E>(rows_at(in_place ? y : more, n, C)) : blocks::rows<const E>{};
  if (!takes_feed_forward(on, from, fc1, fc2, its, rows_at(y, n, C))) return 1e9;
  block_numbers<float> scale(C, 7), shift(C, 8);
  blocks::modules::layer_norm<E> norm(C);
  norm.weight = {scale.device(), {C}}, norm.bias = {shift.device(), {C}};
  const status done = normed ? layer_norm_feed_forward(on, its, norm, fc1, fc2, rows_at(y, n, C))
                             : feed_forward(on, from, fc1, fc2, its, rows_at(y, n, C));
  if (!done) return 1e9;
  // Where the kernel normalises, what it adds to is what it normalises, and the norm's numbers are rounded as stored ones would be.
  const auto seen = [&](index_t i, index_t j) {
    if (!normed) return u(i, j);
    const auto [mean, factor] = moments([&](index_t c) { return more(i, c); }, C, norm.eps, true);
    return (more(i, j) - mean) * factor * scale(j) + shift(j);
  };
  std::vector<double> h(static_cast<std::size_t>(n * hidden));
  for (index_t i = 0; i < n; ++i) {
    double row[64];
    for (index_t j = 0; j < C; ++j) row[j] = seen(i, j);
    for (index_t k = 0; k < hidden; ++k) {
      double sum = biased ? b1(k) : 0;
      for (index_t j = 0; j < C; ++j) sum += row[j] * w1(k, j);
      h[static_cast<std::size_t>(i * hidden + k)] = activated(activation::gelu, sum);
    }
  }
  return block_error(y, n, C, [&](index_t i, index_t j) {
    double sum = biased ? b2(j) : 0;
    for (index_t k = 0; k < hidden; ++k) sum += h[static_cast<std::size_t>(i * hidden + k)] * w2(j, k);
    return plus ? sum + more(i, j) : sum;
  });
}

struct from_behind {
  index_t T;
  SEXTANT_FN index_t operator()(index_t t) const { return T - 1 - t; }
};

}  // namespace

TEST_CASE("norms of rows of many lengths, alone, behind an addition and behind a gate") {
  if (!has_gpu()) return;
  for (const index_t C : {1, 2, 7, 8, 24, 64, 96, 130, 256, 512, 1000, 1024, 2056, 5000})
    for_all_types([&](auto number) { hold_norms(number, 5, C, 0); });
  for_all_types([&](auto number) {
    hold_norms(number, 1, 64, 0), hold_norms(number, 37, 64, 16), hold_norms(number, 37, 64, 3);
    hold_norms(number, 1031, 96, 0), hold_norms(number, 0, 8, 0);
  });
}

TEST_CASE("products and sums of rows, some of which begin anew") {
  if (!has_gpu()) return;
  for (const index_t C : {1, 8, 13, 96})
    for (const index_t gap : {0, 5, 8})
      for_all_types([&](auto number) {
        using E = decltype(number);
        const index_t n = 12;
        block_numbers<E> a(n * C, 1, C, gap), b(n * C, 2, C, gap);
        auto y = block_numbers<E>::poisoned(n * C, C, gap);
        const blocks::rows<const E> first = rows_at(a, n, C), second = rows_at(b, n, C);
        CHECK(bool(multiply(gpu::stream{}, first, second, rows_at(y, n, C))));
        CHECK(block_error(y, n, C, [&](index_t i, index_t j) { return a(i, j) * b(i, j); }) <= block_tolerance<E>);
        CHECK(bool(times_silu(gpu::stream{}, first, second, rows_at(y, n, C))));
        CHECK(block_error(y, n, C, [&](index_t i, index_t j) {
                return a(i, j) * activated(activation::silu, b(i, j));
              }) <= block_tolerance<E>);
        CHECK(bool(add(gpu::stream{}, first, rows_at(b, 4, C), rows_at(y, n, C))));
        CHECK(block_error(y, n, C, [&](index_t i, index_t j) { return a(i, j) + b(i % 4, j); }) <= block_tolerance<E>);
        CHECK(bool(multiply(gpu::stream{}, first, rows_at(b, 3, C), rows_at(y, n, C))));
        CHECK(block_error(y, n, C, [&](index_t i, index_t j) { return a(i, j) * b(i % 3, j); }) <= block_tolerance<E>);
        CHECK(add(gpu::stream{}, first, rows_at(b, 5, C), rows_at(y, n, C)).code == errc::shape);
      });
}

TEST_CASE("a causal convolution along time, in one piece, in parts and token by token") {
  if (!has_gpu()) return;
  for_all_types([](auto number) {
    using E = decltype(number);
    using real = blocks::accumulator_of<E>;
    for (const index_t width : {1, 2, 3, 4, 8})
      for (const index_t C : {5, 8, 48})
        for (const index_t T : {1, 2, 3, 33, 100}) {
          INFO("taps ", width, " channels ", C, " tokens ", T, " bytes ", sizeof(E));
          const index_t B = 2;
          block_numbers<E> x(B * T * C, 1, C, 8), before(B * (width - 1) * C, 2, C);
          block_numbers<real> weight(width * C, 3, C), bias(C, 4);
          auto y = block_numbers<E>::poisoned(B * T * C, C, 8),
               behind = block_numbers<E>::poisoned(B * (width - 1) * C, C);
          blocks::modules::conv1d<E> w(C, width);
          w.weight = {weight.device(), {width, C}}, w.bias = {bias.device(), {C}};
          const auto in = tokens_at(x, B, T, C), state = tokens_at(before, B, width - 1, C),
                     out = tokens_at(y, B, T, C);
          const auto its = [&](index_t b, index_t t, index_t c) {
            return t < 0 ? before(b * (width - 1) + t + width - 1, c) : x(b * T + t, c);
          };
          const auto formula = [&](index_t at, index_t c) {
            double sum = bias(c);
            for (index_t i = 0; i < width; ++i) sum += weight(i, c) * its(at / T, at % T - width + 1 + i, c);
            return activated(activation::silu, sum);
          };
          CHECK(bool(
              causal_conv1d(gpu::stream{}, in, w, out, activation::silu, state, tokens_at(behind, B, width - 1, C))));
          CHECK(block_error(y, B * T, C, formula) <= block_tolerance<E>);
          CHECK(block_error(behind, B * (width - 1), C, [&](index_t at, index_t c) {
                  return its(at / (width - 1), T - (width - 1) + at % (width - 1), c);
                }) == 0);
          // token by token, the state in its place
          auto again = block_numbers<E>::poisoned(B * T * C, C, 8);
          block_numbers<E> moving(B * (width - 1) * C, 2, C);
          for (index_t t = 0; t < T; ++t) {
            const blocks::rows<const E> one(x.device() + t * x.stride(), {B, C}, {T * x.stride(), 1});
            const blocks::rows<E> its_y(again.device() + t * x.stride(), {B, C}, {T * x.stride(), 1});
            CHECK(bool(causal_conv1d_step(gpu::stream{}, one, w, tokens_at(moving, B, width - 1, C), its_y,
                                          activation::silu)));
          }
          CHECK(block_error(again, B * T, C, formula) <= block_tolerance<E>);
        }
  });
}

TEST_CASE("the mean of tokens, and tokens in another order") {
  if (!has_gpu()) return;
  for_all_types([](auto number) {
    using E = decltype(number);
    for (const index_t C : {3, 8, 520})
      for (const index_t T : {1, 49, 197}) {
        const index_t B = 3;
        block_numbers<E> x(B * T * C, 1, C, 8);
        auto mean = block_numbers<E>::poisoned(B * C, C), y = block_numbers<E>::poisoned(B * T * C, C);
        const blocks::tokens<const E> in = tokens_at(x, B, T, C);
        CHECK(bool(token_mean(gpu::stream{}, in, rows_at(mean, B, C))));
        CHECK(block_error(mean, B, C, [&](index_t b, index_t c) {
                double sum = 0;
                for (index_t t = 0; t < T; ++t) sum += x(b * T + t, c);
                return sum / double(T);
              }) <= block_tolerance<E>);
        CHECK(bool(reorder(gpu::stream{}, in, from_behind{T}, tokens_at(y, B, T, C))));
        CHECK(block_error(y, B * T, C, [&](index_t at, index_t c) { return x(at / T * T + T - 1 - at % T, c); }) == 0);
        CHECK(bool(reorder(gpu::stream{}, in, from_behind{T}, tokens_at(y, B, T, C), in)));
        CHECK(block_error(y, B * T, C, [&](index_t at, index_t c) {
                return x(at / T * T + T - 1 - at % T, c) + x(at, c);
              }) <= block_tolerance<E>);
      }
  });
}

TEST_CASE("both layers of an MLP in one kernel") {
  if (!has_gpu()) return;
  for (const index_t n : {1, 31, 128, 1000})
    for (const index_t hidden : {32, 256, 320}) {
      INFO("rows ", n, " hidden ", hidden);
      CHECK(feed_forward_error<bfloat16>(n, hidden, true, true, 0, false) <= block_tolerance<bfloat16>);
      CHECK(feed_forward_error<float16>(n, hidden, false, false, 8, false) <= block_tolerance<float16>);
      CHECK(feed_forward_error<bfloat16>(n, hidden, true, true, 16, true) <= block_tolerance<bfloat16>);
    }
  CHECK(feed_forward_error<bfloat16>(40000, 256, true, true, 0, true) <= block_tolerance<bfloat16>);
  for (const index_t n : {1, 200}) {
    CHECK(feed_forward_error<bfloat16>(n, 256, true, true, 0, true, true) <= block_tolerance<bfloat16>);
    CHECK(feed_forward_error<float16>(n, 96, true, true, 8, false, true) <= block_tolerance<float16>);
  }
}
