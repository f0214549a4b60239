// SPDX-License-Identifier: Apache-2.0
/// @file  Language models on the CPU: counts, prefill and decode against one call, sequences of a batch by themselves.
#include <doctest/doctest.h>

#include <cstdint>  // int32_t
#include <memory>   // align
#include <vector>   // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/initialise.hpp>
#include <sextant/models/language.hpp>

#include "../blocks/numbers.hpp"
#include "../forms.hpp"

using namespace sextant;
using namespace sextant::tests;

static_assert(models::parameters(models::mamba_130m) == 129'135'360);
static_assert(blocks::keys(models::mamba_130m.weights<>()) == 24 * 10 + 2);
static_assert(models::parameters(models::mamba2_130m) == 50288 * 768 + 24 * (3'764'552 + 768) + 768);
constexpr index_t moe_layer =
    blocks::parameters(blocks::mamba_block<float>({.model = 512})) + 2 * 512 + 512 * 32 + 32 * 2 * 512 * 1536;
static_assert(models::parameters(models::moe_mamba) == 50280 * 512 + 8 * moe_layer + 512);
static_assert(models::parameters(models::mamba_130m.with_sizes({.tied = false})) == 129'135'360 + 50280 * 768);

namespace {

/// A network begun with a seed, and calls of it on workspaces full of NaN.
template <class Net, class E> struct ready {
  Net net;
  decltype(net.template weights<E>()) w = net.template weights<E>();
  struct alignas(64) line {
    std::byte bytes[64];
  };
  std::vector<line> memory = std::vector<line>(blocks::bytes(w) / 64);

  explicit ready(const Net& n) : net(n) {
    REQUIRE(blocks::initialise(w, std::as_writable_bytes(std::span(memory)), 3));
  }
  status operator()(const std::vector<std::int32_t>& ids, index_t B, table<E>& logits,
                    models::language_state state = {}) {
    const index_t T = index_t(ids.size()) / B;
    scratch some(models::workspace_bytes<E>(net, cpu::parallel{{}, 2}, B, T));
    return forward(net, cpu::parallel{some, 2}, w, {ids.data(), {B, T}}, logits, state);
  }
};

template <class E, class Net> void check(const Net& net, double bound) {
  ready<Net, E> model(net);
  const index_t V = net.sizes.vocabulary, B = 2, T = 9;
  std::vector<std::int32_t> ids;
  for (index_t i = 0; i < B * T; ++i) ids.push_back(std::int32_t((i * 7 + 3) % V));
  table<E> all(B * T, V, 3), last(B, V, 1);
  REQUIRE(model(ids, B, all));
  REQUIRE(model(ids, B, last));
  CHECK(all.gaps_untouched());
  CHECK(error_of(last, [&](index_t b, index_t v) { return all.value(b * T + T - 1, v); }) <= bound);
  double least = 1e30, most = -1e30;
  for (index_t v = 0; v < V; ++v) least = std::min(least, last.value(0, v)), most = std::max(most, last.value(0, v));
  CHECK(most > least);

  // The second sequence alone: the same.
  table<E> alone(T, V);
  REQUIRE(model({ids.begin() + T, ids.end()}, 1, alone));
  CHECK(error_of(alone, [&](index_t t, index_t v) { return all.value(T + t, v); }) <= bound);

  // Four tokens, then one after the other.
  std::vector<std::byte> room(models::state_bytes<E>(net, B) + 256);
  std::byte* const first = room.data();
  const models::language_state state{first + (256 - reinterpret_cast<std::size_t>(first) % 256)};
  for (index_t t = 0; t < T;) {
    const index_t count = t == 0 ? 4 : 1;
    std::vector<std::int32_t> some;
    for (index_t b = 0; b < B; ++b)
      some.insert(some.end(), &ids[std::size_t(b * T + t)], &ids[std::size_t(b * T + t)] + count);
    t += count;
    REQUIRE(model(some, B, last, state));
    CHECK(error_of(last, [&](index_t b, index_t v) { return all.value(b * T + t - 1, v); }) <= bound);
  }
}

constexpr auto small = models::mamba_130m.with_sizes({.vocabulary = 51, .model = 32, .layers = 3});
constexpr auto small2 =
    models::mamba2_130m.with_sizes({.vocabulary = 51, .model = 32, .layers = 3, .state = 16, .head = 16});
constexpr auto with_experts = small.with_sizes(
    {.vocabulary = 51, .model = 32, .layers = 2, .experts = 4, .expert_hidden = 24, .capacity_factor = 0});

}  // namespace

TEST_CASE("language: mamba") {
  check<float>(small, 1e-5);
  check<bfloat16>(small, 3e-2);
}
TEST_CASE("language: mamba-2") { check<float>(small2, 1e-5); }
TEST_CASE("language: MoE-Mamba") { check<float>(with_experts, 1e-5); }

TEST_CASE("language: what is refused, and tokens beyond the table") {
  ready<decltype(small), float> model(small);
  table<float> logits(1, 51), same(1, 51), three(3, 51), narrow(1, 50);
  REQUIRE(model({50}, 1, logits));
  REQUIRE(model({5000}, 1, same));
  for (index_t v = 0; v < 51; ++v) CHECK(logits.at(0, v) == same.at(0, v));
  REQUIRE(model({-7}, 1, logits));
  REQUIRE(model({0}, 1, same));
  for (index_t v = 0; v < 51; ++v) CHECK(logits.at(0, v) == same.at(0, v));
  CHECK(model({1, 2}, 1, three).code == errc::shape);
  CHECK(model({1, 2}, 1, narrow).code == errc::shape);
  const std::int32_t id = 1;
  CHECK(forward(small, cpu::serial{}, model.w, {&id, {1, 1}}, logits).code == errc::workspace);
  // What is refused moves no state.
  std::vector<std::byte> memory(models::state_bytes<float>(small, 1) + 256), untouched = memory;
  void* at = memory.data();
  std::size_t room = memory.size();
  std::align(256, room - 256, at, room);
  const models::language_state state{static_cast<std::byte*>(at)};
  scratch some(models::workspace_bytes<float>(small, cpu::serial{}, 1, 1));
  const blocks::rows<float> nowhere(nullptr, {1, 51});
  CHECK(forward(small, cpu::serial{some}, model.w, {&id, {1, 1}}, nowhere, state).code == errc::missing);
  std::vector<float> spread(2 * 51);
  const blocks::rows<float> apart(spread.data(), {1, 51}, {102, 2});
  CHECK(forward(small, cpu::serial{some}, model.w, {&id, {1, 1}}, apart, state).code == errc::shape);
  CHECK(memory == untouched);
  const auto layer = model.w.layers[0].mixer;
  const index_t C = layer.channels();
  table<float> u(1, C), y(1, C), wide(1, C + 1);
  scratch of_layer(workspace_bytes(cpu::serial{}, layer, 1, 1));
  const auto past = blocks::state_at(layer, 1, static_cast<std::byte*>(at));
  const auto refused = [&](const blocks::rows<float>& into, const blocks::rows<const float>& plus) {
    return forward(cpu::serial{of_layer}, layer, u, 1, into, plus, past).code;
  };
  CHECK(refused(wide, {}) == errc::shape);
  CHECK(refused(y, blocks::rows<const float>(wide)) == errc::shape);
  std::vector<float> twice(std::size_t(2 * C));
  const blocks::rows<float> gaps(twice.data(), {1, C}, {2 * C, 2});
  CHECK(refused(gaps, {}) == errc::shape);
  CHECK(refused(y, blocks::rows<const float>(gaps)) == errc::shape);
  CHECK(refused(blocks::rows<float>(nullptr, {1, C}), {}) == errc::missing);
  CHECK(memory == untouched);
  CHECK(refused(y, {}) == errc::ok);
  CHECK(memory != untouched);
}

namespace {

/// Calls with less and less memory than they need are refused, and the state stays what it was.
template <class E, class Net> void refused_for_memory(const Net& net) {
  ready<Net, E> model(net);
  const std::vector<std::int32_t> ids = {1, 2, 3, 4, 5, 6, 7};
  table<E> logits(1, net.sizes.vocabulary);
  std::vector<std::byte> memory(models::state_bytes<E>(net, 1) + 256);
  std::byte* const first = memory.data() + (256 - reinterpret_cast<std::size_t>(memory.data()) % 256);
  REQUIRE(model(ids, 1, logits, {first}));
  const std::vector<std::byte> before = memory;
  for (const index_t T : {1, 7}) {
    const models::token_ids some(ids.data(), {1, T});
    const std::size_t needed = models::workspace_bytes<E>(net, cpu::serial{}, 1, T);
    std::vector<std::byte> work(needed + 256);
    std::byte* const at = work.data() + (256 - reinterpret_cast<std::size_t>(work.data()) % 256);
    const auto run = [&](std::size_t bytes, models::language_state state) {
      return forward(net, cpu::serial{workspace(at, bytes)}, model.w, some, logits, state).code;
    };
    // The least that it runs with, and everything below in steps; the call asks logits of one token, workspace_bytes of all.
    std::size_t least = needed;
    for (std::size_t bytes = 0; bytes < least; bytes += 128) {
      const auto code = run(bytes, {first});
      if (code == errc::ok) {
        least = bytes;
        break;
      }
      REQUIRE(code == errc::workspace);
      REQUIRE(memory == before);
    }
    CHECK(run(needed, {first}) == errc::ok);
    CHECK(memory != before);
    std::copy(before.begin(), before.end(), memory.begin());
    CHECK(run(needed, {first + 64}) == errc::shape);
    CHECK(memory == before);
  }
}

}  // namespace

TEST_CASE("language: a call that is refused has not moved the state") {
  refused_for_memory<float>(small);
  refused_for_memory<bfloat16>(small);
  refused_for_memory<float>(small2);
  refused_for_memory<float>(with_experts);
  // Nor has one of a block with a state of other sizes.
  ready<decltype(small), float> model(small);
  const auto layer = model.w.layers[0].mixer;
  const index_t C = layer.channels();
  dice d{1};
  table<float> u(2, C, 0, d), y(2, C);
  const blocks::state_sizes s = layer.state_of_one();
  std::vector<float> conv(std::size_t(s.before * s.channels)), S(std::size_t(s.keys * s.values));
  scratch of_layer(workspace_bytes(cpu::serial{}, layer, 1, 2));
  const auto with = [&](index_t heads, index_t keys, index_t values) {
    const blocks::sequence_state<float> state{{conv.data(), {1, s.before, s.channels}},
                                              {S.data(), {1, heads, keys, values}}};
    return forward(cpu::serial{of_layer}, layer, u, 1, y, {}, state).code;
  };
  CHECK(with(1, s.keys - 1, s.values) == errc::shape);
  CHECK(with(1, s.values, s.keys) == errc::shape);
  CHECK(with(2, s.keys / 2, s.values) == errc::shape);
  CHECK(conv == std::vector<float>(conv.size()));
  CHECK(with(1, s.keys, s.values) == errc::ok);
  CHECK(conv != std::vector<float>(conv.size()));
}
