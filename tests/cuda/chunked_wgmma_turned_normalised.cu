// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form of Hopper with rotary positions and a normaliser against the recurrence in float64.
#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr position::rotary_1d along{};
constexpr auto turned_attention = linear_attention.with(along);
constexpr auto turned_undecayed = undecayed.with(along);
/// Every other part that goes with it.
constexpr auto turned_everything =
    linear_attention.with(along, norm::sum_undecayed{.eps = 1e-3}, forget::exponential{}, input::softplus<per::head>{},
                          map::relu{}, output::silu{}, shortcut::learned{}, order::reversed{});

}  // namespace

TEST_CASE("turned and normalised: z is of keys that are not turned") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 2, 63, 64, 65, 300})
    for (const index_t D : {64, 128}) {
      const wishes w{.initial_state = T % 2 == 1, .positive_keys = true};
      holds_from<bf16>(5, turned_attention, {.B = 2, .T = T, .Hk = 4, .H = 4, .K = D, .V = D}, w);
      holds_from<bf16>(5, turned_attention, {.B = 2, .T = T, .Hk = 4, .H = 4, .K = D, .V = 192 - D}, w);
      holds_from<fp16>(5, linear_attention.with(position::rotary_1d{.base = 500000}, order::reversed{}),
                       {.B = 1, .T = T, .Hk = 2, .H = 2, .K = D, .V = D}, w);
    }
}

TEST_CASE("turned and normalised: gates, shared keys, many channels") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 130})
    for (const index_t D : {64, 128}) {
      const wishes w{.initial_state = T % 2 == 0, .positive_keys = true};
      holds_from<bf16>(5, turned_everything, {.B = 2, .T = T, .Hk = 4, .H = 4, .K = 192 - D, .V = D}, w);
      holds_from<bf16>(5, turned_undecayed, {.B = 2, .T = T, .Hk = 1, .H = 4, .K = D, .V = 192 - D}, w);
      holds_from<fp16>(5, turned_everything, {.B = 2, .T = T, .Hk = 2, .H = 2, .K = D, .V = D}, w);
      if (T == 1) continue;  // of which the judge would take long
      holds_from<bf16>(5, turned_attention.with(map::identity{}, input::sigmoid{}, output::silu{}),
                       {.B = 1, .T = T, .Hk = 2, .H = 2, .K = D, .V = 320}, w);
    }
}

TEST_CASE("turned and normalised from far along a sequence, and from before its beginning") {
  if (!has_hopper()) return;
  for (const index_t position : {index_t(-40), index_t(131072), index_t(1) << 29, -(index_t(1) << 40)})
    for (const index_t D : {64, 128})
      holds_from<bf16>(position, turned_attention, {.B = 2, .T = 200, .Hk = 4, .H = 4, .K = D, .V = D},
                       {.positive_keys = true});
}

TEST_CASE("turned and normalised in segments") {
  if (!has_hopper()) return;
  const wishes w{.initial_state = true, .rate_size = 0.02, .positive_keys = true};
  holds_from<bf16>(11, turned_attention, {.B = 1, .T = 3000, .Hk = 2, .H = 2, .K = 64, .V = 64}, w);
  holds_from<bf16>(11, turned_attention, {.B = 1, .T = 2500, .Hk = 1, .H = 1, .K = 128, .V = 320}, w);
  holds_from<bf16>(11, turned_everything, {.B = 1, .T = 2500, .Hk = 2, .H = 2, .K = 128, .V = 128}, w);
}

TEST_CASE("turned linear attention, twenty runs give the same bits") {
  if (!has_hopper()) return;
  for (const index_t K : {64, 128}) {
    auto p = make_problem<bf16, bfloat16>(turned_attention, {.B = 2, .T = 1000, .Hk = 32, .H = 32, .K = K, .V = 128},
                                          {.initial_state = true, .positive_keys = true});
    CHECK(gives_the_same_bits(p, chunked));
  }
}

TEST_CASE("turned and normalised: what is left to a family that has keys in two parts") {
  using family = gpu::chunked_wgmma;
  using decaying = decltype(turned_everything.with(norm::sum{}));
  using of_pictures = decltype(linear_attention.with(position::rotary_2d{}));
  static_assert(family::runs<decltype(linear_attention.with(along)), bf16>);
  static_assert(!family::runs<decaying, bf16> && !family::runs<of_pictures, bf16>);
  if (!has_hopper()) return;
  CHECK(!takes(turned_attention, {.B = 2, .T = 1023, .K = 64, .V = 64}));
  CHECK(takes(turned_attention, {.B = 2, .T = 1024, .K = 64, .V = 64}));
}
