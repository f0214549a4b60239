// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form of Hopper against the recurrence in float64: long sequences, whole and in segments.
#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

TEST_CASE("131072 tokens") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 131072, .Hk = 1, .H = 1, .K = 64, .V = 64};
  holds<bf16>(mamba2, s, {.initial_state = true, .rate_size = 0.01});
  holds<fp16>(undecayed, s, {.positive_keys = true});
}

TEST_CASE("few heads and many tokens, whether they forget or not") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 10000, .Hk = 1, .H = 2, .K = 64, .V = 64};
  for (const double rate : {1e-4, 0.01, 1.0}) holds<bf16>(mamba2, s, {.initial_state = true, .rate_size = rate});
  holds<bf16>(plain, {.B = 1, .T = 5000, .Hk = 1, .H = 1, .K = 128, .V = 128}, {.initial_state = true});
  holds<fp16>(decaying, {.B = 1, .T = 4000, .Hk = 1, .H = 1, .K = 128, .V = 128}, {.gate_size = 0.1});
  holds<bf16>(decaying.with(order::reversed{}), {.B = 1, .T = 4001, .Hk = 1, .H = 1, .K = 64, .V = 64},
              {.initial_state = true, .gate_size = 0.02});
  holds<bf16>(mamba2, {.B = 1, .T = 5000, .Hk = 1, .H = 4, .K = 128, .V = 64}, {.initial_state = true, .rate_size = 0.05});
  // Segments of every length, the last ones of one chunk or one token; several blocks side by side.
  for (const index_t T : {2048, 2049, 2400, 3009})
    holds<bf16>(mamba2, {.B = 2, .T = T, .Hk = 2, .H = 6, .K = 64, .V = 64}, {.initial_state = true, .rate_size = 0.05});
  holds<fp16>(plain, {.B = 3, .T = 2111, .Hk = 1, .H = 1, .K = 64, .V = 64}, {.initial_state = true});
  holds<bf16>(plain, {.B = 2, .T = 3000, .Hk = 2, .H = 2, .K = 128, .V = 192}, {.initial_state = true});
  holds<fp16>(mamba2.with(output::silu{}), {.B = 1, .T = 2500, .Hk = 1, .H = 4, .K = 128, .V = 64}, {.rate_size = 0.2});
  holds<bf16>(retnet, {.B = 1, .T = 3000, .Hk = 2, .H = 2, .K = 64, .V = 128}, {.initial_state = true, .rate_size = 0.02});
  // The normaliser and the map.
  const wishes w{.initial_state = true, .rate_size = 0.02, .positive_keys = true};
  holds<bf16>(linear_attention, {.B = 1, .T = 3000, .Hk = 2, .H = 2, .K = 64, .V = 64}, w);
  for (const index_t T : {2048, 2049, 2500})
    for (const index_t V : {64, 192}) holds<bf16>(linear_attention, {.B = 1, .T = T, .Hk = 1, .H = 1, .K = 128, .V = V}, w);
  holds<bf16>(linear_attention.with(order::reversed{}), {.B = 2, .T = 2500, .Hk = 2, .H = 2, .K = 128, .V = 192}, w);
  holds<bf16>(everything, {.B = 1, .T = 2500, .Hk = 1, .H = 1, .K = 128, .V = 128}, w);
  holds<bf16>(undecayed, {.B = 1, .T = 2500, .Hk = 1, .H = 2, .K = 64, .V = 128}, w);
  holds<bf16>(everything, {.B = 1, .T = 2500, .Hk = 1, .H = 1, .K = 64, .V = 320}, w);
  holds<fp16>(undecayed, {.B = 1, .T = 2500, .Hk = 1, .H = 4, .K = 128, .V = 64}, w);
  holds<bf16>(paired_sums, {.B = 1, .T = 2500, .Hk = 1, .H = 4, .K = 128, .V = 64}, w);
}

TEST_CASE("output gates of heads with 128 keys each, whole and in segments") {
  if (!has_hopper()) return;
  const wishes w{.initial_state = true, .positive_keys = true};
  const auto gated = linear_attention.with(output::silu{});
  for (const index_t T : {1, 64, 65, 200, 449})
    for (const index_t V : {64, 128, 192}) holds<bf16>(gated, {.B = 2, .T = T, .Hk = 2, .H = 2, .K = 128, .V = V}, w);
  holds<fp16>(gated.with(norm::none{}, map::identity{}, order::reversed{}), {.B = 1, .T = 330, .Hk = 2, .H = 2, .K = 128, .V = 128}, w);
  holds<bf16>(gated, {.B = 1, .T = 2500, .Hk = 2, .H = 2, .K = 128, .V = 64}, w);
  auto p = make_problem<bf16, bfloat16>(gated, {.B = 2, .T = 1000, .Hk = 32, .H = 32, .K = 128, .V = 128}, w);
  CHECK(gives_the_same_bits(p, chunked));
}

TEST_CASE("segments whose beginning is forgotten at their end, in some heads or in all") {
  if (!has_hopper()) return;
  const auto all_of = [](const auto& numbers, float first_head, float second_head) {
    for (index_t i = 0; i < numbers.size(); ++i) put(numbers, i, i % 2 == 0 ? first_head : second_head);
  };
  for (const float strong : {-0.05f, -0.5f, -5.0f, -100.0f})
    for (const float other : {-1e-5f, -0.1f, -2.0f}) {
      // Of heads in pairs it is the one with the longer memory that counts.
      const auto rates = [&](auto& p) { all_of(p.x.a, strong, other); };
      CHECK(error_after<bf16>(mamba2, {.B = 1, .T = 4096, .Hk = 1, .H = 2, .K = 64, .V = 64}, {.initial_state = true}, rates) <=
            tolerance<bf16>);
      const auto gates = [&](auto& p) { all_of(p.x.forget, other, strong); };
      CHECK(error_after<bf16>(decaying.with(order::reversed{}), {.B = 1, .T = 4096, .Hk = 2, .H = 2, .K = 64, .V = 64},
                              {.initial_state = true}, gates) <= tolerance<bf16>);
    }
}

TEST_CASE("gates above 1, behind which the end of a segment seems to forget its beginning") {
  if (!has_hopper()) return;
  // 192 tokens grow by e^33, 64 decay by e^-32: less than 2^-40 of what the state was, seen from the end alone.
  const auto holds_in_segments = [](const auto& design, const shape& s) {
    using design_type = std::remove_cvref_t<decltype(design)>;
    constexpr bool reversed = std::is_same_v<typename design_type::order_type, order::reversed>;
    const auto gates = [&](auto& p) {
      for (index_t i = 0; i < s.B * s.T * s.H; ++i) {
        const index_t t = i / s.H % s.T, met = reversed ? s.T - 1 - t : t;
        put(p.x.forget, i, met % 256 < 192 ? 0.171875f : -0.5f);
      }
    };
    const wishes w{.initial_state = true};
    const auto p = make_problem<bf16, storage_of<bf16>>(design, s, w);
    CHECK(gpu::chunked_wgmma::workspace_bytes(p.design, p.x) > 0);  // there are segments, of 512 tokens
    CHECK(error_after<bf16>(design, s, w, gates) <= tolerance<bf16>);
  };
  holds_in_segments(decaying, {.B = 1, .T = 4096, .Hk = 1, .H = 1, .K = 64, .V = 64});
  holds_in_segments(decaying.with(order::reversed{}), {.B = 1, .T = 4096, .Hk = 2, .H = 2, .K = 128, .V = 128});
  holds_in_segments(mamba2.with(input::one{}, forget::log_decay<per::head>{}),
                    {.B = 1, .T = 4096, .Hk = 1, .H = 4, .K = 64, .V = 64});
}
