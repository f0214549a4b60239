// SPDX-License-Identifier: Apache-2.0
/// @file  Modules: counts at compile time, memory, names, many equal ones.
#include <doctest/doctest.h>

#include <functional>  // whose std::bind is not to be found
#include <string>      // string
#include <vector>      // vector

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;
namespace modules = sextant::blocks::modules;

namespace {

struct pair {
  modules::linear<bfloat16> first{3, 5};
  modules::layer_norm<bfloat16> norm{5};
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("mlp.first", first);
    visit("norm", norm);
  }
};
struct stack {
  modules::convolution<bfloat16> stem{
      3, 3, {.kernel = 3, .stride = 2, .padding = 1, .biased = false, .normalised = true}};
  blocks::repeated<pair> layers{pair{}, 3};
  template <class Visit> constexpr void each(const Visit& visit) {
    visit("stem", stem);
    visit("layers", layers);
  }
};

std::string text(const blocks::path& at) {
  if (at.parent == nullptr) return "";
  const std::string above = text(*at.parent), own = at.number >= 0 ? std::to_string(at.number) : at.name;
  return above + own + (own.empty() ? "" : ".");
}

}  // namespace

static_assert(blocks::parameters(modules::linear<float>(3, 5)) == 20);
static_assert(blocks::parameters(modules::linear<float>(3, 5, false)) == 15);
static_assert(blocks::parameters(modules::depthwise<float>(8)) == 80);
static_assert(blocks::parameters(pair{}) == 30);
static_assert(blocks::parameters(stack{}) == 81 + 2 * 3 + 3 * 30);
static_assert(blocks::keys(stack{}) == 6 + 3 * 4);
static_assert(blocks::bytes(pair{}) == 64 * 4);
static_assert(modules::convolution<float>(3, 8, {.kernel = 3, .stride = 2, .padding = 1}).pixels(7) == 4);
static_assert(modules::convolution<float>(4, 8, {.kernel = 3}).macs(10).products == 10 * 9 * 32);

TEST_CASE("modules: names, in the order of their memory") {
  stack s;
  std::string names;
  blocks::for_each_tensor(s, [&](const blocks::path& at, const auto& t) { names += text(at) + t.name + " "; });
  CHECK(
      names ==
      "stem.weight stem.bias layers.0.mlp.first.weight layers.0.mlp.first.bias layers.0.norm.weight layers.0.norm.bias "
      "layers.1.mlp.first.weight layers.1.mlp.first.bias layers.1.norm.weight layers.1.norm.bias "
      "layers.2.mlp.first.weight layers.2.mlp.first.bias layers.2.norm.weight layers.2.norm.bias ");
}

TEST_CASE("modules: each tensor has memory of its own") {
  dice d;
  with_weights all(stack{}, d);
  const std::byte* last = all.memory.data();
  const std::byte* const end = all.memory.data() + all.memory.size();
  blocks::for_each_tensor(all.module, [&](const blocks::path&, const auto& t) {
    const std::byte* const at = reinterpret_cast<const std::byte*>(t.data());
    CHECK(at >= last);
    CHECK(reinterpret_cast<std::size_t>(at) % blocks::tensor_alignment == 0);
    last = at + std::size_t(t.room) * sizeof(*t.data());
    CHECK(last <= end);
  });
  CHECK(all.module.layers[2].first.weight.data() != all.module.layers[1].first.weight.data());
  CHECK(all.module.layers[0].first.weight.data() == all.module.layers.first_one().first.weight.data());
}

TEST_CASE("modules: bind() is ours wherever the memory comes from") {
  std::vector<std::byte> memory(blocks::bytes(pair{}));
  pair one;
  using namespace sextant::blocks;
  CHECK(bind(one, memory.data()) == memory.data() + memory.size());
  CHECK(reinterpret_cast<const std::byte*>(one.first.weight.data()) == memory.data());
}

TEST_CASE("modules: the public tensor's place in memory") {
  dice d;
  with_weights conv(modules::convolution<float>(3, 4, {.kernel = 2}), d);
  conv.module.tensors([&](const auto& t) {
    if (t.rank != 4) return;
    // [O, I, 2, 2] is kept as [O, 2, 2, I].
    const auto at = [&](index_t o, index_t i, index_t y, index_t x) {
      return t.data()[o * t.stride[0] + i * t.stride[1] + y * t.stride[2] + x * t.stride[3]];
    };
    for (index_t o = 0; o < 4; ++o)
      for (index_t i = 0; i < 3; ++i) CHECK(at(o, i, 1, 0) == conv.module.weight(o, 2 * 3 + i));
  });
  with_weights taps(modules::depthwise<float>(5), d);
  taps.module.tensors([&](const auto& t) {
    if (t.rank != 4) return;
    for (index_t c = 0; c < 5; ++c)
      CHECK(t.data()[c * t.stride[0] + 2 * t.stride[2] + 1 * t.stride[3]] == taps.module.weight(7, c));
  });
}
