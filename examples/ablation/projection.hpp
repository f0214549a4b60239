// SPDX-License-Identifier: Apache-2.0
/// @file  Seeded projections of the tokens to queries, keys, values and gates, and what they cost.
#pragma once

#include <algorithm>    // min
#include <cmath>        // exp, expm1, log, sqrt
#include <cstddef>      // ptrdiff_t, size_t
#include <cstdint>      // int64_t, uint64_t
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "random.hpp"

namespace ablation {

/// The seed of everything in the example.
inline constexpr std::uint64_t default_seed = 2024;

/// `count` draws of the given mean and deviation: D vectors, convolution weights, biases.
inline std::vector<float> seeded(std::uint64_t seed, std::string_view name, std::ptrdiff_t count, float mean,
                                 float deviation) {
  random_stream random = stream_of(seed, name);
  std::vector<float> out(static_cast<std::size_t>(count));
  // In double the product is exact, so that fusing it with the sum changes nothing.
  for (float& x : out)
    x = static_cast<float>(static_cast<double>(mean) +
                           static_cast<double>(deviation) * static_cast<double>(random.normal()));
  return out;
}

/// The logarithm of a step size between 0.001 and 0.1, evenly spread.
inline double log_step(random_stream& random) {
  return std::log(0.001) + random.uniform() * (std::log(0.1) - std::log(0.001));
}

/// The bias of a step size, drawn as Mamba does it: softplus(bias) is log-uniform in [0.001, 0.1] (Gu and Dao 2023,
/// 3.6).
inline std::vector<float> step_bias(std::uint64_t seed, std::string_view name, std::ptrdiff_t count) {
  random_stream random = stream_of(seed, name);
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& x : out) {
    const double step = std::exp(log_step(random));
    x = static_cast<float>(step + std::log(-std::expm1(-step)));  // the inverse of softplus
  }
  return out;
}

/// Logarithms of step sizes, as S4 begins with them.
inline std::vector<float> log_steps(std::uint64_t seed, std::string_view name, std::ptrdiff_t count) {
  random_stream random = stream_of(seed, name);
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& x : out) x = static_cast<float>(log_step(random));
  return out;
}

/// y = x W + b on every token: x [tokens, inputs], W [inputs, outputs], b [outputs] or empty, y [tokens, outputs].
struct projection {
  std::string name;
  std::ptrdiff_t inputs = 0;
  std::ptrdiff_t outputs = 0;
  std::vector<float> weight;  ///< [inputs, outputs]
  std::vector<float> bias;    ///< [outputs], or empty

  /// Numbers learned: inputs outputs, and outputs where there is a bias.
  std::int64_t params() const { return static_cast<std::int64_t>(weight.size() + bias.size()); }
  /// Multiply-accumulates of `tokens` tokens; a bias counts for nothing, as usual.
  std::int64_t macs(std::int64_t tokens) const { return tokens * static_cast<std::int64_t>(weight.size()); }

  /// Applies it: O(tokens inputs outputs). Sums are taken in double in the order of the inputs: a product of two floats
  /// is exact there, so that the result is the same bits with and without fused multiply-adds, and does not depend on
  /// how many tokens there are. Serial; this is set-up, not what the example measures.
  std::vector<float> apply(std::span<const float> x) const {
    constexpr std::size_t columns = 32;  // sums that stay in registers, or close to them
    const auto in = static_cast<std::size_t>(inputs), out = static_cast<std::size_t>(outputs);
    const std::size_t tokens = in > 0 ? x.size() / in : 0;
    std::vector<float> y(tokens * out);
    std::vector<double> panel(in * columns);
    for (std::size_t c = 0; c < out; c += columns) {
      const std::size_t width = std::min(columns, out - c);
      double start[columns] = {};
      for (std::size_t j = 0; j < width; ++j) {
        if (!bias.empty()) start[j] = static_cast<double>(bias[c + j]);
        for (std::size_t i = 0; i < in; ++i) panel[i * columns + j] = static_cast<double>(weight[i * out + c + j]);
      }
      for (std::size_t t = 0; t < tokens; ++t) {
        double sum[columns];
        for (std::size_t j = 0; j < columns; ++j) sum[j] = start[j];
        for (std::size_t i = 0; i < in; ++i) {
          const auto value = static_cast<double>(x[t * in + i]);
          for (std::size_t j = 0; j < columns; ++j) sum[j] += value * panel[i * columns + j];
        }
        for (std::size_t j = 0; j < width; ++j) y[t * out + c + j] = static_cast<float>(sum[j]);
      }
    }
    return y;
  }
};

/// A projection with weights of deviation gain / sqrt(inputs): tokens of variance 1 give values of variance gain^2.
inline projection make_projection(std::uint64_t seed, std::string_view name, std::ptrdiff_t inputs,
                                  std::ptrdiff_t outputs, float gain = 1.0f) {
  const float deviation = gain / std::sqrt(static_cast<float>(inputs));
  return {std::string(name), inputs, outputs, seeded(seed, name, inputs * outputs, 0.0f, deviation), {}};
}

/// y = x W1 W2 + b, how the gates read the tokens: W1 [inputs, rank], W2 [rank, outputs], b [outputs] or empty.
struct low_rank_projection {
  projection down;
  projection up;

  std::int64_t params() const { return down.params() + up.params(); }
  std::int64_t macs(std::int64_t tokens) const { return down.macs(tokens) + up.macs(tokens); }
  std::vector<float> apply(std::span<const float> x) const { return up.apply(down.apply(x)); }
};

/// The gate's projection of Han et al.: rank inputs / 16 (at least 1). A bias, one number per output, is added to the
/// result.
inline low_rank_projection make_gate_projection(std::uint64_t seed, std::string_view name, std::ptrdiff_t inputs,
                                                std::ptrdiff_t outputs, std::vector<float> bias = {},
                                                float gain = 1.0f) {
  const std::ptrdiff_t rank = inputs >= 16 ? inputs / 16 : 1;
  low_rank_projection made{make_projection(seed, std::string(name) + ".down", inputs, rank),
                           make_projection(seed, std::string(name) + ".up", rank, outputs, gain)};
  made.up.bias = std::move(bias);
  return made;
}

/// The weights of a depthwise convolution: taps numbers per channel (9 of MILA's 3x3 LePE, 4 of Mamba's causal one).
struct depthwise_weights {
  std::ptrdiff_t channels = 0;
  std::ptrdiff_t taps = 0;
  std::vector<float> weight;  ///< [channels, taps]

  std::int64_t params() const { return static_cast<std::int64_t>(weight.size()); }
  std::int64_t macs(std::int64_t tokens) const { return tokens * params(); }
};

/// Weights of deviation 1 / sqrt(taps).
inline depthwise_weights make_depthwise(std::uint64_t seed, std::string_view name, std::ptrdiff_t channels,
                                        std::ptrdiff_t taps) {
  const float deviation = 1.0f / std::sqrt(static_cast<float>(taps));
  return {channels, taps, seeded(seed, name, channels * taps, 0.0f, deviation)};
}

}  // namespace ablation
