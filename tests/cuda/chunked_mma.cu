// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form by mma.sync: every size, gate and norm it takes, against the recurrence in float64.
#include <doctest/doctest.h>

#include <utility>  // pair

#include <sextant/cuda/chunked_mma.cuh>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr by_family<gpu::chunked_mma> by_mma{};
/// As a GPU of one multiprocessor would divide a call.
struct on_one_multiprocessor : by_family<gpu::chunked_mma> {
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    status found;
    const auto c = gpu::make_call(design, x, found);
    return gpu::chunked_mma::run_plan(design, c, gpu::chunked_mma::plan_of(design, x, c, 1), typename P::token{}, on);
  }
};

// Designs: of the library's own parts there is one kernel for all whose decays are a head's, and one for decays per key.
constexpr auto channel_gated = linear_attention.with(input::softplus<per::channel>{}, norm::none{}, map::relu{},
                                                     shortcut::learned{}, heads::single{});
constexpr auto undecayed =
    linear_attention.with(forget::log_decay<per::head>{}, norm::sum_undecayed{}, order::reversed{}, output::silu{});
constexpr auto per_key = linear_attention.with(norm::none{}, map::identity{}, forget::log_decay<per::key>{});
constexpr auto keyed_sum = per_key.with(norm::sum{.eps = 1e-3}, input::sigmoid{}, map::elu_plus_one{});
constexpr auto keyed_undecayed =
    per_key.with(norm::sum_undecayed{}, order::reversed{}, heads::grouped{}, shortcut::learned{}, output::silu{});

template <class Visit> void each_design(const Visit& visit) {
  visit("linear_attention", linear_attention);
  visit("retnet", retnet);
  visit("mamba2", mamba2);
  visit("mlstm", mlstm);
  visit("gate per channel", channel_gated);
  visit("undecayed, reversed", undecayed);
  visit("gla", gla);
  visit("per key, sum", keyed_sum);
  visit("per key, undecayed, reversed", keyed_undecayed);
}

template <class Design> double error(const Design& design, shape s, wishes w, auto precision) {
  w.positive_keys = divides<Design>;
  return error_on_gpu<decltype(precision)>(design, s, w, by_mma).worst();
}
/// Holds a design in the three precisions.
template <class Design> void hold(const Design& design, const shape& s, const wishes& w) {
  INFO("T ", s.T, ", K ", s.K, ", V ", s.V, ", heads ", s.B * s.H);
  CHECK(error(design, s, w, fp32{}) <= (s.T > 4096 ? 1e-5 : 2e-6));
  CHECK(error(design, s, w, bf16{}) <= tolerance<bf16>);
  CHECK(error(design, s, w, fp16{}) <= tolerance<fp16>);
}

/// Lets `change` loose on a problem and its judge.
template <class Precision, class Design, class Change>
double error_after(const Design& design, const shape& s, const wishes& w, const Change& change) {
  auto judge = make_problem<fp64, storage_of<Precision>>(design, s, w);
  change(judge);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, storage_of<Precision>>(design, s, w);
  change(answer);
  if (!run_on_gpu(answer, by_mma)) return std::numeric_limits<double>::quiet_NaN();
  return compare(answer, judge).worst();
}
/// The newest token tensor, a forget gate's, with every `apart`th number set to `number`.
constexpr auto gates_of = [](double number, std::size_t apart) {
  return [number, apart](auto& p) {
    auto& gates = p.tokens.back();
    for (std::size_t i = 0; i < gates.size(); i += apart)
      gates[i] = std::remove_cvref_t<decltype(gates[i])>(float(number));
  };
};

}  // namespace

TEST_CASE("every size: keys, channels and tokens around tiles") {
  if (!has_gpu()) return;
  struct size {
    index_t T, K, V;
  };
  constexpr size sizes[] = {{0, 3, 5},    {1, 1, 1},    {15, 2, 3},    {16, 16, 16},  {17, 7, 15},    {31, 33, 17},
                            {63, 64, 64}, {64, 65, 31}, {65, 100, 33}, {129, 24, 65}, {33, 192, 100}, {35, 256, 130}};
  each_design([&](const char* name, const auto& design) {
    INFO(std::string(name));
    for (const auto& [T, K, V] : sizes)
      hold(design, heads_for<std::remove_cvref_t<decltype(design)>>({.B = T < 33 ? 2 : 1, .T = T, .K = K, .V = V}),
           {.initial_state = T != 63});
  });
}

TEST_CASE("blocks with all of a head's channels, as where heads alone fill a GPU") {
  if (!has_gpu()) return;
  const auto wide = [](const auto& design, auto precision, index_t K, index_t V, double bound) {
    using P = decltype(precision);
    const shape s{.B = 1, .T = 130, .Hk = 1, .H = 1, .K = K, .V = V};
    CHECK(error_on_gpu<P>(design, s, {.initial_state = true, .positive_keys = true}, on_one_multiprocessor{}).worst() <=
          bound);
  };
  for (const auto& [K, V] :
       {std::pair<index_t, index_t>{64, 64}, {64, 128}, {128, 128}, {180, 128}, {256, 128}, {128, 200}}) {
    INFO("K ", K, ", V ", V);
    wide(mlstm, fp32{}, K, V, 2e-6);
    wide(mlstm, bf16{}, K, V, tolerance<bf16>);
    wide(keyed_sum, fp32{}, K, V, 2e-6);
    wide(keyed_sum, bf16{}, K, V, tolerance<bf16>);
    wide(keyed_sum, fp16{}, K, V, tolerance<fp16>);
  }
}

TEST_CASE("long sequences: 4096 tokens and 131072") {
  if (!has_gpu()) return;
  const shape long_one{.B = 1, .T = 4096, .Hk = 1, .H = 1, .K = 24, .V = 20};
  const shape longest{.B = 1, .T = 131072, .Hk = 1, .H = 1, .K = 8, .V = 4};
  hold(linear_attention, long_one, {}), hold(linear_attention, longest, {});
  hold(gla, long_one, {}), hold(gla, longest, {});
  hold(mlstm, long_one, {});
}

TEST_CASE("long sequences of few heads are cut into segments, the state passed on between them") {
  if (!has_gpu()) return;
  const wishes w{.initial_state = true};
  const shape s{.B = 1, .T = 1601, .Hk = 1, .H = 1, .K = 20, .V = 150};
  hold(linear_attention, s, w);
  hold(retnet, s, w);
  hold(undecayed, s, w);
  hold(channel_gated, s, w);
  hold(gla, s, w);
  hold(keyed_sum, s, w);
  hold(keyed_undecayed, {.B = 1, .T = 1601, .Hk = 1, .H = 2, .K = 20, .V = 40}, w);
  hold(mlstm, s, w);
  hold(mlstm, {.B = 1, .T = 5000, .Hk = 1, .H = 1, .K = 1, .V = 3}, w);
  for (const double size : {1e-3, 60.0}) {
    INFO("input gates to exp(", size, ")");
    CHECK(error(mlstm, s, {.initial_state = true, .gate_size = size}, fp32{}) <= 2e-6);
    CHECK(error(mlstm, s, {.gate_size = size}, bf16{}) <= tolerance<bf16>);
  }
  const auto segments = [&](auto&& p) {
    status found;
    return gpu::chunked_mma::plan_of(p.design, p.x, gpu::make_call(p.design, p.x, found), 100).segments;
  };
  CHECK(segments(make_problem<bf16>(gla, s, w)) > 1);
  CHECK(segments(make_problem<bf16>(mlstm, s, w)) > 1);
}

TEST_CASE("memories of thousands of tokens: the same decay at each of them") {
  if (!has_gpu()) return;
  hold(retnet, {.B = 1, .T = 4096, .Hk = 10, .H = 10, .K = 8, .V = 8}, {.rate_size = 0x1p-10});
}

TEST_CASE("decays from next to nothing to 0") {
  if (!has_gpu()) return;
  constexpr auto per_head = linear_attention.with(norm::none{}, map::identity{}, forget::log_decay<per::head>{});
  const shape s{.B = 1, .T = 150, .Hk = 2, .H = 2, .K = 20, .V = 18};
  const double infinite = std::numeric_limits<double>::infinity();
  const auto all = [&](const auto& design, auto precision, double bound) {
    using P = decltype(precision);
    for (const double size : {1e-6, 0.3, 1.0, 3.0, 20.0, 1000.0}) {
      INFO("gates to ", size);
      CHECK(error_after<P>(design, s, {.initial_state = true, .gate_size = size}, [](auto&) {}) <= bound);
    }
    // Some gates of 0, some steep ones among weak ones, all of 0, all of 1.
    CHECK(error_after<P>(design, s, {}, gates_of(-infinite, 7)) <= bound);
    CHECK(error_after<P>(design, s, {.gate_size = 0.1}, gates_of(-60, 5)) <= bound);
    CHECK(error_after<P>(design, s, {.gate_size = 0.1}, gates_of(-9, 3)) <= bound);
    CHECK(error_after<P>(design, s, {}, gates_of(-infinite, 1)) <= bound);
    CHECK(error_after<P>(design, s, {}, gates_of(0, 1)) <= bound);
  };
  all(per_head, fp32{}, 2e-6);
  all(per_head, bf16{}, tolerance<bf16>);
  all(per_key, fp32{}, 2e-6);
  all(per_key, bf16{}, tolerance<bf16>);
  all(per_key, fp16{}, tolerance<fp16>);
}

TEST_CASE("step sizes to 50, rates to -1000; input gates to exp(60)") {
  if (!has_gpu()) return;
  for (const double rate : {1e-4, 1.0, 1e3})
    for (const double step : {1e-6, 1.0, 50.0}) {
      INFO("rate ", rate, ", step ", step);
      const wishes w{.initial_state = true, .gate_size = step, .rate_size = rate};
      CHECK(error(mamba2, {.B = 1, .T = 70, .Hk = 2, .H = 4, .K = 16, .V = 24}, w, fp32{}) <= 2e-6);
    }
  for (const double size : {1e-3, 5.0, 60.0})
    CHECK(error(mlstm, {.B = 1, .T = 150, .Hk = 2, .H = 2, .K = 16, .V = 24},
                {.initial_state = true, .gate_size = size}, fp32{}) <= 2e-6);
}

TEST_CASE("queries of zeros are told 0, however large input gates are") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 70, .Hk = 1, .H = 1, .K = 16, .V = 24};
  for (const float input : {60.0f, 90.0f, 100.0f, 300.0f}) {
    INFO("input gates ", input);
    const auto change = [input](auto& p) {
      using token = std::remove_cvref_t<decltype(p.y()[0])>;
      for (auto& its : p.tokens[4]) its = token(input);
      for (std::size_t i = 0; i < p.tokens[1].size(); ++i)
        if (i / std::size_t(p.size.K) % 3 == 0) p.tokens[1][i] = token(0.0f);
    };
    CHECK(error_after<fp32>(mlstm, s, {.positive_keys = true}, change) <= 2e-6);
    CHECK(error_after<bf16>(mlstm, s, {.positive_keys = true}, change) <= tolerance<bf16>);
  }
}

TEST_CASE("a gate that is not a number is seen from its token on, in its head alone") {
  if (!has_gpu()) return;
  const auto spreads = [](const auto& design, index_t K) {
    const shape s{.B = 1, .T = 70, .Hk = 2, .H = 2, .K = 12, .V = 9};
    auto p = make_problem<fp32>(design, s, {});
    const index_t at = 37;
    p.tokens.back()[std::size_t(at * s.H * K)] = std::numeric_limits<float>::quiet_NaN();  // of head 0, key 0
    REQUIRE(bool(run_on_gpu(p, by_mma)));
    for (index_t t = 0; t < s.T; ++t)
      for (index_t h = 0; h < s.H; ++h)
        for (index_t v = 0; v < s.V; ++v) {
          const float y = p.y()[std::size_t((t * s.H + h) * s.V + v)];
          CHECK((y != y) == (h == 0 && t >= at));
        }
  };
  spreads(per_key, 12);
  spreads(linear_attention.with(norm::none{}, forget::log_decay<per::head>{}), 1);
}

TEST_CASE("packed sequences, empty ones among them, and offsets that are none") {
  if (!has_gpu()) return;
  const wishes w{.initial_state = true, .offsets = {0, 0, 1, 17, 17, 90, 154, 155}};
  each_design([&](const char* name, const auto& design) {
    INFO(std::string(name));
    hold(design, heads_for<std::remove_cvref_t<decltype(design)>>({.B = 1, .T = 155, .K = 20, .V = 18}), w);
  });
  auto p =
      make_problem<fp32>(gla, {.B = 1, .T = 20, .Hk = 2, .H = 2, .K = 8, .V = 8}, {.offsets = {-7, 5, 3, 1000000, 20}});
  CHECK(bool(run_on_gpu(p, by_mma)));  // useless numbers, and nothing else touched
}

TEST_CASE("the final state may take the place of the initial one") {
  if (!has_gpu()) return;
  const auto in_place = [](const auto& design, const shape& s) {
    wishes w{.initial_state = true, .positive_keys = true};
    auto judge = make_problem<fp64, float>(design, s, w);
    reference::recurrent(judge.design, judge.x);
    auto p = make_problem<fp32>(design, s, w);
    // The initial values lie behind the outputs of a problem; the outputs take their place.
    p.S() = p.states[3], p.x.initial_state.S = p.x.final_state.S;
    if constexpr (requires { p.x.initial_state.z; }) p.z() = p.states[4], p.x.initial_state.z = p.x.final_state.z;
    if constexpr (requires { p.x.initial_state.m; }) p.m() = p.states[5], p.x.initial_state.m = p.x.final_state.m;
    REQUIRE(bool(run_on_gpu(p, by_mma)));
    CHECK(compare(p, judge).worst() <= 2e-6);
  };
  const shape s{.B = 2, .T = 50, .Hk = 2, .H = 2, .K = 40, .V = 100};
  in_place(gla, s);
  in_place(keyed_sum, s);
  in_place(linear_attention, s);
  in_place(mlstm, s);
}

TEST_CASE("rows with gaps between them, at multiples of 16 bytes and elsewhere") {
  if (!has_gpu()) return;
  const auto part_of_wider = [](const auto& design, auto precision, index_t from, double bound) {
    using P = decltype(precision);
    const shape s{.B = 2, .T = 70, .Hk = 2, .H = 2, .K = 48, .V = 40};
    const index_t K = 24, V = 16;
    // Numbers that are not of the call stay what they are, in the judge and in the answer.
    const auto narrow = [&](auto& p) {
      const auto part = [&](auto& x, index_t first, index_t count) {
        const index_t extents[] = {x.extent(0), x.extent(1), x.extent(2), count};
        const index_t strides[] = {x.stride(0), x.stride(1), x.stride(2), 1};
        x = {x.data() + first, extents, strides};
      };
      part(p.x.q, from, K), part(p.x.k, from, K), part(p.x.v, from, V), part(p.x.y, from, V);
      if constexpr (requires { p.x.forget; }) part(p.x.forget, from, K);
      p.x.final_state.S = {p.S().data(), {s.B, s.H, K, V}};
      for (auto* numbers : {&p.S(), &p.z(), &p.m()}) std::fill(numbers->begin(), numbers->end(), 0);
      for (auto& e : p.y()) e = std::remove_cvref_t<decltype(e)>(0.0f);
    };
    CHECK(error_after<P>(design, s, {}, narrow) <= bound);
  };
  part_of_wider(gla, fp32{}, 4, 2e-6);
  part_of_wider(gla, fp32{}, 3, 2e-6);
  part_of_wider(gla, bf16{}, 8, tolerance<bf16>);
  part_of_wider(gla, bf16{}, 3, tolerance<bf16>);
  part_of_wider(retnet, fp16{}, 8, tolerance<fp16>);
  part_of_wider(retnet, fp16{}, 1, tolerance<fp16>);
}

TEST_CASE("gates of one's own") {
  if (!has_gpu()) return;
  constexpr auto base = linear_attention.with(norm::none{}, map::identity{});
  const shape s{.B = 1, .T = 50, .Hk = 2, .H = 2, .K = 12, .V = 9};
  CHECK(error(base.with(invented::branching{}), s, {.initial_state = true}, fp32{}) <= 2e-6);
  CHECK(error(base.with(input::softplus<per::head>{}, invented::stepped_keys{}), s, {.initial_state = true}, fp32{}) <=
        2e-6);
}

TEST_CASE("20 runs give the same bits") {
  if (!has_gpu()) return;
  const auto repeat = [](const auto& design, auto precision) {
    auto p = make_problem<decltype(precision)>(design, {.B = 3, .T = 200, .Hk = 2, .H = 2, .K = 80, .V = 72},
                                               {.initial_state = true});
    CHECK(gives_the_same_bits(p, by_mma));
  };
  repeat(gla, fp32{});
  repeat(gla, bf16{});
  repeat(mlstm, fp32{});
  repeat(mlstm, bf16{});
}

TEST_CASE("what the family does not take it leaves to others") {
  if (!has_gpu()) return;
  const auto takes = [](auto&& p) { return gpu::chunked_mma::takes(p.design, p.x); };
  CHECK(takes(make_problem<fp32>(retnet, {.T = 2, .K = 256, .V = 2})));
  CHECK(!takes(make_problem<fp32>(retnet, {.T = 2, .K = 257, .V = 2})));
  auto p = make_problem<fp32>(retnet, {.T = 2, .K = 4, .V = 2});
  const index_t extents[] = {1, 2, 1, 2}, strides[] = {8, 4, 4, 2};
  p.x.q = {p.x.q.data(), extents, strides};
  p.x.k = {p.x.k.data(), extents, strides};
  CHECK(!takes(p));
}
