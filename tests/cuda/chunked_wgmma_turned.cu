// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form of Hopper with rotary positions against the recurrence in float64.
#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr position::rotary_1d along{};
constexpr position::rotary_2d across{};

}  // namespace

TEST_CASE("turned without gates: any number of tokens, keys and channels") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 2, 63, 64, 65, 127, 128, 129, 192, 300})
    for (const index_t K : {64, 128}) {
      holds_from<bf16>(T, plain.with(along), {.B = 2, .T = T, .Hk = 4, .H = 4, .K = K, .V = 192 - K},
                       {.initial_state = T % 2 == 1});
      holds_from<fp16>(0, plain.with(along, order::reversed{}), {.B = 1, .T = T, .Hk = 3, .H = 3, .K = K, .V = K},
                       {.initial_state = T % 2 == 0});
    }
  for (const index_t V : {64, 192, 256})
    for (const index_t K : {64, 128})
      holds_from<bf16>(7, plain.with(along), {.B = 2, .T = 150, .Hk = 4, .H = 4, .K = K, .V = V});
}

TEST_CASE("turned from far along a sequence, and from before its beginning") {
  if (!has_hopper()) return;
  for (const index_t position : {index_t(-40), index_t(131072), index_t(1) << 29, -(index_t(1) << 40)})
    for (const index_t K : {64, 128}) {
      holds_from<bf16>(position, mamba2.with(along), {.B = 2, .T = 200, .Hk = 1, .H = 4, .K = K, .V = 64});
      holds_from<bf16>(position, plain.with(along), {.B = 2, .T = 200, .Hk = 4, .H = 4, .K = K, .V = 64});
    }
}

TEST_CASE("turned Mamba-2: heads that share keys in pairs, mild decays and strong ones") {
  if (!has_hopper()) return;
  for (const index_t T : {33, 64, 65, 449})
    for (const index_t K : {64, 128}) {
      holds_from<bf16>(3, mamba2.with(along), {.B = 2, .T = T, .Hk = 1, .H = 4, .K = K, .V = 64},
                       {.initial_state = T % 2 == 1});
      holds_from<fp16>(0, mamba2.with(along), {.B = 2, .T = T, .Hk = 2, .H = 6, .K = K, .V = 64},
                       {.initial_state = T % 2 == 0});
    }
  for (const double rate : {0.02, 1.0, 1e3})
    for (const index_t K : {64, 128}) {
      const wishes w{.initial_state = true, .rate_size = rate};
      holds_from<bf16>(9, mamba2.with(along, output::silu{}, order::reversed{}),
                       {.B = 2, .T = 200, .Hk = 1, .H = 4, .K = K, .V = 64}, w);
      holds_from<bf16>(9, mamba2.with(along, map::relu{}), {.B = 2, .T = 200, .Hk = 2, .H = 4, .K = K, .V = 128}, w);
    }
}

TEST_CASE("turned in two dimensions, by the rows and columns of a picture") {
  if (!has_hopper()) return;
  for (const index_t width : {1, 7, 20})
    holds_from<bf16>(0, mamba2.with(across, order::reversed{}),
                     {.B = 2, .T = 9 * width, .Hk = 1, .H = 6, .K = 128, .V = 64, .grid_width = width},
                     {.initial_state = true});
}

TEST_CASE("turned in segments") {
  if (!has_hopper()) return;
  const wishes w{.initial_state = true, .rate_size = 0.02};
  holds_from<bf16>(11, plain.with(along), {.B = 1, .T = 3000, .Hk = 1, .H = 1, .K = 128, .V = 128}, w);
  holds_from<bf16>(11, mamba2.with(along), {.B = 2, .T = 3009, .Hk = 1, .H = 6, .K = 64, .V = 64}, w);
  holds_from<bf16>(11, mamba2.with(along), {.B = 1, .T = 3000, .Hk = 1, .H = 4, .K = 128, .V = 64}, w);
}

TEST_CASE("turned Mamba-2, twenty runs give the same bits") {
  if (!has_hopper()) return;
  for (const index_t K : {64, 128}) {
    auto p = make_problem<bf16, bfloat16>(mamba2.with(along), {.B = 4, .T = 1000, .Hk = 1, .H = 32, .K = K, .V = 64},
                                          {.initial_state = true});
    CHECK(gives_the_same_bits(p, chunked));
  }
}

TEST_CASE("turned: small calls are left to a family that has keys in two parts") {
  if (!has_hopper()) return;
  CHECK(!takes(mamba2.with(along), {.B = 2, .T = 1023, .Hk = 1, .H = 2, .K = 64, .V = 64}));
  CHECK(takes(mamba2.with(along), {.B = 2, .T = 1024, .Hk = 1, .H = 2, .K = 64, .V = 64}));
}
