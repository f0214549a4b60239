// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form of Hopper against the recurrence in float64: gates in range by a stabiliser (mLSTM).
#include "cuda/hopper.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr auto all_parts =
    mlstm.with(norm::abs_max{.eps = 1e-3}, map::relu{}, output::silu{}, shortcut::learned{}, order::reversed{});

/// Makes the raw gates of token t those that `gates(t)` answers, in all heads.
template <class Gates> auto raw_gates(const Gates& gates) {
  return [gates](auto& p) {
    for (index_t i = 0; i < p.x.input.size(); ++i) {
      const auto [forget, input] = gates(i / p.size.H % p.size.T);
      put(p.x.forget, i, forget), put(p.x.input, i, input);
    }
  };
}
struct raw_pair {
  float forget, input;
};
/// Makes every third query zeros.
template <class Problem> void silence(Problem& p) {
  for (index_t t = 0; t < p.size.T; t += 3)
    for (index_t i = 0; i < p.size.Hk * p.size.K; ++i) put(p.x.q, t * p.size.Hk * p.size.K + i, 0.0f);
}

}  // namespace

TEST_CASE("any number of tokens, keys and channels") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 2, 63, 64, 65, 127, 128, 129, 300, 1000})
    for (const index_t D : {64, 128}) {
      const wishes w{.initial_state = T % 2 == 1};
      holds<bf16>(mlstm, {.B = 2, .T = T, .Hk = 3, .H = 3, .K = D, .V = D}, w);
      holds<fp16>(mlstm, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = D, .V = 192 - D}, w);
      holds<bf16>(mlstm.with(order::reversed{}), {.B = 1, .T = T, .Hk = 2, .H = 2, .K = 192 - D, .V = D}, w);
      holds<bf16>(all_parts, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = D, .V = D}, w);
    }
  for (const index_t V : {64, 128, 192, 256, 448})  // blocks that share a head, its z and its m
    for (const index_t K : {64, 128})
      holds<bf16>(mlstm, {.B = 1, .T = 150, .Hk = 2, .H = 2, .K = K, .V = V}, {.initial_state = true});
  holds<bf16>(mlstm, {.B = 1, .T = 1984, .Hk = 2, .H = 2, .K = 128, .V = 128}, {.initial_state = true});
}

TEST_CASE("heads that share a key, and a gate or both of them not there") {
  if (!has_hopper()) return;
  for (const index_t H : {2, 3, 4})
    holds<bf16>(mlstm.with(heads::grouped{}), {.B = 1, .T = 200, .Hk = 1, .H = H, .K = 64, .V = 64},
                {.initial_state = true});
  holds<bf16>(mlstm.with(heads::grouped{}, map::relu{}), {.B = 1, .T = 200, .Hk = 2, .H = 4, .K = 128, .V = 64},
              {.initial_state = true});
  const shape s{.B = 1, .T = 200, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const wishes w{.initial_state = true, .positive_keys = true};
  holds<bf16>(mlstm.with(forget::one{}), s, w);
  holds<bf16>(mlstm.with(input::one{}), s, w);
  holds<bf16>(mlstm.with(input::one{}, forget::one{}), s, w);
  holds<bf16>(mlstm.with(input::sigmoid{}, forget::constant{}), s, w);
  holds<bf16>(mlstm.with(input::softplus<per::head>{}, forget::exponential{}), s, w);
}

TEST_CASE("gates of every size, of both signs or one") {
  if (!has_hopper()) return;
  for (const double size : {0.01, 0.3, 3.0, 10.0, 100.0, 1e4})
    for (const index_t D : {64, 128}) {
      const wishes w{.initial_state = true, .gate_size = size, .positive_keys = true};
      holds<bf16>(mlstm, {.B = 1, .T = 300, .Hk = 4, .H = 4, .K = D, .V = D}, w);
      holds<fp16>(mlstm, {.B = 1, .T = 300, .Hk = 4, .H = 4, .K = D, .V = D}, w);
    }
}

TEST_CASE("input gates of any size, forget gates of 0 and of 1") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 260, .Hk = 2, .H = 2, .K = 64, .V = 64};
  const auto check = [&](const auto& gates) {
    for (const bool initial_state : {false, true}) {
      const wishes w{.initial_state = initial_state, .positive_keys = true};
      CHECK(error_after<bf16>(mlstm, s, w, raw_gates(gates)) <= tolerance<bf16>);
      CHECK(error_after<bf16>(mlstm.with(order::reversed{}), s, w, raw_gates(gates)) <= tolerance<bf16>);
    }
  };
  for (const float input : {1e4f, 50.0f, -20.0f}) {
    INFO("input gates ", input);
    check([=](index_t) { return raw_pair{2.0f, input}; });
    check([=](index_t t) { return raw_pair{2.0f, t % 50 == 40 ? input : 0.0f}; });
    check([=](index_t t) { return raw_pair{t % 3 == 0 ? -5.0f : 5.0f, t % 7 == 3 ? -input : 1.0f}; });
  }
  for (const index_t at :
       {index_t(0), index_t(15), index_t(16), index_t(63), index_t(64), index_t(127), index_t(259)}) {
    INFO("at token ", static_cast<long long>(at));
    check([=](index_t t) { return raw_pair{t == at ? -infinity : 3.0f, 0.5f}; });  // forgets all
    check([=](index_t t) { return raw_pair{3.0f, t == at ? -infinity : 0.5f}; });  // nothing enters
    check([=](index_t t) { return raw_pair{3.0f, t >= at ? -infinity : 0.5f}; });  // from then on
    check([=](index_t t) { return raw_pair{t == at ? -1e4f : 3.0f, t < at ? 9e3f : -2.0f}; });
  }
  // Of 1e30 a double is too short to see what a gate below 1 leaves.
  check([](index_t) { return raw_pair{infinity, 1e30f}; });
  check([](index_t t) { return raw_pair{infinity, t % 50 == 40 ? 1e30f : -1e30f}; });
  check([](index_t) { return raw_pair{infinity, 0.5f}; });
  check([](index_t) { return raw_pair{-infinity, 0.5f}; });
  check([](index_t) { return raw_pair{-1e4f, 0.5f}; });
  check([](index_t t) { return raw_pair{-1e4f, t % 2 == 0 ? 1e4f : 0.0f}; });
  check([](index_t t) { return raw_pair{1.0f, t < 130 ? 30.0f : 0.0f}; });
  check([](index_t t) { return raw_pair{3.0f, float(t / 2) / 8}; });  // larger and larger ones
}

TEST_CASE("an initial stabiliser of any size, -inf among them, which says that there is no state") {
  if (!has_hopper()) return;
  for (const index_t T : {1, 63, 64, 65, 200, 2500})
    for (const float m : {-infinity, -1e30f, -1e4f, -50.0f, 60.0f, 300.0f}) {
      INFO("T ", static_cast<long long>(T), ", m ", m);
      const shape s{.B = 1, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64};
      const wishes w{.initial_state = true, .positive_keys = true};
      const auto change = [m](auto& p) { put(p.x.initial_state.m, 1, m); };
      CHECK(error_after<bf16>(mlstm, s, w, change) <= tolerance<bf16>);
      CHECK(error_after<bf16>(mlstm.with(order::reversed{}), s, w, change) <= tolerance<bf16>);
    }
}

TEST_CASE("queries of zeros are told 0, however large input gates are") {
  if (!has_hopper()) return;
  const shape s{.B = 1, .T = 130, .Hk = 2, .H = 2, .K = 64, .V = 64};
  for (const float input : {50.0f, 90.0f, 100.0f, 300.0f}) {
    INFO("input gates ", input);
    CHECK(error_after<bf16>(mlstm, s, {.positive_keys = true}, [input](auto& p) {
            raw_gates([input](index_t) { return raw_pair{3.0f, input}; })(p);
            silence(p);
          }) <= tolerance<bf16>);
  }
}

TEST_CASE("parts of the initial state that are not given; states with heads where sequences were") {
  if (!has_hopper()) return;
  const auto exchange = [](auto& x, int head) {
    constexpr int rank = std::remove_reference_t<decltype(x)>::rank;
    index_t extents[std::size_t(rank)], strides[std::size_t(rank)];
    for (int r = 0; r < rank; ++r) extents[r] = x.extent(r), strides[r] = x.stride(r);
    std::swap(strides[0], strides[head]);
    x = {x.data(), extents, strides};
  };
  for (const index_t T : {200, 2500}) {
    INFO("T ", static_cast<long long>(T));
    const shape s{.B = 2, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 192};
    const wishes w{.initial_state = true, .positive_keys = true};
    for (const int given : {1, 2, 4}) {
      INFO("given ", given);
      CHECK(error_after<bf16>(mlstm, s, w, [given](auto& p) {
              auto& initial = p.x.initial_state;
              if (given != 1) initial.S = {};
              if (given != 2) initial.z = {};
              if (given != 4) initial.m = {};
            }) <= tolerance<bf16>);
    }
    CHECK(error_after<bf16>(mlstm, s, w, [&](auto& p) {
            exchange(p.x.initial_state.S, 1), exchange(p.x.initial_state.z, 1), exchange(p.x.initial_state.m, 1);
            exchange(p.x.final_state.S, 1), exchange(p.x.final_state.z, 1), exchange(p.x.final_state.m, 1);
          }) <= tolerance<bf16>);
  }
}

TEST_CASE("long sequences, whole and in segments") {
  if (!has_hopper()) return;
  const auto in_segments = [](const auto& design, const shape& s, const wishes& w) {
    const auto p = make_problem<bf16, bfloat16>(design, s, w);
    CHECK(gpu::chunked_wgmma::workspace_bytes(p.design, p.x) > 0);
    holds<bf16>(design, s, w);
  };
  for (const index_t T : {2048, 2049, 2500, 3009})
    for (const double size : {0.5, 4.0}) {
      const wishes w{.initial_state = T % 2 == 1, .gate_size = size, .positive_keys = T == 2500};
      in_segments(mlstm, {.B = 1, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64}, w);
      in_segments(mlstm.with(order::reversed{}), {.B = 1, .T = T, .Hk = 1, .H = 1, .K = 128, .V = 128}, w);
    }
  in_segments(all_parts, {.B = 1, .T = 2500, .Hk = 1, .H = 1, .K = 128, .V = 192}, {.initial_state = true});
  in_segments(mlstm, {.B = 1, .T = 2500, .Hk = 2, .H = 2, .K = 64, .V = 320}, {.initial_state = true});
  in_segments(mlstm.with(heads::grouped{}, map::relu{}), {.B = 1, .T = 2500, .Hk = 1, .H = 2, .K = 64, .V = 64},
              {.initial_state = true});
  in_segments(mlstm, {.B = 1, .T = 10000, .Hk = 1, .H = 2, .K = 64, .V = 64}, {.initial_state = true});
  in_segments(mlstm, {.B = 1, .T = 10000, .Hk = 1, .H = 1, .K = 128, .V = 128}, {});
  holds<bf16>(mlstm, {.B = 4, .T = 4096, .Hk = 2, .H = 2, .K = 128, .V = 128}, {.initial_state = true});
  // Segments of which one alone, or none, is remembered; of hardly any gates; with input gates far above and below 1.
  const auto check = [&](index_t T, const auto& gates) {
    const shape s{.B = 1, .T = T, .Hk = 1, .H = 1, .K = 64, .V = 64};
    for (const bool initial_state : {false, true})
      CHECK(error_after<bf16>(mlstm, s, {.initial_state = initial_state, .positive_keys = true}, raw_gates(gates)) <=
            tolerance<bf16>);
  };
  for (const index_t T : {2500, 10000}) {
    INFO("T ", static_cast<long long>(T));
    for (const float input : {1e4f, 40.0f, -20.0f}) {
      INFO("input gates ", input);
      check(T, [=](index_t t) { return raw_pair{6.0f, t == 700 ? input : 0.0f}; });
      check(T, [=](index_t) { return raw_pair{6.0f, input}; });
    }
    check(T, [](index_t t) { return raw_pair{infinity, t == 700 ? 1e30f : 0.0f}; });
    check(T, [](index_t) { return raw_pair{8.0f, 0.0f}; });
    check(T, [](index_t t) { return raw_pair{t == 1500 ? -infinity : 8.0f, 0.0f}; });
    check(T, [](index_t t) { return raw_pair{8.0f, t < 1000 ? 0.0f : -infinity}; });
    check(T, [](index_t) { return raw_pair{-3.0f, 0.0f}; });
    check(T, [](index_t t) { return raw_pair{5.0f, t < 1200 ? 60.0f : 0.0f}; });
  }
}

TEST_CASE("the state in place: a sequence in two calls equals the whole") {
  if (!has_hopper()) return;
  const auto in_two_calls = [](const shape& s, index_t cut) {
    const wishes w{.initial_state = true, .positive_keys = true};
    auto judge = make_problem<fp64, bfloat16>(mlstm, s, w);
    reference::recurrent(judge.design, judge.x);
    auto answer = make_problem<bf16, bfloat16>(mlstm, s, w);
    device_problem device(answer);
    const auto part = [](auto& v, index_t first, index_t count) {
      constexpr int rank = std::remove_reference_t<decltype(v)>::rank;
      index_t extents[std::size_t(rank)], strides[std::size_t(rank)];
      for (int r = 0; r < rank; ++r) extents[r] = r == 1 ? count : v.extent(r), strides[r] = v.stride(r);
      v = {v.data() + first * v.stride(1), extents, strides};
    };
    for (int i = 0; i < 2; ++i) {
      auto x = device.x;
      const index_t first = i == 0 ? 0 : cut, count = i == 0 ? cut : s.T - cut;
      part(x.q, first, count), part(x.k, first, count), part(x.v, first, count), part(x.y, first, count);
      part(x.input, first, count), part(x.forget, first, count);
      if (i == 1) {
        x.initial_state.S = bhkv<const float>(x.final_state.S), x.initial_state.z = bhk<const float>(x.final_state.z);
        x.initial_state.m = decltype(x.initial_state.m)(x.final_state.m);
      }
      device_memory scratch(chunked.bytes(mlstm, x));
      scratch.fill(0xff);
      CHECK(bool(chunked.run(mlstm, x, gpu::stream{.memory = {scratch.data(), scratch.size()}})));
      must(cudaDeviceSynchronize());
    }
    device.give();
    CHECK(compare(answer, judge).worst() <= tolerance<bf16>);
  };
  for (const index_t cut : {1, 64, 100}) in_two_calls({.B = 2, .T = 170, .Hk = 2, .H = 2, .K = 64, .V = 128}, cut);
  in_two_calls({.B = 1, .T = 2600, .Hk = 1, .H = 1, .K = 128, .V = 128}, 300);  // in segments
}

TEST_CASE("NaN in, NaN out, and no further than its chunk, channel and head") {
  if (!has_hopper()) return;
  for (const index_t T : {200, 2500})
    for (const int where : {0, 1, 2}) {
      const shape s{.B = 2, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64};
      auto p = make_problem<bf16, bfloat16>(mlstm, s);
      const index_t at = T - 130;
      constexpr float nan = std::numeric_limits<float>::quiet_NaN();
      if (where == 0) put(p.x.input, at * s.H + 1, nan);
      else if (where == 1) put(p.x.forget, at * s.H + 1, nan);
      else put(p.x.v, (at * s.H + 1) * s.V + 5, nan);
      REQUIRE(bool(run_on_gpu(p, chunked)));
      CHECK(nans(p, 0, at, T, 1) == (where < 2 ? s.V : 1) * (T - at));
      CHECK(nans(p, 0, 0, where < 2 ? at : at / 64 * 64, 1) == 0);  // a gate's is not seen earlier in its chunk either
      if (where == 2) CHECK(nans(p, 0, at / 64 * 64, at, 1) <= at % 64);
      CHECK(nans(p, 0, 0, T, 0) == 0);
      CHECK(nans(p, 1, 0, T, 0) + nans(p, 1, 0, T, 1) == 0);
    }
  for (const index_t T : {200, 2500})  // and of an initial stabiliser, or an input gate of infinity met from behind
    for (const bool initial : {false, true}) {
      const shape s{.B = 2, .T = T, .Hk = 2, .H = 2, .K = 64, .V = 64};
      auto p = make_problem<bf16, bfloat16>(mlstm.with(order::reversed{}), s, {.initial_state = true});
      const index_t at = initial ? T - 1 : T - 130;
      if (initial) put(p.x.initial_state.m, 1, std::numeric_limits<float>::quiet_NaN());
      else put(p.x.input, at * s.H + 1, infinity);
      REQUIRE(bool(run_on_gpu(p, chunked)));
      CHECK(nans(p, 0, 0, at + 1, 1) == s.V * (at + 1));
      CHECK(nans(p, 0, at + 1, T, 1) + nans(p, 0, 0, T, 0) == 0);
      CHECK(nans(p, 1, 0, T, 0) + nans(p, 1, 0, T, 1) == 0);
    }
}

TEST_CASE("twenty runs give the same bits") {
  if (!has_hopper()) return;
  const auto repeated = [](const auto& design, const shape& s) {
    auto p = make_problem<bf16, bfloat16>(design, s, {.initial_state = true});
    CHECK(gives_the_same_bits(p, chunked));
  };
  for (const index_t D : {64, 128}) {
    repeated(mlstm, {.B = 4, .T = 1000, .Hk = 32, .H = 32, .K = D, .V = D});
    repeated(mlstm, {.B = 1, .T = 2500, .Hk = 4, .H = 4, .K = D, .V = D});
    repeated(mlstm, {.B = 1, .T = 10000, .Hk = 2, .H = 2, .K = D, .V = D});
  }
  repeated(all_parts, {.B = 2, .T = 1000, .Hk = 32, .H = 32, .K = 64, .V = 128});
}

TEST_CASE("what it does not take, it says") {
  if (!has_hopper()) return;
  const auto taken_in_place = [](index_t V, bool z, bool m) {
    auto p = make_problem<bf16, bfloat16>(mlstm, {.B = 1, .T = 3, .Hk = 1, .H = 1, .K = 64, .V = V},
                                          {.initial_state = true});
    device_problem device(p);
    if (z) device.x.initial_state.z = device.x.final_state.z;
    if (m) device.x.initial_state.m = decltype(device.x.initial_state.m)(device.x.final_state.m);
    return gpu::chunked_wgmma::takes(p.design, device.x);
  };
  CHECK(taken_in_place(128, true, true));
  CHECK(!taken_in_place(192, true, false));
  CHECK(!taken_in_place(192, false, true));
}
