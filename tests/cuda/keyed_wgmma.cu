// SPDX-License-Identifier: Apache-2.0
/// @file  Hopper's kernel for decays per key against the recurrence in float64: sizes, gates of every strength, states, orders,
///        strides.
#include <sextant/cuda/keyed_wgmma.cuh>

#include "cuda/hopper.cuh"
#include "invented.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr by_family<gpu::keyed_wgmma> keyed{};
constexpr auto decaying_keys = plain.with(forget::log_decay<per::key>{});
constexpr auto all_switches =
    gla.with(shortcut::learned{}, output::silu{}, heads::grouped{}, order::reversed{}, forget::log_sigmoid<per::key>{});

constexpr auto admitting = gla.with(map::elu_plus_one{}, input::softplus<per::head>{}, shortcut::learned{});
constexpr auto admitting_back = decaying_keys.with(map::relu{}, input::sigmoid{}, order::reversed{});

}  // namespace

TEST_CASE("any number of tokens, keys and channels, with and without a state") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 127, 128, 200, 449})
    for (const index_t K : {64, 128}) {
      holds<bf16>(gla, {.B = 2, .T = T, .Hk = 2, .H = 2, .K = K, .V = 128}, {.initial_state = T % 2 == 1}, keyed);
      holds<bf16>(decaying_keys, {.B = 1, .T = T, .Hk = 3, .H = 3, .K = K, .V = 64}, {.initial_state = T % 2 == 0},
                  keyed);
      holds<bf16>(all_switches, {.B = 2, .T = T, .Hk = 1, .H = 2, .K = K, .V = 128}, {.initial_state = T % 2 == 1},
                  keyed);
    }
  for (const index_t K : {8, 32, 40, 56, 72, 96, 120})
    for (const index_t V : {8, 32, 72, 136, 192, 256}) {
      const shape s{.B = 1, .T = 90, .Hk = 2, .H = 2, .K = K, .V = V};
      holds<bf16>(gla, s, {.initial_state = true}, keyed);
      holds<bf16>(all_switches, s, {.initial_state = true, .gate_size = 5}, keyed);
    }
}

TEST_CASE("gates from next to nothing to far beyond a float's range") {
  if (!has_hopper()) return;
  for (const double size : {1e-6, 0.01, 0.1, 0.5, 1.0, 3.0, 6.0, 10.0, 30.0, 1000.0})
    for (const index_t K : {64, 128}) {
      const shape s{.B = 1, .T = 150, .Hk = 2, .H = 2, .K = K, .V = 128};
      holds<bf16>(decaying_keys, s, {.seed = 3, .initial_state = true, .gate_size = size}, keyed);
      holds<bf16>(all_switches, s, {.seed = 4, .initial_state = true, .gate_size = size}, keyed);
      holds<bf16>(gla, s, {.seed = 5, .gate_size = 20 * size}, keyed);
    }
}

TEST_CASE("maps and input gates of heads, decays of every strength") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 16, 33, 200})
    for (const index_t K : {64, 128})
      for (const double size : {0.1, 2.0, 50.0}) {
        const wishes w{.seed = 7, .initial_state = T % 2 == 0, .gate_size = size};
        holds<bf16>(admitting, {.B = 2, .T = T, .Hk = 2, .H = 2, .K = K, .V = 128}, w, keyed);
        holds<bf16>(admitting_back, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = K, .V = 64}, w, keyed);
      }
}

TEST_CASE(
    "16 tokens that decay by 44, 45, 99, 101, 150, 170 and 1000 nats, at once or step by step, some keys or all") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 100, .Hk = 1, .H = 2, .K = 128, .V = 128};
  const wishes w{.initial_state = true};
  for (const float nats : {44.0f, 45.0f, 99.0f, 101.0f, 150.0f, 170.0f, 1000.0f})
    for (const index_t every : {1, 3, 100}) {
      const auto evenly = all_decays([=](index_t, index_t key) { return key % every == 0 ? -nats / 16 : -0.01f; });
      const auto at_once =
          all_decays([=](index_t t, index_t key) { return t % 16 == 5 && key % every == 0 ? -nats : -0.01f; });
      const auto now_and_then =
          all_decays([=](index_t t, index_t key) { return t / 16 % 2 == 1 && key % every == 0 ? -nats / 16 : -0.1f; });
      CHECK(error_after<bf16>(decaying_keys, s, w, evenly, keyed) <= tolerance<bf16>);
      CHECK(error_after<bf16>(decaying_keys, s, w, at_once, keyed) <= tolerance<bf16>);
      CHECK(error_after<bf16>(decaying_keys.with(order::reversed{}), s, w, now_and_then, keyed) <= tolerance<bf16>);
    }
}

TEST_CASE("gates of 0 and of 1, here and there and everywhere") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 130, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const wishes w{.initial_state = true};
  constexpr float none = -std::numeric_limits<float>::infinity();
  const auto zeros_at = [](index_t every) {
    return all_decays([every](index_t t, index_t key) { return (7 * t + key) % every == 0 ? none : -0.02f; });
  };
  for (const index_t every : {1, 5, 64, 1000})
    CHECK(error_after<bf16>(decaying_keys, s, w, zeros_at(every), keyed) <= tolerance<bf16>);
  const auto ones = all_decays([](index_t, index_t) { return 0.0f; });
  CHECK(error_after<bf16>(decaying_keys, s, w, ones, keyed) <= tolerance<bf16>);
}

TEST_CASE("many small problems: nothing is large but what one or two tokens have left") {
  if (!has_hopper()) return;
  double worst = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed)
    for (const index_t T : {1, 2, 3, 7, 16, 40}) {
      const wishes w{.seed = seed, .initial_state = seed % 2 == 0, .gate_size = seed % 3 == 0 ? 3.0 : 0.3};
      const shape s{.B = 1, .T = T, .Hk = 1, .H = 1, .K = seed % 4 < 2 ? 64 : 128, .V = 64};
      worst = std::fmax(worst, error_after<bf16>(decaying_keys, s, w, unchanged, keyed));
    }
  MESSAGE("worst of 360: ", worst);
  CHECK(worst <= tolerance<bf16>);
}

TEST_CASE("rows inside a wider tensor, heads before tokens") {
  if (!has_hopper()) return;
  const auto spread = [](auto& p) {
    // q, k, the gate and v as neighbours in one row per token; y in a row per head.
    using token = std::remove_cvref_t<decltype(p.tokens[0][0])>;
    const shape& s = p.size;
    const index_t row = s.H * (3 * s.K + s.V);
    auto& all = p.tokens.emplace_back(std::size_t(s.B * s.T * row));
    const auto move_into = [&](auto& x, index_t first) {
      const index_t width = x.extent(3);
      for (index_t b = 0; b < s.B; ++b)
        for (index_t t = 0; t < s.T; ++t)
          for (index_t i = 0; i < s.H * width; ++i)
            all[std::size_t((b * s.T + t) * row + first + i)] = x(b, t, i / width, i % width);
      x = {all.data() + first, {s.B, s.T, s.H, width}, {s.T * row, row, width, 1}};
    };
    move_into(p.x.q, 0), move_into(p.x.k, s.H * s.K), move_into(p.x.forget, 2 * s.H * s.K),
        move_into(p.x.v, 3 * s.H * s.K);
    auto& y = p.tokens[0];
    for (auto& e : y) e = token(std::numeric_limits<float>::quiet_NaN());
    p.x.y = {y.data(), {s.B, s.T, s.H, s.V}, {s.H * s.T * s.V, s.V, s.T * s.V, 1}};
  };
  CHECK(error_after<bf16>(gla, {.B = 2, .T = 150, .Hk = 2, .H = 2, .K = 128, .V = 128}, {.initial_state = true}, spread,
                          keyed) <= tolerance<bf16>);
}

TEST_CASE("NaN in, NaN out, and no further than its step of 16 tokens, channel and head") {
  if (!has_hopper()) return;
  const shape s{.B = 2, .T = 200, .Hk = 2, .H = 2, .K = 64, .V = 64};
  for (const index_t at : {64, 69, 70, 79, 95, 199})
    for (const bool in_gate : {false, true}) {
      auto p = make_problem<bf16, bfloat16>(gla, s);
      constexpr float nan = std::numeric_limits<float>::quiet_NaN();
      if (in_gate) put(p.x.forget, (at * s.H + 1) * s.K + 9, nan);
      else put(p.x.v, (at * s.H + 1) * s.V + 5, nan);
      REQUIRE(bool(run_on_gpu(p, keyed)));
      INFO("token ", int(at), ", ", in_gate ? 1 : 0);
      CHECK(nans(p, 0, at, s.T, 1) == (in_gate ? s.V : 1) * (s.T - at));
      CHECK(nans(p, 0, 0, at / 16 * 16, 1) == 0);
      CHECK(nans(p, 0, 0, s.T, 0) + nans(p, 1, 0, s.T, 0) + nans(p, 1, 0, s.T, 1) == 0);
    }
}

TEST_CASE("twenty runs give the same bits") {
  if (!has_hopper()) return;
  for (const index_t K : {64, 128}) {
    auto p = make_problem<bf16, bfloat16>(gla, {.B = 4, .T = 1000, .Hk = 32, .H = 32, .K = K, .V = 128},
                                          {.initial_state = true});
    CHECK(gives_the_same_bits(p, keyed));
  }
}

TEST_CASE("a gate of one's own, that has no logarithm") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 200})
    holds<bf16>(plain.with(invented::gaussian{.sharpness = 1.5f}), {.B = 1, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64},
                {.initial_state = true}, keyed);
}

TEST_CASE("what it does not take, it says") {
  if (!has_hopper()) return;
  const auto taken = [](const shape& s) {
    auto p = make_problem<bf16, bfloat16>(gla, s);
    device_problem device(p);
    return gpu::keyed_wgmma::takes(p.design, device.x);
  };
  CHECK(taken({.B = 1, .T = 3, .Hk = 1, .H = 1, .K = 64, .V = 64}));
  CHECK(!taken({.B = 1, .T = 3, .Hk = 1, .H = 1, .K = 136, .V = 64}));
  CHECK(!taken({.B = 1, .T = 3, .Hk = 1, .H = 1, .K = 64, .V = 68}));
  CHECK(!taken({.B = 1, .T = 0, .Hk = 1, .H = 1, .K = 64, .V = 64}));
}
