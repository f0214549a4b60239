// SPDX-License-Identifier: Apache-2.0
/// @file  The ablation's seeded numbers and projections: reproducible, bell-shaped, right at every size, counted right.
#include <doctest/doctest.h>

#include <algorithm>  // equal, minmax_element
#include <cmath>      // abs, exp, log1p
#include <cstddef>    // ptrdiff_t, size_t
#include <span>       // span
#include <vector>     // vector

#include "../../examples/ablation/projection.hpp"

namespace {

using namespace ablation;

struct moments {
  double mean = 0, variance = 0, largest = 0;
};
moments moments_of(const std::vector<float>& values) {
  moments m;
  for (const float x : values) m.mean += static_cast<double>(x);
  m.mean /= static_cast<double>(values.size());
  for (const float x : values) {
    const double off = static_cast<double>(x) - m.mean;
    m.variance += off * off;
    m.largest = std::max(m.largest, std::abs(off));
  }
  m.variance /= static_cast<double>(values.size());
  return m;
}

}  // namespace

TEST_CASE("random: splitmix64's own sequence") {
  random_stream random(1234567);
  CHECK(random.next() == 6457827717110365317u);
  CHECK(random.next() == 3203168211198807973u);
  CHECK(random.next() == 9817491932198370423u);
  CHECK(random.next() == 4593380528125082431u);
  CHECK(random.next() == 16408922859458223821u);
}

TEST_CASE("random: draws are the same bits on every compiler") {
  // The first two draws, computed from the integers above by hand: (sum of twelve 16-bit pieces - 393210) / 65536.
  const auto pieces = [](std::uint64_t x) {
    return static_cast<std::int64_t>((x & 65535) + (x >> 16 & 65535) + (x >> 32 & 65535) + (x >> 48));
  };
  const std::int64_t sum = pieces(6457827717110365317u) + pieces(3203168211198807973u) + pieces(9817491932198370423u);
  random_stream random(1234567);
  CHECK(random.normal() == static_cast<float>(sum - 393210) / 65536.0f);
  CHECK(random_stream(1234567).uniform() == static_cast<float>(6457827717110365317u >> 40) / 16777216.0f);
  static_assert(random_stream(7).normal() == random_stream(7).normal(), "usable at compile time");
}

TEST_CASE("random: mean 0, variance 1, shaped like a normal distribution") {
  const std::vector<float> x = seeded(1, "x", 200000, 0, 1);
  const moments m = moments_of(x);
  CHECK(std::abs(m.mean) < 0.01);
  CHECK(std::abs(m.variance - 1) < 0.02);
  CHECK(m.largest < 6);
  CHECK(m.largest > 3.5);
  std::ptrdiff_t within = 0;
  for (const float v : x) within += std::abs(v) < 1;
  CHECK(std::abs(static_cast<double>(within) / 200000 - 0.6827) < 0.006);
  const moments shifted = moments_of(seeded(1, "y", 100000, 3, 0.5f));
  CHECK(std::abs(shifted.mean - 3) < 0.01);
  CHECK(std::abs(shifted.variance - 0.25) < 0.01);
}

TEST_CASE("seeds: a tensor depends on the seed and its name, and on nothing else") {
  const std::vector<float> q = seeded(1, "q", 10, 0, 1);
  CHECK(q == seeded(1, "q", 10, 0, 1));
  CHECK(q != seeded(2, "q", 10, 0, 1));
  CHECK(q != seeded(1, "k", 10, 0, 1));
  const std::vector<float> longer = seeded(1, "q", 20, 0, 1);
  CHECK(std::equal(q.begin(), q.end(), longer.begin()));
  CHECK(seeded(1, "q", 0, 0, 1).empty());
}

TEST_CASE("step bias: softplus of it is log-uniform in [0.001, 0.1]") {
  double low = 1, high = 0, middle = 0;
  const std::vector<float> bias = step_bias(1, "dt", 10000);
  for (const float b : bias) {
    const double step = std::log1p(std::exp(static_cast<double>(b)));
    low = std::min(low, step);
    high = std::max(high, step);
    middle += std::log(step) / 10000;
  }
  CHECK(low > 0.00099);
  CHECK(low < 0.00101);
  CHECK(high < 0.1001);
  CHECK(high > 0.099);
  CHECK(std::abs(middle - std::log(0.01)) < 0.05);
}

TEST_CASE("log steps: evenly spread from log 0.001 to log 0.1") {
  const std::vector<float> steps = log_steps(1, "log_dt", 10000);
  const auto [low, high] = std::minmax_element(steps.begin(), steps.end());
  CHECK(std::abs(*low - std::log(0.001f)) < 0.01f);
  CHECK(std::abs(*high - std::log(0.1f)) < 0.01f);
  double middle = 0;
  for (const float x : steps) middle += static_cast<double>(x) / 10000;
  CHECK(std::abs(middle - std::log(0.01)) < 0.05);
}

TEST_CASE("projection: y = x W + b at any size") {
  for (const std::ptrdiff_t inputs : {1, 5, 48})
    for (const std::ptrdiff_t outputs : {1, 6, 15, 16, 17, 96})
      for (const std::ptrdiff_t tokens : {0, 1, 3, 4, 5, 9}) {
        CAPTURE(inputs);
        CAPTURE(outputs);
        CAPTURE(tokens);
        projection p = make_projection(3, "w", inputs, outputs);
        if (outputs % 2) p.bias = seeded(3, "b", outputs, 0, 1);
        const std::vector<float> x = seeded(4, "x", tokens * inputs, 0, 1);
        const std::vector<float> y = p.apply(x);
        REQUIRE(y.size() == static_cast<std::size_t>(tokens * outputs));
        double worst = 0;
        for (std::ptrdiff_t t = 0; t < tokens; ++t)
          for (std::ptrdiff_t j = 0; j < outputs; ++j) {
            double sum = p.bias.empty() ? 0.0 : static_cast<double>(p.bias[static_cast<std::size_t>(j)]);
            for (std::ptrdiff_t i = 0; i < inputs; ++i)
              sum += static_cast<double>(x[static_cast<std::size_t>(t * inputs + i)]) *
                     static_cast<double>(p.weight[static_cast<std::size_t>(i * outputs + j)]);
            worst = std::max(worst, std::abs(static_cast<double>(y[static_cast<std::size_t>(t * outputs + j)]) - sum));
          }
        CHECK(worst < 1e-6);
      }
}

TEST_CASE("projection: a token's result does not depend on how many there are, bit by bit") {
  const projection p = make_projection(3, "w", 96, 32);
  const std::vector<float> x = seeded(4, "x", 96 * 11, 0, 1), all = p.apply(x);
  for (std::size_t n = 1; n < 11; ++n) {
    const std::vector<float> some = p.apply(std::span(x).first(96 * n));
    CHECK(some.size() == 32 * n);
    CHECK(std::equal(some.begin(), some.end(), all.begin()));
  }
}

TEST_CASE("projection: what has variance 1 keeps variance 1, times gain squared") {
  const std::vector<float> x = seeded(4, "x", 96 * 500, 0, 1);
  CHECK(std::abs(moments_of(make_projection(3, "w", 96, 96).apply(x)).variance - 1) < 0.1);
  CHECK(std::abs(moments_of(make_projection(3, "w", 96, 96, 0.5f).apply(x)).variance - 0.25) < 0.025);
  CHECK(std::abs(moments_of(make_gate_projection(3, "g", 96, 96).apply(x)).variance - 1) < 0.4);
}

TEST_CASE("projection: counts of parameters and multiply-accumulates") {
  projection p = make_projection(1, "q", 96, 32);
  CHECK(p.params() == 96 * 32);
  CHECK(p.macs(3136) == 3136LL * 96 * 32);
  p.bias = step_bias(1, "b", 32);
  CHECK(p.params() == 96 * 32 + 32);
  CHECK(p.macs(3136) == 3136LL * 96 * 32);
  const low_rank_projection gate = make_gate_projection(1, "delta", 96, 96, step_bias(1, "b", 96));
  CHECK(gate.down.outputs == 6);
  CHECK(gate.params() == 2 * 96 * 6 + 96);
  CHECK(gate.macs(1'000'000) == 1'000'000LL * 2 * 96 * 6);
  CHECK(make_gate_projection(1, "delta", 8, 3).params() == 8 + 3);
  const depthwise_weights lepe = make_depthwise(1, "lepe", 96, 9);
  CHECK(lepe.weight.size() == 96 * 9);
  CHECK(lepe.params() == 96 * 9);
  CHECK(lepe.macs(3136) == 3136LL * 96 * 9);
}

TEST_CASE("gate projection: x W1 W2 + b") {
  const low_rank_projection gate = make_gate_projection(1, "delta", 32, 5, {1, 2, 3, 4, 5});
  const std::vector<float> zero(64), y = gate.apply(zero);
  CHECK(y == std::vector<float>{1, 2, 3, 4, 5, 1, 2, 3, 4, 5});
  const std::vector<float> x = seeded(4, "x", 32, 0, 1);
  const std::vector<float> z = gate.apply(x), composed = gate.up.apply(gate.down.apply(x));
  CHECK(z == composed);
  CHECK(z != std::vector<float>{1, 2, 3, 4, 5});
}
