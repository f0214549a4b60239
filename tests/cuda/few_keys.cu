// SPDX-License-Identifier: Apache-2.0
/// @file  Forget gates of each channel where keys are few: every size and gate that the family takes, against the recurrence in
/// float64.
#include <sextant/cuda/few_keys.cuh>

#include <doctest/doctest.h>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr auto gated = mamba.with(output::silu{});
// A tensor per channel for the gate, a map, shared keys and steps per head, backwards.
constexpr auto own_gate = linear_attention.with(forget::log_decay<per::channel>{}, input::softplus<per::head>{},
                                                norm::none{}, heads::grouped{}, order::reversed{}, shortcut::learned{},
                                                output::silu{}, scale::inverse_root{});
// A gate with branches, of which only the value is known; an input gate per channel.
constexpr auto by_value =
    linear_attention.with(invented::cutting{}, invented::leaky_input{}, norm::none{}, map::relu{});

template <class Precision> double bound(index_t T) {
  return std::is_same_v<Precision, fp32> && T > 4096 ? 1e-5 : tolerance<Precision>;
}
template <class Precision, class Design> void hold(const Design& design, const shape& s, const wishes& w) {
  INFO(precision_name<Precision>, ": T ", s.T, ", K ", s.K, ", V ", s.V, ", heads ", s.B * s.H);
  CHECK(error_on_gpu<Precision>(design, s, w, by_family<gpu::few_keys>{}).worst() <= bound<Precision>(s.T));
}
template <class Visit> void each(const Visit& visit) {
  visit.template operator()<fp32>(gated);
  visit.template operator()<bf16>(gated);
  visit.template operator()<fp16>(gated);
  visit.template operator()<fp32>(own_gate);
  visit.template operator()<bf16>(own_gate);
  visit.template operator()<bf16>(by_value);
  visit.template operator()<fp32>(by_value);
}

}  // namespace

TEST_CASE("every size: tokens around runs and tiles, one key to four, channels of whole pairs") {
  if (!has_gpu()) return;
  struct size {
    index_t T, K, V;
  };
  constexpr size sizes[] = {{0, 1, 2},  {1, 1, 62},  {7, 2, 64},  {8, 1, 66},   {9, 3, 128}, {31, 4, 34},
                            {32, 1, 8}, {33, 3, 10}, {64, 1, 96}, {65, 4, 130}, {67, 1, 6},  {203, 2, 24}};
  each([&]<class Precision>(const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    for (const auto& [T, K, V] : sizes)
      hold<Precision>(design, heads_for<Design>({.B = 2, .T = T, .K = K, .V = V}), {.initial_state = T != 32});
  });
}

TEST_CASE("long sequences and long memories: the same step at thousands of tokens") {
  if (!has_gpu()) return;
  hold<bf16>(gated, {.B = 1, .T = 131072, .K = 1, .V = 8}, {});
  hold<fp32>(gated, {.B = 1, .T = 131072, .K = 2, .V = 4}, {});
  for (const double rate : {0.01, 0.05, 0.2, 1.0}) {
    INFO("rate ", rate);
    const wishes w{.initial_state = true, .gate_size = 1e-6, .rate_size = rate};
    hold<fp32>(gated, {.B = 1, .T = 4096, .K = 1, .V = 8}, w);
    hold<fp32>(gated, {.B = 1, .T = 4096, .K = 3, .V = 8}, w);
    hold<bf16>(gated, {.B = 1, .T = 4096, .K = 1, .V = 8}, w);
  }
}

TEST_CASE("long memories: the same gate of a channel at thousands of tokens") {
  if (!has_gpu()) return;
  constexpr auto of_channel = linear_attention.with(forget::log_decay<per::channel>{}, norm::none{});
  for (const double memory : {3.0, 10.0, 22.0, 40.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0})
    for (const index_t K : {1, 4}) {
      INFO("memory ", memory, ", K ", K);
      const shape s{.B = 1, .T = 4096, .K = K, .V = 8};
      CHECK(error_of_memory<fp32>(of_channel, s, memory, by_family<gpu::few_keys>{}).worst() <= tolerance<fp32>);
    }
}

TEST_CASE("step sizes to 50, rates from -1e-4 to -1000") {
  if (!has_gpu()) return;
  for (const double rate : {1e-4, 1.0, 1e3})
    for (const double step : {1e-6, 1.0, 50.0}) {
      INFO("rate ", rate, ", step ", step);
      const wishes w{.initial_state = true, .gate_size = step, .rate_size = rate};
      hold<fp32>(gated, {.B = 1, .T = 150, .K = 1, .V = 24}, w);
      hold<bf16>(gated, {.B = 1, .T = 150, .K = 4, .V = 24}, w);
      hold<fp16>(gated, {.B = 1, .T = 150, .K = 1, .V = 24}, w);
    }
}

TEST_CASE("a step or gate that is not a number is seen from its token on, in its channel alone") {
  if (!has_gpu()) return;
  constexpr auto gate_of_channel = own_gate.with(order::causal{});
  for (const index_t K : {1, 3}) {
    const shape s{.B = 1, .T = 70, .K = K, .V = 40};
    CHECK(stays_in_its_channel<fp32>(gated, s, by_family<gpu::few_keys>{}, in_step));
    CHECK(stays_in_its_channel<bf16>(gated, s, by_family<gpu::few_keys>{}, in_step));
    CHECK(stays_in_its_channel<fp32>(gate_of_channel, s, by_family<gpu::few_keys>{}, in_forget));
    CHECK(stays_in_its_channel<bf16>(gate_of_channel, s, by_family<gpu::few_keys>{}, in_forget));
  }
}

TEST_CASE("packed sequences, empty ones among them, and offsets that are none") {
  if (!has_gpu()) return;
  const wishes w{.initial_state = true, .offsets = {0, 0, 1, 17, 17, 90, 154, 155}};
  each([&]<class Precision>(const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    for (const index_t K : {1, 4}) hold<Precision>(design, heads_for<Design>({.B = 1, .T = 155, .K = K, .V = 40}), w);
  });
  auto p = make_problem<fp32>(gated, {.B = 1, .T = 20, .K = 2, .V = 8}, {.offsets = {-7, 5, 3, 1000000, 20}});
  CHECK(stays_within(p, by_family<gpu::few_keys>{}));  // useless numbers, and nothing else touched
}

TEST_CASE("states in place, rows with gaps between them, nothing written beyond") {
  if (!has_gpu()) return;
  const shape s{.B = 2, .T = 100, .K = 3, .V = 70};
  auto judge = make_problem<fp64, float>(gated, s, {.initial_state = true});
  reference::recurrent(judge.design, judge.x);
  auto p = make_problem<fp32>(gated, s, {.initial_state = true});
  p.S() = p.states[3], p.x.initial_state.S = p.x.final_state.S;
  REQUIRE(bool(run_on_gpu(p, by_family<gpu::few_keys>{})));
  CHECK(compare(p, judge).worst() <= bound<fp32>(s.T));
  auto margins = make_problem<bf16>(gated, s, {});
  CHECK(stays_within(margins, by_family<gpu::few_keys>{}));
  // One key of three, which begin at an odd number; numbers that are not of the call stay what they are.
  const auto narrow = [](auto& q) {
    const auto part = [](auto& x, index_t first) {
      const index_t extents[] = {x.extent(0), x.extent(1), x.extent(2), 1};
      const index_t strides[] = {x.stride(0), x.stride(1), x.stride(2), 1};
      x = {x.data() + first, extents, strides};
    };
    part(q.x.q, 1), part(q.x.k, 2);
    q.x.a = {q.x.a.data(), {1, 70, 1}, {210, 3, 1}};
    q.x.final_state.S = {q.S().data(), {2, 1, 1, 70}};
    std::fill(q.S().begin(), q.S().end(), 0);
  };
  auto narrow_judge = make_problem<fp64, storage_of<bf16>>(gated, s, {});
  narrow(narrow_judge);
  reference::recurrent(narrow_judge.design, narrow_judge.x);
  auto answer = make_problem<bf16, storage_of<bf16>>(gated, s, {});
  narrow(answer);
  REQUIRE(bool(run_on_gpu(answer, by_family<gpu::few_keys>{})));
  CHECK(compare(answer, narrow_judge).worst() <= bound<bf16>(s.T));
}

TEST_CASE("20 runs give the same bits") {
  if (!has_gpu()) return;
  auto exact = make_problem<fp32>(gated, {.B = 3, .T = 203, .K = 1, .V = 264}, {.initial_state = true});
  CHECK(gives_the_same_bits(exact, by_family<gpu::few_keys>{}));
  auto p = make_problem<bf16>(gated, {.B = 3, .T = 203, .K = 4, .V = 264}, {.initial_state = true});
  CHECK(gives_the_same_bits(p, by_family<gpu::few_keys>{}));
}

TEST_CASE("what the family takes, and what it leaves to others") {
  using namespace gpu;
  static_assert(few_keys::runs<decltype(by_value), bf16> && !few_keys::runs<decltype(mamba2), bf16>);
  static_assert(!few_keys::runs<std::remove_cvref_t<decltype(gated)>, fp64>);
  const auto leaves = [](auto precision, const shape& s) {
    auto p = make_problem<decltype(precision)>(gated, s);
    return !few_keys::takes(p.design, p.x);
  };
  CHECK(leaves(bf16{}, {.T = 2, .K = 5, .V = 8}));
  CHECK(leaves(fp32{}, {.T = 2, .K = 1, .V = 9}));
  if (!has_gpu()) return;
  CHECK(!leaves(bf16{}, {.T = 2, .K = 1, .V = 2}));
}
