// SPDX-License-Identifier: Apache-2.0
/// @file  Hopper's kernel for decays per key against the recurrence in float64: long sequences, whole and in segments.
#include <sextant/cuda/keyed_wgmma.cuh>

#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr by_family<gpu::keyed_wgmma> keyed{};
constexpr auto decaying_keys = plain.with(forget::log_decay<per::key>{});

}  // namespace

TEST_CASE("131072 tokens") {
  if (!has_hopper()) return;
  holds<bf16>(gla, {.B = 1, .T = 131072, .Hk = 1, .H = 1, .K = 64, .V = 64}, {.initial_state = true}, keyed);
}

TEST_CASE("few heads and many tokens, whether they forget or not") {
  if (!has_hopper()) return;
  for (const double size : {1e-5, 1e-3, 0.02, 0.5, 8.0}) {
    holds<bf16>(decaying_keys, {.B = 1, .T = 4100, .Hk = 2, .H = 2, .K = 128, .V = 40},
                {.initial_state = true, .gate_size = size}, keyed);
    holds<bf16>(decaying_keys.with(order::reversed{}), {.B = 1, .T = 4001, .Hk = 1, .H = 1, .K = 64, .V = 24},
                {.initial_state = true, .gate_size = size}, keyed);
  }
  // Segments of every length, the last ones of one chunk or one token; several blocks side by side.
  for (const index_t T : {511, 512, 513, 1025, 2047, 2049, 2400})
    holds<bf16>(gla, {.B = 2, .T = T, .Hk = 1, .H = 1, .K = T % 2 == 0 ? 64 : 72, .V = 136},
                {.initial_state = T % 2 == 0}, keyed);
  holds<bf16>(gla.with(shortcut::learned{}, output::silu{}, heads::grouped{}, order::reversed{}),
              {.B = 3, .T = 2111, .Hk = 1, .H = 2, .K = 64, .V = 64}, {.initial_state = true}, keyed);
}

TEST_CASE("segments of a design with a map and an input gate") {
  if (!has_hopper()) return;
  for (const double size : {0.01, 1.0})
    holds<bf16>(decaying_keys.with(map::elu_plus_one{}, input::softplus<per::head>{}),
                {.B = 1, .T = 2500, .Hk = 2, .H = 2, .K = 64, .V = 128}, {.initial_state = true, .gate_size = size},
                keyed);
}

TEST_CASE("segments whose beginning is forgotten at their end, in some keys or in all") {
  if (!has_hopper()) return;
  const auto all_of = [](float often, float seldom) {
    return [=](auto& p) {
      for (index_t i = 0; i < p.x.forget.size(); ++i) put(p.x.forget, i, i % p.size.K % 17 == 3 ? seldom : often);
    };
  };
  for (const float strong : {-0.05f, -0.5f, -5.0f, -100.0f})
    for (const float other : {-1e-5f, -0.1f, -2.0f}) {
      const shape s{.B = 1, .T = 4096, .Hk = 2, .H = 2, .K = 64, .V = 64};
      CHECK(error_after<bf16>(decaying_keys, s, {.initial_state = true}, all_of(strong, other), keyed) <=
            tolerance<bf16>);
      CHECK(error_after<bf16>(decaying_keys.with(order::reversed{}), s, {.initial_state = true}, all_of(other, strong),
                              keyed) <= tolerance<bf16>);
    }
}

TEST_CASE("gates above 1: what a segment's last tokens forget is not all forgotten") {
  if (!has_hopper()) return;
  // A segment of 256 tokens grows by 33 nats in 192 of them and loses 32 in the other 64: more is left of its first tokens.
  const shape s{.B = 1, .T = 2048, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const auto grows = [&s](auto& p) {
    for (index_t i = 0; i < p.x.forget.size(); ++i) put(p.x.forget, i, i / (s.H * s.K) % 256 < 192 ? 0.171875f : -0.5f);
  };
  const auto grows_back = [&s](auto& p) {
    for (index_t i = 0; i < p.x.forget.size(); ++i) put(p.x.forget, i, i / (s.H * s.K) % 256 >= 64 ? 0.171875f : -0.5f);
  };
  const auto p = make_problem<bf16, bfloat16>(decaying_keys, s);
  CHECK(keyed.bytes(p.design, p.x) ==
        gpu::wgmma::keyed_states<64>::count(8, int(s.H)) * sizeof(float));  // it is cut, and into segments of 256
  CHECK(error_after<bf16>(decaying_keys, s, {.initial_state = true}, grows, keyed) <= tolerance<bf16>);
  CHECK(error_after<bf16>(decaying_keys.with(order::reversed{}), s, {.initial_state = true}, grows_back, keyed) <=
        tolerance<bf16>);
}

TEST_CASE("the state in place, in segments; twenty runs give the same bits") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 2600, .Hk = 2, .H = 2, .K = 128, .V = 128};
  auto judge = make_problem<fp64, bfloat16>(gla, s, {.initial_state = true});
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<bf16, bfloat16>(gla, s, {.initial_state = true});
  std::vector<float> begun(answer.x.initial_state.S.data(), answer.x.initial_state.S.data() + answer.S().size());
  answer.S() = begun;
  answer.x.initial_state.S = bhkv<const float>(answer.x.final_state.S);
  REQUIRE(bool(run_on_gpu(answer, keyed)));
  CHECK(compare(answer, judge).worst() <= tolerance<bf16>);
  auto p = make_problem<bf16, bfloat16>(decaying_keys, {.B = 1, .T = 9000, .Hk = 3, .H = 3, .K = 128, .V = 128},
                                        {.initial_state = true, .gate_size = 0.01});
  CHECK(gives_the_same_bits(p, keyed));
}
