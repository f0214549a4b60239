// SPDX-License-Identifier: Apache-2.0
/// @file  State spaces that are the same for every token: every size, precision and part beside them, against the recurrence
/// in float64.
#include <sextant/cuda/forward.cuh>

#include <doctest/doctest.h>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr auto trapezoid = s4d.with(forget::diagonal<discretisation::bilinear>{}, shortcut::none{}, heads::single{});
// Steps per channel, z, a scale, backwards.
constexpr auto gated =
    s4d.with(input::softplus<per::channel>{}, output::silu{}, scale::inverse_root{}, order::reversed{});
constexpr auto picture = s4d.with(shortcut::local{}, input::sigmoid{}, heads::grouped{});

/// Calls the family with a number of segments of the test's choice.
struct in_segments {
  int count;
  template <class D, class P> std::size_t bytes(const D&, const sequence_of<D, P>& x) const {
    return gpu::state_space::bytes_of(x, count);
  }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    return gpu::state_space::run_cut(design, x, on, count);
  }
};
using chosen = by_verb<form::automatic>;

template <class Precision, class Design, class How = chosen>
void hold(const Design& design, const shape& s, const wishes& w = {}, const How& how = {}) {
  INFO(precision_name<Precision>, ": T ", s.T, ", K ", s.K, ", V ", s.V, ", heads ", s.B * s.H);
  CHECK(error_on_gpu<Precision>(design, s, w, how).worst() <= tolerance<Precision>);
}
template <class Precision, class Design> void hold_sizes(const Design& design) {
  struct size {
    index_t T, K, V;
  };
  constexpr size sizes[] = {{0, 8, 8},   {1, 2, 1},    {1, 64, 40}, {7, 6, 3},    {8, 16, 33},  {9, 18, 7},
                            {17, 64, 5}, {63, 66, 70}, {64, 2, 13}, {65, 130, 3}, {131, 32, 9}, {257, 256, 2}};
  for (const auto& [T, K, V] : sizes)
    hold<Precision>(design, heads_for<Design>({.B = 3, .T = T, .K = K, .V = V, .grid_width = T}),
                    {.initial_state = T != 63});
}

/// The error after `change(problem)`, in the answer and in the judge.
template <class Precision, class Design, class Change, class How = chosen>
double error_after(const Design& design, const shape& s, const wishes& w, const Change& change, const How& how = {}) {
  auto judge = make_problem<fp64, storage_of<Precision>>(design, s, w);
  change(judge);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, storage_of<Precision>>(design, s, w);
  change(answer);
  if (!run_on_gpu(answer, how)) return std::numeric_limits<double>::quiet_NaN();
  return compare(answer, judge).worst();
}
/// Gives every pair new numbers, `pair(re, im, log_dt)` of number m of channel v.
template <class Pair> auto pairs_by(const Pair& pair) {
  return [pair](auto& p) {
    using real = typename std::remove_cvref_t<decltype(p)>::real;
    auto *a = const_cast<real*>(p.x.a.data()), *log_dt = const_cast<real*>(p.x.log_dt.data());
    for (index_t v = 0; v < p.size.H * p.size.V; ++v)
      for (index_t m = 0; m < p.size.K / 2; ++m)
        pair(a[v * p.size.K + 2 * m], a[v * p.size.K + 2 * m + 1], log_dt[v], m, v);
  };
}

}  // namespace

TEST_CASE("every size, part and precision") {
  if (!has_gpu()) return;
  hold_sizes<fp32>(s4d);
  hold_sizes<bf16>(s4d);
  hold_sizes<fp16>(s4d);
  hold_sizes<fp64>(s4d);
  hold_sizes<fp32>(trapezoid);
  hold_sizes<bf16>(trapezoid);
  hold_sizes<fp32>(gated);
  hold_sizes<bf16>(gated);
  hold_sizes<fp64>(gated);
  hold_sizes<fp32>(picture);
  hold_sizes<bf16>(picture);
  hold<fp32>(s4d, {.B = 2, .T = 20, .K = 512, .V = 3}, {.initial_state = true});
}

TEST_CASE("a channel to a head, S4's way") {
  if (!has_gpu()) return;
  hold<fp32>(s4d, {.B = 2, .T = 200, .Hk = 45, .H = 45, .K = 64, .V = 1}, {.initial_state = true});
  hold<bf16>(s4d, {.B = 2, .T = 200, .Hk = 64, .H = 64, .K = 64, .V = 1}, {.initial_state = true});
}

TEST_CASE("many sequences of few tokens, one after another") {
  if (!has_gpu()) return;
  for (index_t T : {1, 5})
    for (index_t B : {500, 3000}) {
      hold<fp32>(s4d, {.B = B, .T = T, .K = 16, .V = 12}, {.initial_state = true});
      hold<bf16>(gated, {.B = B, .T = T, .K = 16, .V = 12}, {.initial_state = true});
    }
}

TEST_CASE("one token of so many sequences that a thread has four of them") {
  if (!has_gpu()) return;
  for (index_t K : {2, 6, 16}) {
    const shape s{.B = 2999, .T = 1, .K = K, .V = 65};
    for (bool from_state : {false, true}) {
      hold<fp32>(s4d, s, {.initial_state = from_state});
      hold<fp64>(s4d, s, {.initial_state = from_state});
      hold<bf16>(gated, s, {.initial_state = from_state});
    }
    hold<fp32>(picture, {.B = 1500, .T = 1, .Hk = 2, .H = 4, .K = K, .V = 30, .grid_width = 1},
               {.initial_state = true});
  }
  const shape s{.B = 2999, .T = 1, .K = 10, .V = 65};
  auto judge = make_problem<fp64, float>(s4d, s, {.initial_state = true});
  reference::recurrent(judge.design, judge.x);
  auto p = make_problem<fp32>(s4d, s, {.initial_state = true});
  p.x.final_state.S = {const_cast<float*>(p.x.initial_state.S.data()), {s.B, s.H, s.K, s.V}};
  REQUIRE(bool(run_on_gpu(p, chosen{})));
  p.S() = p.states[3];
  CHECK(compare(p, judge).worst() <= 2e-6);
}

TEST_CASE("long sequences, in segments and not") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 4099, .K = 16, .V = 6};
  const wishes w{.initial_state = true}, slow{.initial_state = true, .rate_size = 0.01};
  for (int segments : {1, 2, 7, 32}) {
    INFO("segments ", segments);
    hold<fp32>(s4d, s, w, in_segments{segments});
    hold<fp32>(s4d, s, slow, in_segments{segments});
    hold<bf16>(gated, s, slow, in_segments{segments});
    hold<fp64>(trapezoid, s, slow, in_segments{segments});
  }
  hold<fp32>(s4d, {.B = 1, .T = 131072, .K = 8, .V = 3});
  hold<bf16>(s4d, {.B = 1, .T = 131072, .K = 8, .V = 8});
}

TEST_CASE("pairs at the edge") {
  if (!has_gpu()) return;
  const auto check = [](const char* what, const auto& pair) {
    INFO(std::string(what));
    const shape s{.B = 1, .T = 1000, .K = 16, .V = 8};
    for (bool from_state : {false, true}) {
      const wishes w{.initial_state = from_state};
      CHECK(error_after<fp32>(s4d, s, w, pairs_by(pair)) <= 2e-6);
      CHECK(error_after<fp32>(s4d, s, w, pairs_by(pair), in_segments{5}) <= 2e-6);
      CHECK(error_after<fp64>(s4d, s, w, pairs_by(pair)) <= 1e-12);
      CHECK(error_after<bf16>(s4d, s, w, pairs_by(pair)) <= 5e-3);
    }
  };
  check("nothing is forgotten", [](auto& re, auto&, auto&, auto, auto) { re = 0; });
  check("next to nothing is forgotten", [](auto& re, auto&, auto&, auto, auto) { re = -1e-5f; });
  check("nothing turns", [](auto&, auto& im, auto&, auto, auto) { im = 0; });
  check("nothing turns or is forgotten", [](auto& re, auto& im, auto&, auto, auto) { re = im = 0; });
  check("half a turn a token",
        [](auto& re, auto& im, auto& log_dt, auto, auto) { re = -0.25f, im = 3.14159265f, log_dt = 0; });
  check("tiny steps", [](auto&, auto&, auto& log_dt, auto, auto) { log_dt = -10; });
  check("huge steps", [](auto&, auto&, auto& log_dt, auto, auto) { log_dt = 9; });
  check("everything is forgotten", [](auto& re, auto&, auto&, auto, auto) { re = -1e6f; });
  check("some pairs take nothing in", [](auto& re, auto&, auto&, auto m, auto) { re = m % 2 ? -3e37f : -0.5f; });
}
TEST_CASE("a b of 0: the state decays, and nothing enters") {
  if (!has_gpu()) return;
  const auto no_b = [](auto& p) {
    using real = typename std::remove_cvref_t<decltype(p)>::real;
    auto* b = const_cast<real*>(p.x.b.data());
    for (index_t i = 0; i < p.x.b.size(); ++i) b[i] = i / 2 % 3 == 0 ? real(0) : b[i];
  };
  const shape s{.B = 2, .T = 50, .K = 12, .V = 8};
  CHECK(error_after<fp32>(s4d, s, {.initial_state = true}, no_b) <= 2e-6);
  CHECK(error_after<fp64>(s4d, s, {.initial_state = true}, no_b) <= 1e-12);
  CHECK(error_after<bf16>(s4d, s, {.initial_state = true}, no_b) <= 5e-3);
  const auto without = [](auto& p) { p.x.b = {}; };
  CHECK(error_after<fp32>(s4d, s, {.initial_state = true}, without) <= 2e-6);
}
TEST_CASE("S4D's own initialisation: memories of thousands of tokens") {
  if (!has_gpu()) return;
  const auto initial = pairs_by([](auto& re, auto& im, auto& log_dt, auto m, auto v) {
    re = -0.5f, im = 3.1415927f * float(m), log_dt = float(std::log(0.001) + double(v) / 7 * std::log(100));
  });
  const shape s{.B = 1, .T = 8192, .K = 64, .V = 8};
  for (int segments : {1, 16}) {
    CHECK(error_after<fp32>(s4d, s, {.initial_state = true}, initial, in_segments{segments}) <= 2e-6);
    CHECK(error_after<bf16>(s4d, s, {}, initial, in_segments{segments}) <= 5e-3);
  }
  CHECK(error_after<bf16>(s4d, s, {}, initial) <= 5e-3);
  CHECK(error_after<fp16>(s4d, s, {}, initial) <= 2e-3);
}

TEST_CASE("the final state in the place of the initial one, whole and in segments") {
  if (!has_gpu()) return;
  const auto in_place = [](const auto& design, const auto& how) {
    const shape s{.B = 2, .T = 700, .K = 8, .V = 16};
    auto judge = make_problem<fp64, float>(design, s, {.initial_state = true});
    reference::recurrent(judge.design, judge.x);
    auto p = make_problem<fp32>(design, s, {.initial_state = true});
    p.x.final_state.S = {const_cast<float*>(p.x.initial_state.S.data()), {s.B, s.H, s.K, s.V}};
    REQUIRE(bool(run_on_gpu(p, how)));
    p.S() = p.states[3];
    CHECK(compare(p, judge).worst() <= 2e-6);
  };
  in_place(s4d, chosen{});
  in_place(s4d, in_segments{1});
  in_place(gated, in_segments{5});
}

TEST_CASE("packed sequences, empty ones among them, and offsets that are none") {
  if (!has_gpu()) return;
  const wishes w{.initial_state = true, .offsets = {0, 0, 1, 17, 17, 90, 154, 155}};
  const shape s{.B = 1, .T = 155, .K = 16, .V = 40};
  hold<fp32>(s4d, s, w);
  hold<bf16>(gated, s, w);
  hold<bf16>(s4d, s, w);
  auto p = make_problem<fp32>(s4d, {.B = 1, .T = 20, .K = 8, .V = 8}, {.offsets = {-7, 5, 3, 1000000, 20}});
  CHECK(bool(run_on_gpu(p, chosen{})));  // useless numbers, and nothing else touched
}

TEST_CASE("tokens one by one are the whole") {
  if (!has_gpu()) return;
  const shape s{.B = 3, .T = 40, .K = 64, .V = 24};
  auto whole = make_problem<fp32>(s4d, s);
  reference::recurrent(whole.design, whole.x);
  auto p = make_problem<fp32>(s4d, s);
  device_problem<std::remove_cvref_t<decltype(s4d)>, fp32> device(p);
  device_memory state(std::size_t(s.B * s.K * s.V) * sizeof(float));
  state.fill(0);
  for (index_t t = 0; t < s.T; ++t) {
    auto x = device.x;
    const index_t extents[] = {s.B, 1, 1, s.V}, strides[] = {s.T * s.V, s.V, s.V, 1};
    x.v = {x.v.data() + t * s.V, extents, strides}, x.y = {x.y.data() + t * s.V, extents, strides};
    sextant::state<decltype(s4d)> memory;
    memory.S = {reinterpret_cast<float*>(state.data()), {s.B, 1, s.K, s.V}};
    device_memory scratch(workspace_bytes(s4d, form::recurrent{}, gpu::stream{}, x));
    REQUIRE(bool(step(s4d, gpu::stream{.memory = {scratch.data(), scratch.size()}}, x, memory)));
    must(cudaDeviceSynchronize());
  }
  device.give();
  CHECK(relative_error(p.y(), whole.y()) <= 2e-6);
}

TEST_CASE("a NaN in v reaches its own channel, from its token on") {
  if (!has_gpu()) return;
  const auto in_v = [](auto& p, index_t t, index_t v) -> auto& {
    return const_cast<std::remove_cvref_t<decltype(p.y()[0])>&>(p.x.v(0, t, 0, v));
  };
  const shape s{.B = 1, .T = 90, .K = 64, .V = 40};
  CHECK(stays_in_its_channel<fp32>(s4d, s, by_verb<form::recurrent>{}, in_v));
  CHECK(stays_in_its_channel<bf16>(s4d, s, by_verb<form::recurrent>{}, in_v));
}

TEST_CASE("20 runs give the same bits, whole and in segments") {
  if (!has_gpu()) return;
  const auto repeat = [](auto precision, const auto& how) {
    auto p = make_problem<decltype(precision)>(s4d, {.B = 3, .T = 203, .K = 16, .V = 264}, {.initial_state = true});
    CHECK(gives_the_same_bits(p, how));
  };
  repeat(fp32{}, chosen{});
  repeat(bf16{}, chosen{});
  repeat(fp32{}, in_segments{3});
}

TEST_CASE("more numbers of a state than lanes have room for are refused, and by what sentence") {
  if (!has_gpu()) return;
  auto p = make_problem<fp32>(s4d, {.B = 1, .T = 4, .K = 514, .V = 2});
  const status found = run_on_gpu(p, chosen{});
  CHECK(found.code == errc::unsupported);
  CHECK(std::string(found.what).find("512") != std::string::npos);
}

TEST_CASE("a user's own discretisation") {
  if (!has_gpu()) return;
  hold<fp32>(s4d.with(forget::diagonal<invented::euler>{}), {.B = 2, .T = 40, .K = 8, .V = 7}, {.rate_size = 0.1});
}
