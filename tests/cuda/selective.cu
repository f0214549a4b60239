// SPDX-License-Identifier: Apache-2.0
/// @file  Forget gates of each channel: every size, gate and norm that the family takes, against the recurrence in float64.
#include <sextant/cuda/selective.cuh>

#include <doctest/doctest.h>

#include <algorithm>  // min

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr auto gated = mamba.with(output::silu{});
// A tensor per channel for the gate, z, a map, shared keys and steps per head, backwards.
constexpr auto own_gate = linear_attention.with(forget::log_decay<per::channel>{}, input::softplus<per::head>{},
                                                norm::sum_undecayed{.eps = 1e-3}, heads::grouped{}, order::reversed{},
                                                shortcut::learned{}, output::silu{}, scale::inverse_root{});
// A gate with branches, of which only the value is known; an input gate per channel.
constexpr auto by_value =
    linear_attention.with(invented::cutting{}, invented::leaky_input{}, norm::none{}, map::relu{});
// A normaliser beside Mamba's gates, with a map.
constexpr auto normalised = gated.with(norm::sum_undecayed{.eps = 1e-3}, map::elu_plus_one{});
// Gates of keys, of which there are at most 16.
constexpr auto of_keys =
    gla.with(norm::sum_undecayed{.eps = 1e-3}, input::softplus<per::channel>{}, map::relu{}, order::reversed{});
// No forget gate, beside an input gate per channel; and one of a head.
constexpr auto without_forgetting = gated.with(forget::one{});
constexpr auto of_head = linear_attention.with(forget::log_decay<per::head>{}, input::softplus<per::channel>{},
                                               norm::sum_undecayed{.eps = 1e-3}, order::reversed{});
// Positions, beside a normaliser too, which reads what is not turned.
constexpr auto along = gated.with(position::rotary_1d{});
constexpr auto along_normalised = normalised.with(position::rotary_1d{}, order::reversed{});
constexpr auto across = mamba.with(position::rotary_2d{});
constexpr auto across_normalised = own_gate.with(position::rotary_2d{});
// Rates alone.
constexpr auto by_rate =
    linear_attention.with(invented::channel_rates{}, input::sigmoid{}, norm::none{}, map::identity{});

/// Calls the family with a number of segments of the test's choice; most tests are of few channels, for 8 to a warp.
struct in_segments {
  int count;
  template <class D, class P> std::size_t bytes(const D&, const sequence_of<D, P>& x) const {
    return gpu::selective::bytes_of(x, count);
  }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    if (!gpu::selective::takes(design, x)) return {errc::unsupported, "this family does not take the shapes"};
    return gpu::selective::run_cut(design, x, on, count);
  }
};

template <class Precision> double bound(index_t T) {
  return std::is_same_v<Precision, fp32> && T > 4096 ? 1e-5 : tolerance<Precision>;
}
template <class Precision, class Design, class How = by_family<gpu::selective>>
void hold(const Design& design, const shape& s, wishes w, const How& how = {}) {
  INFO(precision_name<Precision>, ": T ", s.T, ", K ", s.K, ", V ", s.V, ", heads ", s.B * s.H);
  w.positive_keys = divides<Design>;
  CHECK(error_on_gpu<Precision>(design, s, w, how).worst() <= bound<Precision>(s.T));
}
/// Visits each design in the precisions it is compiled for here.
template <class Design>
inline constexpr index_t most_keys = raw_granularity<typename Design::forget_type> == per::key ? 16 : 64;
template <class Visit> void each(const Visit& visit) {
  visit.template operator()<fp32>(gated);
  visit.template operator()<bf16>(gated);
  visit.template operator()<fp16>(gated);
  visit.template operator()<fp32>(own_gate);
  visit.template operator()<bf16>(own_gate);
  visit.template operator()<bf16>(by_value);
  visit.template operator()<bf16>(normalised);
  visit.template operator()<fp32>(by_rate);
  visit.template operator()<bf16>(of_keys);
  visit.template operator()<fp32>(of_keys);
}

/// Lets `change` loose on a problem and its judge.
template <class Precision, class Design, class Change, class How = by_family<gpu::selective>>
double error_after(const Design& design, const shape& s, const wishes& w, const Change& change, const How& how = {}) {
  auto judge = make_problem<fp64, storage_of<Precision>>(design, s, w);
  change(judge);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, storage_of<Precision>>(design, s, w);
  change(answer);
  if (!run_on_gpu(answer, how)) return std::numeric_limits<double>::quiet_NaN();
  return compare(answer, judge).worst();
}

/// The error with the first token at `position`.
template <class Precision, class Design, class How = by_family<gpu::selective>>
void hold_from(index_t position, const Design& design, const shape& s, wishes w, const How& how = {}) {
  INFO(precision_name<Precision>, ": T ", s.T, ", K ", s.K, ", V ", s.V, ", from ", position);
  w.positive_keys = divides<Design>;
  const auto begins = [position](auto& p) { p.x.first_position = position; };
  CHECK(error_after<Precision>(design, s, w, begins, how) <= bound<Precision>(s.T));
}

}  // namespace

TEST_CASE("rotary positions: wherever a sequence begins, in segments, packed, backwards, of rows and columns") {
  if (!has_gpu()) return;
  struct size {
    index_t T, K, V, position;
  };
  constexpr size sizes[] = {{0, 8, 8, 0},      {1, 16, 8, 7},        {7, 8, 24, -40},  {65, 16, 40, 0},
                            {130, 24, 16, 99}, {77, 64, 8, 1000000}, {203, 48, 40, -3}};
  for (const auto& [T, K, V, position] : sizes) {
    const shape s{.B = 2, .T = T, .K = K, .V = V};
    hold_from<fp32>(position, along, s, {.initial_state = true});
    hold_from<bf16>(position, along, s, {.initial_state = true});
    hold_from<fp32>(position, along_normalised, s, {});
    hold_from<bf16>(position, along_normalised, s, {});
  }
  hold_from<bf16>(5, along, {.B = 4, .T = 37, .K = 16, .V = 2120}, {});
  hold_from<fp32>(0, along, {.B = 1, .T = 4096, .K = 16, .V = 8}, {});
  for (const int count : {2, 3, 8}) {
    hold_from<fp32>(11, along, {.B = 2, .T = 200, .K = 16, .V = 40}, {.initial_state = true}, in_segments{count});
    hold_from<bf16>(11, along.with(order::reversed{}), {.B = 1, .T = 333, .K = 16, .V = 24}, {}, in_segments{count});
  }
  const wishes packed{.initial_state = true, .offsets = {0, 0, 1, 17, 17, 90, 154, 155}};
  hold_from<fp32>(3, along, {.B = 1, .T = 155, .K = 16, .V = 40}, packed);
  hold_from<bf16>(3, along_normalised, {.B = 1, .T = 155, .K = 32, .V = 40}, packed);
  for (const index_t width : {1, 7, 20}) {
    hold<fp32>(across, {.B = 2, .T = 140, .K = 16, .V = 40, .grid_width = width}, {.initial_state = true});
    hold<bf16>(across, {.B = 1, .T = 140, .K = 48, .V = 24, .grid_width = width}, {});
    hold<bf16>(across, {.B = 1, .T = 140, .K = 16, .V = 24, .grid_width = width}, {}, in_segments{3});
    hold<bf16>(across_normalised, {.B = 1, .T = 140, .Hk = 2, .H = 4, .K = 8, .V = 24, .grid_width = width}, {});
  }
}

TEST_CASE("no forget gate, and one of a head: where channels fill the GPU") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 133, .K = 16, .V = 4400};
  hold<fp32>(without_forgetting, s, {.initial_state = true});
  hold<bf16>(without_forgetting, s, {.initial_state = true});
  hold<bf16>(of_head, {.B = 2, .T = 133, .Hk = 2, .H = 2, .K = 8, .V = 2200}, {});
}

TEST_CASE("every size: tokens around rounds of 8, keys and channels of whole pieces") {
  if (!has_gpu()) return;
  struct size {
    index_t T, K, V;
  };
  constexpr size sizes[] = {{0, 8, 8},    {1, 16, 16},  {7, 8, 24},    {8, 16, 32},  {9, 24, 40},
                            {15, 64, 8},  {16, 48, 64}, {17, 16, 72},  {63, 16, 40}, {64, 64, 136},
                            {65, 40, 32}, {77, 32, 48}, {130, 16, 200}};
  each([&]<class Precision>(const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    for (const auto& [T, K, V] : sizes)
      hold<Precision>(design, heads_for<Design>({.B = 2, .T = T, .K = std::min(K, most_keys<Design>), .V = V}),
                      {.initial_state = T != 63});
  });
  hold<fp32>(gated, {.B = 2, .T = 21, .K = 4, .V = 4}, {});
  hold<fp32>(gated, {.B = 1, .T = 33, .K = 12, .V = 36}, {.initial_state = true});
}

TEST_CASE("long sequences: 4096 tokens and 131072, in segments and not") {
  if (!has_gpu()) return;
  hold<fp32>(gated, {.B = 1, .T = 4096, .K = 16, .V = 8}, {});
  hold<bf16>(gated, {.B = 1, .T = 4096, .K = 32, .V = 8}, {});
  hold<bf16>(gated, {.B = 1, .T = 4096, .K = 64, .V = 8}, {});
  hold<fp32>(gated, {.B = 1, .T = 131072, .K = 8, .V = 4}, {});
  hold<bf16>(gated, {.B = 1, .T = 131072, .K = 8, .V = 8}, {});
  hold<bf16>(gated, {.B = 1, .T = 131072, .K = 8, .V = 8}, {}, in_segments{1});
}

TEST_CASE("many channels: 16 to a warp") {
  if (!has_gpu()) return;
  const shape s{.B = 4, .T = 37, .K = 16, .V = 2120}, of_heads{.B = 4, .T = 37, .Hk = 2, .H = 4, .K = 8, .V = 536};
  hold<fp32>(gated, s, {.initial_state = true});
  hold<fp32>(gated, s, {.rate_size = 0.01});
  hold<bf16>(gated, s, {.initial_state = true});
  hold<bf16>(normalised, s, {.initial_state = true});
  hold<bf16>(by_value, s, {.initial_state = true});
  hold<fp32>(by_rate, s, {.initial_state = true});
  hold<fp32>(own_gate, of_heads, {.initial_state = true});
  hold<bf16>(own_gate, of_heads, {.initial_state = true});
  const shape more_keys{.B = 4, .T = 37, .Hk = 2, .H = 4, .K = 32, .V = 1064};
  hold<bf16>(own_gate, more_keys, {.initial_state = true});
  hold<bf16>(along_normalised, {.B = 4, .T = 37, .K = 24, .V = 4200}, {.initial_state = true});
}

TEST_CASE("long memories: the same step at thousands of tokens") {
  if (!has_gpu()) return;
  for (const double rate : {0.01, 0.05, 0.2, 1.0}) {
    INFO("rate ", rate);
    const wishes w{.initial_state = true, .gate_size = 1e-6, .rate_size = rate};
    hold<fp32>(gated, {.B = 1, .T = 4096, .K = 16, .V = 8}, w);
    hold<fp32>(gated, {.B = 1, .T = 4096, .K = 16, .V = 8}, w, in_segments{3});
    hold<fp32>(gated, {.B = 1, .T = 4096, .K = 24, .V = 4}, w);
    hold<fp32>(by_rate, {.B = 1, .T = 4096, .K = 16, .V = 8}, w);
  }
}

TEST_CASE("long memories: the same gate of a channel or key at thousands of tokens") {
  if (!has_gpu()) return;
  constexpr auto of_channel = linear_attention.with(forget::log_decay<per::channel>{}, norm::none{});
  constexpr auto of_key = linear_attention.with(forget::log_decay<per::key>{}, norm::none{});
  const by_family<gpu::selective> how;
  for (const double memory : {3.0, 10.0, 22.0, 40.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0}) {
    INFO("memory ", memory);
    const shape s{.B = 1, .T = 4096, .K = 16, .V = 8};
    CHECK(error_of_memory<fp32>(of_channel, s, memory, how).worst() <= tolerance<fp32>);
    CHECK(error_of_memory<fp32>(of_key, s, memory, how).worst() <= tolerance<fp32>);
  }
  const shape many{.B = 4, .T = 1000, .K = 8, .V = 2120};
  CHECK(error_of_memory<fp32>(of_channel, many, 500, how).worst() <= tolerance<fp32>);
  CHECK(error_of_memory<fp32>(of_channel, {.B = 1, .T = 1000, .K = 40, .V = 8}, 500, how).worst() <= tolerance<fp32>);
}

TEST_CASE("segments: what is forgotten, what is not, and states in place") {
  if (!has_gpu()) return;
  hold<fp32>(gated, {.B = 1, .T = 5000, .K = 16, .V = 72}, {.initial_state = true, .rate_size = 0.3}, in_segments{2});
  hold<bf16>(gated, {.B = 1, .T = 5000, .K = 16, .V = 72}, {.initial_state = true}, in_segments{3});
  for (const double rate : {1e-4, 0.02, 1.0, 1e3})
    for (const int count : {2, 3, 8}) {
      INFO("rate ", rate, ", segments ", count);
      const wishes w{.initial_state = true, .rate_size = rate};
      hold<fp32>(gated, {.B = 2, .T = 200, .K = 16, .V = 40}, w, in_segments{count});
      hold<bf16>(gated, {.B = 1, .T = 333, .K = 48, .V = 24}, w, in_segments{count});
      hold<fp32>(gated.with(order::reversed{}, heads::multi{}), {.B = 1, .T = 150, .Hk = 2, .H = 2, .K = 20, .V = 36},
                 w, in_segments{count});
    }
  const shape s{.B = 2, .T = 300, .K = 16, .V = 72};
  const wishes w{.initial_state = true, .rate_size = 0.05};
  auto judge = make_problem<fp64, float>(gated, s, w);
  reference::recurrent(judge.design, judge.x);
  auto p = make_problem<fp32>(gated, s, w);
  p.S() = p.states[3], p.x.initial_state.S = p.x.final_state.S;
  REQUIRE(bool(run_on_gpu(p, in_segments{4})));
  CHECK(compare(p, judge).worst() <= bound<fp32>(s.T));
}

TEST_CASE("step sizes to 50, rates from -1e-4 to -1000") {
  if (!has_gpu()) return;
  for (const double rate : {1e-4, 1.0, 1e3})
    for (const double step : {1e-6, 1.0, 50.0}) {
      INFO("rate ", rate, ", step ", step);
      const wishes w{.initial_state = true, .gate_size = step, .rate_size = rate};
      hold<fp32>(gated, {.B = 1, .T = 150, .K = 16, .V = 24}, w);
      hold<bf16>(gated, {.B = 1, .T = 150, .K = 16, .V = 24}, w);
      hold<fp16>(gated, {.B = 1, .T = 150, .K = 16, .V = 24}, w);
      hold<fp32>(gated, {.B = 1, .T = 150, .K = 16, .V = 24}, w, in_segments{3});
    }
}

TEST_CASE("gates of 0 and of 1, steep ones among weak ones") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 90, .Hk = 1, .H = 2, .K = 16, .V = 24};
  const auto every = [](double number, std::size_t apart) {
    return [number, apart](auto& p) {
      using token = std::remove_cvref_t<decltype(*p.x.forget.data())>;
      const auto count = std::size_t(p.x.forget.size());
      for (std::size_t i = 0; i < count; i += apart) const_cast<token*>(p.x.forget.data())[i] = token(float(number));
    };
  };
  const auto all = [&](auto precision) {
    using P = decltype(precision);
    const double infinite = std::numeric_limits<double>::infinity();
    const wishes w{.initial_state = true, .gate_size = 0.1, .positive_keys = true};
    for (const auto& [number, apart] :
         {std::pair{-infinite, 7u}, {-infinite, 1u}, {-60.0, 5u}, {-9.0, 3u}, {0.0, 1u}}) {
      INFO("gates of ", number, ", one in ", apart);
      CHECK(error_after<P>(own_gate, s, w, every(number, apart)) <= bound<P>(s.T));
    }
  };
  all(fp32{});
  all(bf16{});
}

TEST_CASE("a step or gate that is not a number is seen from its token on, in its channel alone") {
  if (!has_gpu()) return;
  constexpr auto gate_of_channel = own_gate.with(order::causal{});
  const shape s{.B = 1, .T = 70, .K = 16, .V = 40};
  CHECK(stays_in_its_channel<fp32>(gated, s, by_family<gpu::selective>{}, in_step));
  CHECK(stays_in_its_channel<bf16>(gated, s, by_family<gpu::selective>{}, in_step));
  CHECK(stays_in_its_channel<fp32>(gate_of_channel, s, by_family<gpu::selective>{}, in_forget));
  CHECK(stays_in_its_channel<bf16>(gate_of_channel, s, by_family<gpu::selective>{}, in_forget));
}

TEST_CASE("packed sequences, empty ones among them, and offsets that are none") {
  if (!has_gpu()) return;
  const wishes w{.initial_state = true, .offsets = {0, 0, 1, 17, 17, 90, 154, 155}};
  each([&]<class Precision>(const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    hold<Precision>(design, heads_for<Design>({.B = 1, .T = 155, .K = 16, .V = 40}), w);
  });
  auto p = make_problem<fp32>(gated, {.B = 1, .T = 20, .K = 8, .V = 8}, {.offsets = {-7, 5, 3, 1000000, 20}});
  CHECK(stays_within(p, by_family<gpu::selective>{}));  // useless numbers, and nothing else touched
}

TEST_CASE("rows with gaps between them") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 70, .K = 48, .V = 72};
  const index_t K = 24, V = 40;
  // Numbers that are not of the call stay what they are, in the judge and in the answer.
  const auto narrow = [&](auto& p) {
    const auto part = [](auto& x, index_t first, index_t count) {
      const index_t extents[] = {x.extent(0), x.extent(1), x.extent(2), count};
      const index_t strides[] = {x.stride(0), x.stride(1), x.stride(2), 1};
      x = {x.data() + first, extents, strides};
    };
    part(p.x.q, 8, K), part(p.x.k, 16, K), part(p.x.v, 8, V), part(p.x.y, 16, V), part(p.x.dt, 24, V),
        part(p.x.gate, 32, V);
    p.x.a = {p.x.a.data(), {1, V, K}, {s.V * s.K, s.K, 1}};
    p.x.d = {p.x.d.data(), {1, V}};
    p.x.bias = {p.x.bias.data(), {1, V}};
    p.x.final_state.S = {p.S().data(), {s.B, 1, K, V}};
    std::fill(p.S().begin(), p.S().end(), 0);
    for (auto& e : p.y()) e = std::remove_cvref_t<decltype(e)>(0.0f);
  };
  CHECK(error_after<fp32>(gated, s, {}, narrow) <= 2e-6);
  CHECK(error_after<bf16>(gated, s, {}, narrow) <= tolerance<bf16>);
}

TEST_CASE("20 runs give the same bits, whole and in segments") {
  if (!has_gpu()) return;
  const auto repeat = [](auto precision, const auto& how) {
    auto p = make_problem<decltype(precision)>(gated, {.B = 3, .T = 203, .K = 16, .V = 264}, {.initial_state = true});
    CHECK(gives_the_same_bits(p, how));
  };
  repeat(fp32{}, by_family<gpu::selective>{});
  repeat(bf16{}, by_family<gpu::selective>{});
  repeat(fp32{}, in_segments{3});
  repeat(bf16{}, in_segments{3});
}

TEST_CASE("what the family leaves to others") {
  const auto leaves = [](auto precision, const shape& s) {
    auto p = make_problem<decltype(precision)>(gated, s);
    return !gpu::selective::takes(p.design, p.x);
  };
  CHECK(leaves(bf16{}, {.T = 2, .K = 12, .V = 8}));
  CHECK(leaves(bf16{}, {.T = 2, .K = 16, .V = 12}));
  CHECK(leaves(fp32{}, {.T = 2, .K = 16, .V = 6}));
  CHECK(leaves(fp32{}, {.T = 2, .K = 68, .V = 8}));
  using namespace gpu;
  static_assert(selective::runs<decltype(by_rate), fp32> && !selective::runs<decltype(mamba2), bf16>);
  static_assert(!selective::runs<std::remove_cvref_t<decltype(gated)>, fp64> &&
                !selective::runs<std::remove_cvref_t<decltype(retnet)>, bf16>);
  if (!has_gpu()) return;
  auto keys = make_problem<bf16>(of_keys, {.T = 2, .K = 24, .V = 8});
  CHECK(!selective::takes(keys.design, keys.x));
  CHECK(!leaves(bf16{}, {.T = 2, .K = 16, .V = 8}));
  CHECK(!leaves(fp32{}, {.T = 2, .K = 4, .V = 4}));
}
