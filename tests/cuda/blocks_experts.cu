// SPDX-License-Identifier: Apache-2.0
/// @file  Switch layers on a GPU against their formula in double: sizes of any kind, experts that nobody and that everybody
///        wants, tokens that pass by.
#include <doctest/doctest.h>

#include <cmath>  // exp

#include <sextant/blocks/cuda/linear.cuh>
#include <sextant/blocks/cuda/moe.cuh>

#include "cuda/block_numbers.cuh"
#include "cuda/block_products.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

/// To which experts tokens want to go.
enum class spread { evenly, by_chance, all_to_one };

/// A layer on n tokens, which want to go somewhere by logits far apart. Answers how many pass by.
template <class E> index_t hold(const blocks::moe_sizes& s, index_t n, spread how, bool with_plus, bool again = false) {
  INFO("n ", n, " model ", s.model, " hidden ", s.hidden, " experts ", s.experts, " bytes ", sizeof(E));
  const index_t C = s.model, H = s.hidden, X = s.experts;
  random_numbers random{std::uint64_t(n + 7 * X)};
  const auto expert_of = [&](index_t t) {
    return how == spread::evenly ? t % X : how == spread::all_to_one ? X - 1 : (t * t * 7 + t / 3) % X;
  };
  // The router reads one channel for each expert, of which the wanted one is 4 to 5 and the others are in [-1, 1).
  REQUIRE(X <= C);
  std::vector<E> tokens;
  for (index_t t = 0; t < n; ++t)
    for (index_t c = 0; c < C; ++c) tokens.push_back(E(float(random() + (c < X && c == expert_of(t) ? 4.5 : 0))));
  std::vector<E> router(std::size_t(X * C), E(0.0f));
  for (index_t e = 0; e < X; ++e) router[std::size_t(e * C + e)] = E(1.0f);
  block_numbers<E> u(n * C, 1, C), w1(X * H * C, 3), w2(X * C * H, 4), plus(n * C, 5, C);
  const device_memory of_tokens(tokens.size() * sizeof(E) + 1), of_router(router.size() * sizeof(E));
  if (n > 0) must(cudaMemcpy(of_tokens.data(), tokens.data(), tokens.size() * sizeof(E), cudaMemcpyHostToDevice));
  must(cudaMemcpy(of_router.data(), router.data(), router.size() * sizeof(E), cudaMemcpyHostToDevice));
  auto y = block_numbers<E>::poisoned(n * C, C);

  blocks::moe_block<E> w(s);
  w.router.weight = {reinterpret_cast<const E*>(of_router.data()), {X, C}};
  w.w1.value = {w1.device(), {X, H, C}};
  w.w2.value = {w2.device(), {X, C, H}};
  device_memory memory(workspace_bytes(gpu::block_stream({}, products()), w, n));
  memory.fill(0xff);
  const gpu::block_stream on({.memory = {memory.data(), memory.size()}}, products());
  const auto call = [&] {
    return forward(on, w, {reinterpret_cast<const E*>(of_tokens.data()), {n, C}}, {y.device(), {n, C}},
                   with_plus ? blocks::rows<const E>(plus.device(), {n, C}) : blocks::rows<const E>{});
  };
  if (again) CHECK(repeats(y, call));
  CHECK(bool(call()));
  if (n > 0) {
    const gpu::block_stream less({.memory = {memory.data(), memory.size() / 2}}, products());
    CHECK(forward(less, w, {reinterpret_cast<const E*>(of_tokens.data()), {n, C}}, {y.device(), {n, C}}).code ==
          errc::workspace);
  }

  std::vector<index_t> taken(std::size_t(X), index_t(0));
  std::vector<double> hidden(static_cast<std::size_t>(H)), wanted(std::size_t(n * C));
  index_t passing = 0;
  const auto number = [](E x) {
    if constexpr (std::is_same_v<E, double>) return x;
    else return double(float(x));
  };
  for (index_t t = 0; t < n; ++t) {
    const auto token = [&](index_t c) { return number(tokens[std::size_t(t * C + c)]); };
    index_t e = 0;
    double all = 0;
    for (index_t i = 1; i < X; ++i)
      if (token(i) > token(e)) e = i;
    for (index_t i = 0; i < X; ++i) all += std::exp(token(i) - token(e));
    const bool passes = taken[std::size_t(e)]++ >= s.capacity(n);
    passing += passes;
    for (index_t h = 0; h < H && !passes; ++h) {
      double sum = 0;
      for (index_t c = 0; c < C; ++c) sum += w1((e * H + h) * C + c) * token(c);
      hidden[std::size_t(h)] = number(E(float(activated(s.act, sum))));
      if constexpr (std::is_same_v<E, double>) hidden[std::size_t(h)] = activated(s.act, sum);
    }
    for (index_t c = 0; c < C; ++c) {
      double sum = 0;
      for (index_t h = 0; h < H && !passes; ++h) sum += w2((e * C + c) * H + h) * hidden[std::size_t(h)];
      wanted[std::size_t(t * C + c)] = sum / all + (with_plus ? plus(t, c) : 0);
    }
  }
  const double error = block_error(y, n, C, [&](index_t t, index_t c) { return wanted[std::size_t(t * C + c)]; });
  CHECK(error <= 2 * block_tolerance<E>);
  return passing;
}
template <class E> void hold_all(const blocks::moe_sizes& s, index_t n) {
  hold<E>(s, n, spread::by_chance, n % 2 == 0);
  hold<E>(s, n, spread::all_to_one, n % 2 == 1);
}

}  // namespace

TEST_CASE("Switch layers of whole pieces and of any numbers, few tokens and many") {
  if (!has_gpu()) return;
  for (const index_t n : {0, 1, 2, 7, 16, 17, 63, 64, 65, 331}) {
    hold_all<bfloat16>({.model = 64, .hidden = 160, .experts = 4, .capacity_factor = 0}, n);
    hold_all<bfloat16>({.model = 37, .hidden = 21, .experts = 5, .capacity_factor = 0}, n);
    hold_all<float>({.model = 64, .hidden = 96, .experts = 33, .capacity_factor = 0}, n);
    hold_all<float>({.model = 13, .hidden = 9, .experts = 3, .capacity_factor = 0}, n);
  }
  hold_all<float16>({.model = 136, .hidden = 264, .experts = 8, .capacity_factor = 0}, 200);
  hold_all<double>({.model = 40, .hidden = 70, .experts = 6, .capacity_factor = 0}, 100);
  hold_all<double>({.model = 7, .hidden = 5, .experts = 1}, 9);
}

TEST_CASE("tokens beyond an expert's capacity pass by") {
  if (!has_gpu()) return;
  for (const index_t n : {7, 40, 200, 1500}) {
    const blocks::moe_sizes s{.model = 64, .hidden = 72, .experts = 8, .capacity_factor = 1};
    CHECK(hold<bfloat16>(s, n, spread::all_to_one, true) == n - s.capacity(n));
    CHECK(hold<float>(s, n, spread::by_chance, false) > 0);
    CHECK(hold<float>(s, 8 * (n / 8), spread::evenly, true) == 0);
  }
  CHECK(hold<float16>({.model = 64, .hidden = 64, .experts = 64, .capacity_factor = 1}, 63, spread::evenly, true) ==
        63);
}

TEST_CASE("the same bits again, and more than a block's tokens at a time") {
  if (!has_gpu()) return;
  hold<bfloat16>({.model = 64, .hidden = 64, .experts = 16, .capacity_factor = 1.25}, 2100, spread::by_chance, true,
                 true);
  hold<float>({.model = 32, .hidden = 32, .experts = 2, .act = blocks::activation::gelu}, 1025, spread::by_chance, true,
              true);
}

TEST_CASE("more experts than a GPU counts are refused") {
  if (!has_gpu()) return;
  std::vector<std::byte> nothing(1);
  blocks::buffers from{workspace(nothing)};
  const blocks::moe_routes<float> routes({.model = 8, .hidden = 8, .experts = 8193}, 1, from);
  const blocks::rows<const float> logits(nullptr, {1, 8193});
  CHECK(route_to_one(gpu::stream{}, logits, routes).code == errc::unsupported);
}
