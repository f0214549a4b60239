// SPDX-License-Identifier: Apache-2.0
/// @file  The ablation's input: a picture cut into patches, projected to tokens, repeated or cut to a count.
#include <doctest/doctest.h>

#include <algorithm>  // equal, max
#include <bit>        // bit_cast
#include <cmath>      // abs, pow
#include <cstddef>    // ptrdiff_t, size_t
#include <cstdint>    // uint32_t, uint64_t
#include <vector>     // vector

#include "../../examples/ablation/tokens.hpp"

namespace {

using namespace ablation;

picture of(std::ptrdiff_t width, std::ptrdiff_t height,
           float (*value)(std::ptrdiff_t x, std::ptrdiff_t y, int colour)) {
  picture made{width, height, {}};
  for (std::ptrdiff_t y = 0; y < height; ++y)
    for (std::ptrdiff_t x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) made.value.push_back(value(x, y, c));
  return made;
}

float worst(const std::vector<float>& x, const std::vector<float>& y) {
  REQUIRE(x.size() == y.size());
  float largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  return largest;
}

}  // namespace

TEST_CASE("patches: 56 x 56 of 4 x 4 pixels in reading order, normalised as ImageNet's") {
  // Each pixel tells where it is and which colour it has.
  const picture p = of(
      224, 224, [](auto x, auto y, int c) { return static_cast<float>(x + 224 * y) + 0.25f * static_cast<float>(c); });
  const std::vector<float> cut = patches(p);
  REQUIRE(cut.size() == 3136 * 48);
  constexpr float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
  const auto expected = [&](int x, int y, int c) {
    return (static_cast<float>(x + 224 * y) + 0.25f * static_cast<float>(c) - mean[c]) / deviation[c];
  };
  CHECK(cut[0] == doctest::Approx(expected(0, 0, 0)));
  CHECK(cut[2] == doctest::Approx(expected(0, 0, 2)));
  CHECK(cut[3] == doctest::Approx(expected(1, 0, 0)));
  CHECK(cut[12] == doctest::Approx(expected(0, 1, 0)));
  CHECK(cut[47] == doctest::Approx(expected(3, 3, 2)));
  CHECK(cut[48] == doctest::Approx(expected(4, 0, 0)));
  CHECK(cut[56 * 48 + 13] == doctest::Approx(expected(0, 5, 1)));
  CHECK(cut[3136 * 48 - 1] == doctest::Approx(expected(223, 223, 2)));
}

TEST_CASE("tokens: normalised, reproducible, and a function of the picture") {
  const picture_result photograph = load_picture(default_picture_path("ablation"));
  REQUIRE(photograph);
  const std::vector<float> x = tokens(photograph.value);
  REQUIRE(x.size() == 3136 * 96);
  for (std::size_t t = 0; t < 3136; ++t) {
    double mean = 0, square = 0;
    for (std::size_t c = 0; c < 96; ++c) mean += static_cast<double>(x[t * 96 + c]) / 96;
    for (std::size_t c = 0; c < 96; ++c) square += std::pow(static_cast<double>(x[t * 96 + c]), 2) / 96;
    REQUIRE(std::abs(mean) < 1e-6);
    REQUIRE(square == doctest::Approx(1).epsilon(0.02));  // below 1 by 1e-5 / variance
  }
  CHECK(x == tokens(photograph.value));
  CHECK(worst(x, tokens(photograph.value, 96, 5)) > 0.1f);
  const picture grey = of(8, 8, [](auto px, auto py, int) { return static_cast<float>((px + py) % 2); });
  CHECK(worst(x, tokens(grey)) > 0.1f);
  CHECK(tokens(grey, 192).size() == 3136 * 192);
}

TEST_CASE("tokens: the same bits with every compiler, with and without fused multiply-adds") {
  // One axis grows and one shrinks; then the channels are projected once more.
  const std::vector<float> x = tokens(of(
      37, 301, [](auto px, auto py, int c) { return static_cast<float>((px * 7 + py * 13 + c * 5) % 256) / 255.0f; }));
  const std::vector<float> q = make_projection(default_seed, "q", 96, 96).apply(x);
  const std::vector<float> gate = make_gate_projection(default_seed, "gate", 96, 96).apply(x);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::vector<float>* values : {&x, &q, &gate})
    for (const float value : *values) hash = (hash ^ std::bit_cast<std::uint32_t>(value)) * 0x100000001b3u;
  CHECK(hash == 13739646771808713374u);
}

TEST_CASE("tokens: fewer are the first ones, more begin again") {
  const picture_result photograph = load_picture(default_picture_path("ablation"));
  REQUIRE(photograph);
  const std::vector<float> x = tokens(photograph.value);
  for (const std::size_t count : {1u, 57u, 3135u, 3136u, 3137u, 10000u}) {
    CAPTURE(count);
    const std::vector<float> some = tokens(photograph.value, 96, default_seed, static_cast<std::ptrdiff_t>(count));
    REQUIRE(some.size() == count * 96);
    bool same = true;
    for (std::size_t t = 0; t < count; ++t)
      same = same && std::equal(&some[t * 96], &some[t * 96] + 96, &x[t % 3136 * 96]);
    CHECK(same);
  }
}

TEST_CASE("tokens: a flat picture gives equal tokens and no NaN") {
  const std::vector<float> x = tokens(of(1, 1, [](auto, auto, int) { return 0.5f; }));
  for (std::size_t i = 96; i < x.size(); ++i) REQUIRE(x[i] == x[i % 96]);
  CHECK(x[0] == x[0]);
}
