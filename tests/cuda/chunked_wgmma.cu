// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form of Hopper against the recurrence in float64: sizes, gates, states, orders, strides.
#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

TEST_CASE("without gates: any number of tokens, keys and channels") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 2, 63, 64, 65, 127, 128, 129, 192, 300}) {
    holds<bf16>(plain, {.B = 2, .T = T, .Hk = 3, .H = 3, .K = 64, .V = 64}, {.initial_state = T % 2 == 1});
    holds<fp16>(plain, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = 128, .V = 128}, {.initial_state = T % 2 == 0});
  }
  for (const index_t V : {64, 128, 192, 256, 640})
    for (const index_t K : {64, 128}) holds<bf16>(plain, {.B = 1, .T = 150, .Hk = 2, .H = 2, .K = K, .V = V});
}

constexpr auto gated_output = mamba2.with(output::silu{}, scale::inverse_root{});

TEST_CASE("Mamba-2: heads that share keys in pairs, in odd numbers and alone") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 63, 64, 65, 200, 449})
    for (const index_t K : {64, 128}) {
      holds<bf16>(mamba2, {.B = 2, .T = T, .Hk = 1, .H = 4, .K = K, .V = 64}, {.initial_state = T % 2 == 1});
      holds<fp16>(mamba2, {.B = 1, .T = T, .Hk = 2, .H = 4, .K = K, .V = 64}, {.initial_state = T % 2 == 0});
    }
  for (const index_t V : {64, 128, 192}) {
    holds<bf16>(mamba2, {.B = 1, .T = 150, .Hk = 2, .H = 6, .K = 128, .V = V});
    holds<bf16>(mamba2, {.B = 1, .T = 150, .Hk = 2, .H = 8, .K = 64, .V = V});
    holds<bf16>(mamba2, {.B = 1, .T = 150, .Hk = 2, .H = 2, .K = 128, .V = V});
  }
}

TEST_CASE("Mamba-2 with a map, reversed, or with an output gate: mild decays and strong ones") {
  if (!has_hopper()) return;
  const auto mapped = mamba2.with(map::relu{}, order::reversed{});
  for (const double rate : {0.02, 4.0})
    for (const index_t K : {64, 128})
      holds<bf16>(mapped, {.B = 1, .T = 330, .Hk = 1, .H = 2, .K = K, .V = 64},
                  {.initial_state = true, .rate_size = rate});
  for (const double rate : {0.02, 1.0, 4.0})
    for (const index_t K : {64, 128})
      for (const index_t T : {64, 330, 900})
        holds<bf16>(gated_output, {.B = 1, .T = T, .Hk = 1, .H = 4, .K = K, .V = 64}, {.initial_state = true, .rate_size = rate});
}

TEST_CASE("step sizes of 0 to 50 and rates of 1e-4 to 1000") {
  if (!has_hopper()) return;
  for (const double rate : {1e-4, 1.0, 16.0, 1e3})
    for (const double step : {1e-6, 1.0, 50.0}) {
      const wishes w{.initial_state = true, .gate_size = step, .rate_size = rate};
      holds<bf16>(mamba2, {.B = 1, .T = 200, .Hk = 1, .H = 2, .K = 64, .V = 64}, w);
      holds<fp16>(mamba2, {.B = 1, .T = 200, .Hk = 1, .H = 1, .K = 128, .V = 64}, w);
    }
}

TEST_CASE("gates of 0 here and there, gates of 1, decays of every strength") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 260, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const wishes w{.initial_state = true};
  const auto zero_at = [](std::initializer_list<index_t> tokens) {
    return [tokens](auto& p) {
      for (const index_t t : tokens)
        for (index_t h = 0; h < 2; ++h) put(p.x.forget, t * 2 + h, -std::numeric_limits<float>::infinity());
    };
  };
  CHECK(error_after<bf16>(decaying, s, w, zero_at({0})) <= tolerance<bf16>);
  CHECK(error_after<bf16>(decaying, s, w, zero_at({15, 16, 17, 64, 65, 127})) <= tolerance<bf16>);
  CHECK(error_after<fp16>(decaying, s, w, zero_at({63, 128, 190, 191, 192, 259})) <= tolerance<fp16>);
  const auto all_of = [](float number) {
    return [number](auto& p) {
      for (index_t i = 0; i < p.x.forget.size(); ++i) put(p.x.forget, i, number);
    };
  };
  CHECK(error_after<bf16>(decaying, s, w, all_of(0.0f)) <= tolerance<bf16>);
  CHECK(error_after<bf16>(decaying, s, w, all_of(-std::numeric_limits<float>::infinity())) <= tolerance<bf16>);
  for (const double size : {1e-6, 0.05, 1.0, 5.0, 20.0, 1000.0}) {
    holds<bf16>(decaying, s, {.initial_state = true, .gate_size = size});
    holds<fp16>(decaying, {.B = 1, .T = 130, .Hk = 1, .H = 1, .K = 128, .V = 128}, {.gate_size = size});
  }
}

TEST_CASE("a constant decay, with rates given and its own") {
  if (!has_hopper()) return;
  for (const double rate : {1e-4, 0.1, 10.0})
    holds<bf16>(retnet, {.B = 1, .T = 330, .Hk = 2, .H = 2, .K = 128, .V = 128},
                {.initial_state = true, .rate_size = rate});
  const auto own_rates = [](auto& p) { p.x.a = {}; };
  CHECK(error_after<bf16>(retnet, {.B = 1, .T = 330, .Hk = 4, .H = 4, .K = 64, .V = 64}, {}, own_rates) <=
        tolerance<bf16>);
}

TEST_CASE("normalised: the map, the normaliser's state, its gates") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 63, 64, 65, 300})
    for (const index_t D : {64, 128}) {
      const wishes w{.initial_state = T % 2 == 1, .positive_keys = true};
      holds<bf16>(linear_attention, {.B = 2, .T = T, .Hk = 2, .H = 2, .K = D, .V = D}, w);
      holds<bf16>(everything, {.B = 2, .T = T, .Hk = 2, .H = 2, .K = 192 - D, .V = D}, w);
      holds<bf16>(undecayed, {.B = 1, .T = T, .Hk = 1, .H = 2, .K = D, .V = 192 - D}, w);
      holds<fp16>(everything, {.B = 1, .T = T, .Hk = 1, .H = 1, .K = D, .V = D}, w);
      for (const index_t H : {3, 4}) {
        holds<bf16>(paired_sums, {.B = 1, .T = T, .Hk = 1, .H = H, .K = D, .V = 64}, w);
        holds<fp16>(undecayed, {.B = 1, .T = T, .Hk = 1, .H = H, .K = D, .V = 64}, w);
      }
      holds<bf16>(undecayed.with(norm::sum{}, forget::one{}, input::one{}),
                  {.B = 1, .T = T, .Hk = 2, .H = 4, .K = D, .V = 64}, w);
    }
  for (const index_t V : {192, 256, 448})  // blocks that share a head, and its z
    for (const index_t K : {64, 128}) {
      const wishes w{.initial_state = true, .positive_keys = true};
      holds<bf16>(linear_attention.with(heads::single{}), {.B = 2, .T = 130, .Hk = 1, .H = 1, .K = K, .V = V}, w);
      holds<bf16>(everything, {.B = 1, .T = 130, .Hk = 2, .H = 2, .K = K, .V = V}, w);
      holds<fp16>(undecayed, {.B = 1, .T = 130, .Hk = 1, .H = 2, .K = K, .V = V}, w);
    }
  for (const double rate : {1e-4, 1.0, 1e3})
    for (const double step : {1e-6, 50.0}) {
      const wishes w{.initial_state = true, .gate_size = step, .rate_size = rate, .positive_keys = true};
      holds<bf16>(everything, {.B = 1, .T = 200, .Hk = 2, .H = 2, .K = 64, .V = 64}, w);
    }
}

TEST_CASE("normalised heads in pairs: mild decays, strong ones, and chunks and heads of both kinds") {
  if (!has_hopper()) return;
  for (const double rate : {1e-4, 0.02, 1.0, 4.0, 1e3})
    for (const index_t K : {64, 128}) {
      const wishes w{.initial_state = true, .rate_size = rate, .positive_keys = true};
      holds<bf16>(paired_sums, {.B = 1, .T = 900, .Hk = 1, .H = 4, .K = K, .V = 64}, w);
      holds<bf16>(paired_sums.with(input::one{}, order::reversed{}), {.B = 1, .T = 330, .Hk = 1, .H = 2, .K = K, .V = 64}, w);
      holds<bf16>(paired_sums.with(map::relu{}, order::reversed{}), {.B = 1, .T = 330, .Hk = 1, .H = 3, .K = K, .V = 64}, w);
    }
  const auto apart = [](auto& p) { put(p.x.a, 0, -0.01f), put(p.x.a, 1, -20.0f); };
  const auto nearly_apart = [](auto& p) { put(p.x.a, 0, -2.0f), put(p.x.a, 1, -1.0f); };
  const shape s{.B = 1, .T = 900, .Hk = 1, .H = 2, .K = 128, .V = 64};
  const wishes w{.initial_state = true, .positive_keys = true};
  CHECK(error_after<bf16>(paired_sums, s, w, apart) <= tolerance<bf16>);
  CHECK(error_after<bf16>(paired_sums, s, w, nearly_apart) <= tolerance<bf16>);
}

TEST_CASE("keys of 0 until token 100: y is 0 there, divided by eps") {
  if (!has_hopper()) return;
  const auto no_keys = [](auto& p) {
    const auto k = p.x.k;
    for (index_t t = 0; t < k.template extent<axis::time>() && t < 100; ++t)
      for (index_t i = 0; i < k.stride(1); ++i) put(k, t * k.stride(1) + i, 0.0f);
  };
  const auto design = undecayed.with(norm::sum{.eps = 1e-2}, forget::one{}, input::one{});
  CHECK(error_after<bf16>(design, {.B = 1, .T = 190, .Hk = 1, .H = 2, .K = 64, .V = 64}, {.positive_keys = true},
                          no_keys) <= tolerance<bf16>);
}

TEST_CASE("rows inside a wider tensor, heads before tokens, an output gate: the numbers are the same") {
  if (!has_hopper()) return;
  const auto spread = [](auto& p) {
    // q, k and v as neighbours in one row per token; y in a row per head.
    using token = std::remove_cvref_t<decltype(p.tokens[0][0])>;
    const shape& s = p.size;
    const index_t row = 2 * s.Hk * s.K + s.H * s.V;
    auto& all = p.tokens.emplace_back(std::size_t(s.B * s.T * row));
    const auto move_into = [&](auto& x, index_t first) {
      const index_t heads = x.extent(2), width = x.extent(3);
      for (index_t b = 0; b < s.B; ++b)
        for (index_t t = 0; t < s.T; ++t)
          for (index_t i = 0; i < heads * width; ++i)
            all[std::size_t((b * s.T + t) * row + first + i)] = x(b, t, i / width, i % width);
      x = {all.data() + first, {s.B, s.T, heads, width}, {s.T * row, row, width, 1}};
    };
    move_into(p.x.q, 0), move_into(p.x.k, s.Hk * s.K), move_into(p.x.v, 2 * s.Hk * s.K);
    auto& y = p.tokens[0];
    for (auto& e : y) e = token(std::numeric_limits<float>::quiet_NaN());
    p.x.y = {y.data(), {s.B, s.T, s.H, s.V}, {s.H * s.T * s.V, s.V, s.T * s.V, 1}};
  };
  for (const index_t H : {2, 3}) {
    const shape s{.B = 2, .T = 150, .Hk = 1, .H = H, .K = 128, .V = 64};
    CHECK(error_after<bf16>(gated_output, s, {.initial_state = true}, spread) <= tolerance<bf16>);
    CHECK(error_after<fp16>(gated_output, s, {}, spread) <= tolerance<fp16>);
  }
}

TEST_CASE("the state in place: a sequence in two calls equals the whole") {
  if (!has_hopper()) return;
  const auto in_two_calls = [](const auto& design, const shape& s, index_t cut) {
    using Design = std::remove_cvref_t<decltype(design)>;
    wishes w{.initial_state = true, .positive_keys = true};
    auto judge = make_problem<fp64, bfloat16>(design, s, w);
    reference::recurrent(judge.design, judge.x);
    auto answer = make_problem<bf16, bfloat16>(design, s, w);
    device_problem<Design, bf16> device(answer);
    const auto part = [](auto& v, index_t first, index_t count) {
      index_t extents[] = {v.extent(0), count, v.extent(2), v.extent(3)};
      index_t strides[] = {v.stride(0), v.stride(1), v.stride(2), v.stride(3)};
      v = {v.data() + first * v.stride(1), extents, strides};
    };
    for (int i = 0; i < 2; ++i) {
      auto x = device.x;
      const index_t first = i == 0 ? 0 : cut, count = i == 0 ? cut : s.T - cut;
      part(x.q, first, count), part(x.k, first, count), part(x.v, first, count), part(x.y, first, count);
      if constexpr (requires { x.dt; }) x.dt = {x.dt.data() + first * s.H, {s.B, count, s.H}, {s.T * s.H, s.H, 1}};
      if (i == 1) {
        x.initial_state.S = bhkv<const float>(x.final_state.S);
        if constexpr (requires { x.final_state.z; }) x.initial_state.z = bhk<const float>(x.final_state.z);
      }
      device_memory scratch(chunked.bytes(design, x));
      scratch.fill(0xff);
      CHECK(bool(chunked.run(design, x, gpu::stream{.memory = {scratch.data(), scratch.size()}})));
      must(cudaDeviceSynchronize());
    }
    device.give();
    CHECK(compare(answer, judge).worst() <= tolerance<bf16>);
  };
  for (const index_t cut : {1, 64, 100})
    in_two_calls(linear_attention, {.B = 2, .T = 170, .Hk = 2, .H = 2, .K = 64, .V = 128}, cut);
  // In segments, of which the last writes over the state that the first begins with.
  in_two_calls(plain, {.B = 1, .T = 2600, .Hk = 1, .H = 1, .K = 64, .V = 64}, 300);
  in_two_calls(mamba2, {.B = 1, .T = 2600, .Hk = 1, .H = 2, .K = 64, .V = 64}, 300);
  in_two_calls(linear_attention, {.B = 1, .T = 2600, .Hk = 1, .H = 1, .K = 64, .V = 64}, 300);
  // Of an odd number of heads that share a key one has no other in its block, of 192 channels the last 64 neither.
  in_two_calls(mamba2, {.B = 2, .T = 2600, .Hk = 1, .H = 3, .K = 128, .V = 64}, 300);
  in_two_calls(paired_sums, {.B = 2, .T = 170, .Hk = 1, .H = 3, .K = 64, .V = 64}, 64);
  in_two_calls(retnet, {.B = 1, .T = 2600, .Hk = 2, .H = 2, .K = 128, .V = 192}, 300);
}

TEST_CASE("NaN in, NaN out, and no further than its chunk, channel and head") {
  if (!has_hopper()) return;
  const shape s{.B = 2, .T = 200, .Hk = 1, .H = 2, .K = 64, .V = 64};
  for (const bool in_gate : {false, true}) {
    auto p = make_problem<bf16, bfloat16>(mamba2, s);
    const index_t at = 70;
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    if (in_gate) put(p.x.dt, at * s.H + 1, nan);
    else put(p.x.v, (at * s.H + 1) * s.V + 5, nan);
    REQUIRE(bool(run_on_gpu(p, chunked)));
    const index_t channels = in_gate ? s.V : 1;
    CHECK(nans(p, 0, at, s.T, 1) == channels * (s.T - at));
    CHECK(nans(p, 0, 0, 64, 1) == 0);
    if (!in_gate) CHECK(nans(p, 0, 64, at, 1) <= at - 64);
    CHECK(nans(p, 0, 0, s.T, 0) == 0);
    CHECK(nans(p, 1, 0, s.T, 0) + nans(p, 1, 0, s.T, 1) == 0);
  }
}

TEST_CASE("twenty runs give the same bits") {
  if (!has_hopper()) return;
  const auto repeated = [](const auto& design, const shape& s) {
    auto p = make_problem<bf16, bfloat16>(design, s, {.initial_state = true, .positive_keys = true});
    CHECK(gives_the_same_bits(p, chunked));
  };
  for (const index_t K : {64, 128}) {
    repeated(mamba2, {.B = 4, .T = 1000, .Hk = 1, .H = 32, .K = K, .V = 64});
    repeated(gated_output, {.B = 4, .T = 1000, .Hk = 1, .H = 32, .K = K, .V = 64});
    repeated(paired_sums, {.B = 4, .T = 1000, .Hk = 1, .H = 32, .K = K, .V = 64});
  }
  repeated(plain, {.B = 4, .T = 1000, .Hk = 32, .H = 32, .K = 64, .V = 64});
  repeated(linear_attention, {.B = 2, .T = 1000, .Hk = 32, .H = 32, .K = 128, .V = 128});
  repeated(everything, {.B = 2, .T = 1000, .Hk = 32, .H = 32, .K = 64, .V = 128});
}

TEST_CASE("a gate of one's own, that divides and branches and has no logarithm") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 200})
    holds<bf16>(plain.with(invented::branching{}), {.B = 1, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64},
                {.initial_state = true});
}

TEST_CASE("what it does not take, it says") {
  if (!has_hopper()) return;
  const auto taken = [](const auto& design, const shape& s) {
    auto p = make_problem<bf16, bfloat16>(design, s);
    device_problem device(p);
    return gpu::chunked_wgmma::takes(p.design, device.x);
  };
  CHECK(taken(plain, {.B = 1, .T = 3, .Hk = 1, .H = 1, .K = 64, .V = 64}));
  CHECK(!taken(plain, {.B = 1, .T = 3, .Hk = 1, .H = 1, .K = 96, .V = 64}));
  CHECK(!taken(plain, {.B = 1, .T = 3, .Hk = 1, .H = 1, .K = 64, .V = 72}));
  CHECK(!taken(plain, {.B = 1, .T = 0, .Hk = 1, .H = 1, .K = 64, .V = 64}));
  CHECK(!taken(plain, {.B = 0, .T = 3, .Hk = 1, .H = 1, .K = 64, .V = 64}));
  const auto taken_in_place = [](index_t V) {
    auto p = make_problem<bf16, bfloat16>(undecayed, {.B = 1, .T = 3, .Hk = 1, .H = 1, .K = 64, .V = V},
                                          {.initial_state = true});
    device_problem device(p);
    device.x.initial_state.z = device.x.final_state.z;
    return gpu::chunked_wgmma::takes(p.design, device.x);
  };
  CHECK(taken_in_place(128));
  CHECK(!taken_in_place(192));
}
