// SPDX-License-Identifier: Apache-2.0
/// @file  Hopper's kernel for decays per key with a normaliser or with rotary positions, against the recurrence in float64.
#include <sextant/cuda/keyed_wgmma.cuh>

#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr by_family<gpu::keyed_wgmma> keyed{};
constexpr auto decaying_keys = plain.with(forget::log_decay<per::key>{});

constexpr auto average = gla.with(norm::sum{});
constexpr auto average_of_decays = decaying_keys.with(norm::sum{.eps = 1e-3}, shortcut::learned{}, output::silu{});
// A map makes something of tokens that are not there, which in a reversed sequence come first.
constexpr auto average_back = gla.with(norm::sum{}, map::elu_plus_one{}, heads::grouped{}, order::reversed{});

constexpr position::rotary_1d along{};
constexpr auto turning = gla.with(along);
constexpr auto turning_decays = decaying_keys.with(along, shortcut::learned{}, output::silu{});
constexpr auto turning_back =
    gla.with(along, map::relu{}, input::softplus<per::head>{}, heads::grouped{}, order::reversed{});

/// The worst error with the first token at `position`, `change` having been let loose on the decays.
template <class Design, class Change>
double error_at(const Design& design, const shape& s, wishes w, index_t position, const Change& change) {
  w.positive_keys = divides<Design>;
  const auto place = [&](auto& p) {
    if constexpr (requires { p.x.first_position; }) p.x.first_position = position;
    change(p);
  };
  return error_after<bf16>(design, s, w, place, keyed);
}
template <class Design> void holds_at(const Design& design, const shape& s, const wishes& w, index_t position = 0) {
  INFO("T ", int(s.T), ", K ", int(s.K), ", V ", int(s.V), ", gates of ", w.gate_size, ", from ", int(position));
  CHECK(error_at(design, s, w, position, unchanged) <= tolerance<bf16>);
}

}  // namespace

TEST_CASE("a normaliser: any number of tokens, keys and channels, with and without a state") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 127, 200})
    for (const index_t K : {64, 128}) {
      holds_at(average, {.B = 2, .T = T, .Hk = 1, .H = 1, .K = K, .V = 128}, {.initial_state = T % 2 == 1});
      holds_at(average_of_decays, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = K, .V = 24}, {.initial_state = T % 2 == 0});
      holds_at(average_back, {.B = 1, .T = T, .Hk = 1, .H = 2, .K = K, .V = 64}, {.initial_state = T % 2 == 1});
    }
  for (const index_t K : {8, 40, 72, 120})
    for (const index_t V : {8, 72, 136, 256})
      holds_at(average, {.B = 1, .T = 90, .Hk = 2, .H = 2, .K = K, .V = V}, {.initial_state = true});
}

TEST_CASE("positions: any number of tokens, keys and channels, wherever the sequence begins") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 127, 200})
    for (const index_t K : {64, 128}) {
      holds_at(turning, {.B = 2, .T = T, .Hk = 1, .H = 1, .K = K, .V = 128}, {.initial_state = T % 2 == 1});
      holds_at(turning_decays, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = K, .V = 24}, {.initial_state = T % 2 == 0},
               100000);
      holds_at(turning_back, {.B = 1, .T = T, .Hk = 1, .H = 2, .K = K, .V = 64}, {.initial_state = T % 2 == 1}, -40);
    }
  for (const index_t K : {8, 40, 72, 120})
    for (const index_t V : {8, 136})
      holds_at(turning, {.B = 1, .T = 90, .Hk = 2, .H = 2, .K = K, .V = V}, {.initial_state = true}, 1 << 28);
}

TEST_CASE("normalisers and positions: gates from next to nothing to far beyond a float's range") {
  if (!has_hopper()) return;
  for (const double size : {1e-6, 0.1, 1.0, 3.0, 10.0, 1000.0})
    for (const index_t K : {64, 128}) {
      const shape s{.B = 1, .T = 150, .Hk = 2, .H = 2, .K = K, .V = 40};
      const wishes w{.seed = 3, .initial_state = true, .gate_size = size};
      holds_at(average_of_decays, s, w);
      holds_at(average_back, {.B = 1, .T = 150, .Hk = 1, .H = 2, .K = K, .V = 64}, w);
      holds_at(turning_decays, s, w, 77);
      holds_at(turning_back, {.B = 1, .T = 150, .Hk = 1, .H = 2, .K = K, .V = 64}, w, 77);
    }
}

TEST_CASE("normalisers and positions: 16 tokens that decay by 44 to 1000 nats, at once or evenly, some keys or all") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 100, .Hk = 1, .H = 1, .K = 128, .V = 32};
  const wishes w{.initial_state = true};
  const auto check = [&](const auto& design, const auto& decays) {
    CHECK(error_at(design, s, w, 5, decays) <= tolerance<bf16>);
  };
  for (const float nats : {44.0f, 45.0f, 99.0f, 101.0f, 150.0f, 170.0f, 1000.0f})
    for (const index_t every : {1, 3, 100}) {
      const auto evenly = all_decays([=](index_t, index_t key) { return key % every == 0 ? -nats / 16 : -0.01f; });
      const auto at_once =
          all_decays([=](index_t t, index_t key) { return t % 16 == 5 && key % every == 0 ? -nats : -0.01f; });
      const auto one_slab = all_decays([=](index_t t, index_t key) {
        return t / 16 % 2 == 1 && key >= 64 && key % every == 0 ? -nats / 16 : -0.1f;
      });
      check(average_of_decays, evenly), check(turning_decays, evenly);
      check(average_of_decays, at_once), check(turning_decays, at_once);
      check(average_of_decays.with(order::reversed{}), one_slab),
          check(turning_decays.with(order::reversed{}), one_slab);
    }
}

TEST_CASE("normalisers and positions: many small problems") {
  if (!has_hopper()) return;
  double average_worst = 0, turning_worst = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed)
    for (const index_t T : {1, 2, 3, 7, 16, 40}) {
      const wishes w{.seed = seed, .initial_state = seed % 2 == 0, .gate_size = seed % 3 == 0 ? 3.0 : 0.3};
      const shape s{.B = 1, .T = T, .Hk = 1, .H = 1, .K = seed % 4 < 2 ? 64 : 128, .V = 64};
      average_worst = std::fmax(average_worst, error_at(decaying_keys.with(norm::sum{}), s, w, 0, unchanged));
      turning_worst =
          std::fmax(turning_worst, error_at(decaying_keys.with(along), s, w, index_t(1000 * seed), unchanged));
    }
  MESSAGE("worst of 180 with a normaliser: ", average_worst, ", with positions: ", turning_worst);
  CHECK(average_worst <= tolerance<bf16>);
  CHECK(turning_worst <= tolerance<bf16>);
}

TEST_CASE("normalisers and positions: few heads and many tokens, whether they forget or not") {
  if (!has_hopper()) return;
  for (const double size : {1e-5, 0.02, 8.0}) {
    const wishes w{.initial_state = true, .gate_size = size};
    const shape s{.B = 1, .T = 4000, .Hk = 1, .H = 1, .K = 128, .V = 40};
    const shape back{.B = 1, .T = 3001, .Hk = 1, .H = 1, .K = 64, .V = 24};
    holds_at(decaying_keys.with(norm::sum{}), s, w), holds_at(decaying_keys.with(along), s, w, 9);
    holds_at(decaying_keys.with(norm::sum{}, map::elu_plus_one{}, order::reversed{}), back, w);
    holds_at(decaying_keys.with(along, order::reversed{}), back, w, 9);
  }
  // Segments that add up themselves what those before them hand over, and many; several blocks side by side.
  for (const index_t T : {513, 1025, 2049}) {
    const shape s{.B = 2, .T = T, .Hk = 1, .H = 1, .K = 72, .V = 136};
    holds_at(average, s, {.initial_state = T % 2 == 0}), holds_at(turning, s, {.initial_state = T % 2 == 0});
  }
}

TEST_CASE("a normaliser in place: z and the state; positions and normalisers give the same bits twenty times") {
  if (!has_hopper()) return;
  for (const index_t T : {100, 2600}) {
    const shape s{.B = 1, .T = T, .Hk = 1, .H = 1, .K = 128, .V = 64};
    const wishes w{.initial_state = true, .positive_keys = true};
    auto judge = make_problem<fp64, bfloat16>(average, s, w);
    reference::recurrent(judge.design, judge.x);
    auto answer = make_problem<bf16, bfloat16>(average, s, w);
    for (index_t i = 0; i < answer.x.final_state.S.size(); ++i)
      answer.x.final_state.S.data()[i] = answer.x.initial_state.S.data()[i];
    for (index_t i = 0; i < answer.x.final_state.z.size(); ++i)
      answer.x.final_state.z.data()[i] = answer.x.initial_state.z.data()[i];
    answer.x.initial_state.S = bhkv<const float>(answer.x.final_state.S);
    answer.x.initial_state.z = bhk<const float>(answer.x.final_state.z);
    REQUIRE(bool(run_on_gpu(answer, keyed)));
    CHECK(compare(answer, judge).worst() <= tolerance<bf16>);
  }
  const shape s{.B = 2, .T = 1000, .Hk = 16, .H = 16, .K = 128, .V = 128};
  auto averages = make_problem<bf16, bfloat16>(average, s, {.initial_state = true, .positive_keys = true});
  CHECK(gives_the_same_bits(averages, keyed));
  auto turned_ones = make_problem<bf16, bfloat16>(turning, s, {.initial_state = true});
  CHECK(gives_the_same_bits(turned_ones, keyed));
}

TEST_CASE("normalisers that it does not run") {
  const auto runs = [](const auto& design) {
    return gpu::keyed_wgmma::runs<std::remove_cvref_t<decltype(design)>, bf16>;
  };
  CHECK(runs(average));
  CHECK(!runs(average.with(along)));                         // z sums keys that are not turned
  CHECK(!runs(average.with(input::softplus<per::head>{})));  // and not gated
  CHECK(!runs(gla.with(norm::sum_undecayed{})));
}
