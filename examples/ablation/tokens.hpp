// SPDX-License-Identifier: Apache-2.0
/// @file  From a picture to the tokens of a Swin-like network's first stage.
#pragma once

#include <algorithm>  // copy_n, min
#include <cmath>      // sqrt
#include <cstddef>    // ptrdiff_t, size_t
#include <cstdint>    // uint64_t
#include <span>       // span
#include <vector>     // vector

#include "picture.hpp"
#include "projection.hpp"

namespace ablation {

inline constexpr std::ptrdiff_t picture_side = 224;                          ///< pixels
inline constexpr std::ptrdiff_t patch_side = 4;                              ///< pixels
inline constexpr std::ptrdiff_t grid_side = picture_side / patch_side;       ///< 56 tokens
inline constexpr std::ptrdiff_t picture_tokens = grid_side * grid_side;      ///< 3136
inline constexpr std::ptrdiff_t patch_values = patch_side * patch_side * 3;  ///< 48
inline constexpr std::ptrdiff_t max_tokens = 1'000'000;

/// A picture resized to 224x224, colours normalised by ImageNet's mean and deviation: [224, 224, 3].
inline std::vector<float> normalised(const picture& from) {
  constexpr float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
  std::vector<float> out = resize(from, picture_side, picture_side).value;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = (out[i] - mean[i % 3]) / deviation[i % 3];
  return out;
}

/// The 4x4 patches of a picture that is normalised so, row by row: [3136, 48], a patch's values in the order row, column,
/// colour.
inline std::vector<float> patches(const picture& from) {
  const std::vector<float> square = normalised(from);
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(picture_tokens * patch_values));
  for (std::ptrdiff_t t = 0; t < picture_tokens; ++t)
    for (std::ptrdiff_t i = 0; i < patch_values; ++i) {
      const std::ptrdiff_t colour = i % 3, column = t % grid_side * patch_side + i / 3 % patch_side;
      const std::ptrdiff_t row = t / grid_side * patch_side + i / 3 / patch_side;
      out.push_back(square[static_cast<std::size_t>((row * picture_side + column) * 3 + colour)]);
    }
  return out;
}

/// Every token to mean 0 and variance 1 over its channels, (x - mean) / sqrt(variance + 1e-5), in place; nothing
/// learned.
inline void normalise(std::span<float> tokens, std::ptrdiff_t channels) {
  const auto width = static_cast<std::size_t>(channels);
  for (std::size_t t = 0; t + width <= tokens.size(); t += width) {
    double mean = 0, variance = 0;
    for (std::size_t c = 0; c < width; ++c) mean += static_cast<double>(tokens[t + c]);
    mean /= static_cast<double>(channels);
    for (std::size_t c = 0; c < width; ++c) {
      // Rounded to float, its square is exact in double: the same bits with and without fused multiply-adds.
      const auto off = static_cast<float>(static_cast<double>(tokens[t + c]) - mean);
      tokens[t + c] = off;
      variance += static_cast<double>(off) * static_cast<double>(off);
    }
    const double deviation = std::sqrt(variance / static_cast<double>(channels) + 1e-5);
    for (std::size_t c = 0; c < width; ++c)
      tokens[t + c] = static_cast<float>(static_cast<double>(tokens[t + c]) / deviation);
  }
}

/// The tokens of a picture, [count, channels]: patches times a seeded matrix [48, channels] of deviation 1 /
/// sqrt(48), then layer normalisation. A count below 3136 keeps the first tokens in reading order; one above
/// continues with the picture's first token again, as if copies of the picture stood below one another: token t is
/// token t mod 3136. Any count from 0. The bits are the same with every compiler and machine.
inline std::vector<float> tokens(const picture& from, std::ptrdiff_t channels = 96, std::uint64_t seed = default_seed,
                                 std::ptrdiff_t count = picture_tokens) {
  const auto width = static_cast<std::size_t>(channels), wanted = static_cast<std::size_t>(count) * width;
  std::vector<float> out = make_projection(seed, "patch embedding", patch_values, channels).apply(patches(from));
  normalise(out, channels);
  const std::size_t picture_size = out.size();
  out.resize(wanted);
  for (std::size_t i = picture_size; i < wanted; ++i) out[i] = out[i - picture_size];
  return out;
}

}  // namespace ablation
