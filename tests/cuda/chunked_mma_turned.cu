// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form by mma.sync with rotary positions, against the recurrence in float64.
#include <doctest/doctest.h>


#include <sextant/cuda/chunked_mma.cuh>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr by_family<gpu::chunked_mma> by_mma{};
constexpr position::rotary_1d along{};
constexpr position::rotary_2d across{};

// Of every kind of normaliser and decay: those that are counted before queries and keys are turned, and those with decays
// per key that the normaliser shares, for which they are made twice.
constexpr auto plain = linear_attention.with(norm::none{}, map::identity{});
constexpr auto per_key = plain.with(forget::log_decay<per::key>{}, along);
template <class Visit> void each_turned(const Visit& visit) {
  visit("linear_attention", linear_attention.with(along));
  visit("per head, undecayed, reversed",
        linear_attention.with(forget::log_decay<per::head>{}, norm::sum_undecayed{}, order::reversed{}, along));
  visit("mamba2", mamba2.with(along));
  visit("mlstm", mlstm.with(along));
  visit("gate per channel", plain.with(input::softplus<per::channel>{}, shortcut::learned{}, map::relu{}, along));
  visit("gla", gla.with(along));
  visit("per key, sum", per_key.with(norm::sum{.eps = 1e-3}, input::sigmoid{}, map::elu_plus_one{}));
  visit("per key, undecayed, reversed", per_key.with(norm::sum_undecayed{}, order::reversed{}, map::elu_plus_one{}));
}
template <class Visit> void each_turned_across(const Visit& visit) {
  visit("linear_attention", linear_attention.with(across));
  visit("gla, reversed", gla.with(across, order::reversed{}));
}

/// The error with the first token at `position`.
template <class Precision, class Design, class Change>
double error(const Design& design, const shape& s, wishes w, index_t position, const Change& change) {
  w.positive_keys = divides<Design>;
  const auto place = [position](auto& p) {
    if constexpr (requires { p.x.first_position; }) p.x.first_position = position;
  };
  auto judge = make_problem<fp64, storage_of<Precision>>(design, s, w);
  place(judge), change(judge);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, storage_of<Precision>>(design, s, w);
  place(answer), change(answer);
  if (!run_on_gpu(answer, by_mma)) return std::numeric_limits<double>::quiet_NaN();
  return compare(answer, judge).worst();
}
template <class Design, class Change>
void hold(const Design& design, const shape& s, const wishes& w, index_t position, const Change& change) {
  INFO("T ", s.T, ", K ", s.K, ", V ", s.V, ", heads ", s.B * s.H, ", from ", position);
  CHECK(error<fp32>(design, s, w, position, change) <= (s.T > 4096 ? 1e-5 : 2e-6));
  CHECK(error<bf16>(design, s, w, position, change) <= tolerance<bf16>);
  CHECK(error<fp16>(design, s, w, position, change) <= tolerance<fp16>);
}
template <class Design> void hold(const Design& design, const shape& s, const wishes& w, index_t position = 0) {
  hold(design, s, w, position, [](auto&) {});
}

}  // namespace

TEST_CASE("rotary positions in one dimension, wherever the sequence begins") {
  if (!has_gpu()) return;
  struct size {
    index_t T, K, V, position;
  };
  constexpr size sizes[] = {{0, 2, 3, 0},       {1, 2, 1, 7},     {17, 6, 15, 0},   {64, 64, 64, 0},
                            {65, 100, 33, -40}, {130, 24, 40, 0}, {35, 256, 20, 0}, {70, 70, 70, 100000}};
  each_turned([&](const char* name, const auto& design) {
    INFO(std::string(name));
    for (const auto& [T, K, V, position] : sizes)
      hold(design, heads_for<std::remove_cvref_t<decltype(design)>>({.B = T < 33 ? 2 : 1, .T = T, .K = K, .V = V}),
           {.initial_state = T != 64}, position);
  });
}

TEST_CASE("rotary positions in two dimensions") {
  if (!has_gpu()) return;
  each_turned_across([](const char* name, const auto& design) {
    INFO(std::string(name));
    hold(design, {.B = 2, .T = 143, .Hk = 2, .H = 2, .K = 18, .V = 20, .grid_width = 13}, {.initial_state = true});
    hold(design, {.B = 1, .T = 100, .Hk = 3, .H = 3, .K = 64, .V = 33, .grid_width = 50}, {});
    hold(design, {.B = 1, .T = 1600, .Hk = 1, .H = 1, .K = 32, .V = 20, .grid_width = 40}, {});  // in segments
  });
}

TEST_CASE("each packed sequence counts its positions from its own first token") {
  if (!has_gpu()) return;
  const wishes w{.initial_state = true, .offsets = {0, 0, 1, 17, 17, 90, 154, 155}};
  hold(linear_attention.with(along), {.B = 1, .T = 155, .Hk = 2, .H = 2, .K = 20, .V = 18}, w, 3);
  hold(gla.with(along), {.B = 1, .T = 155, .Hk = 2, .H = 2, .K = 20, .V = 18}, w);
}

TEST_CASE("long turned sequences, in segments: the last token is turned as exactly as the first") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 1601, .Hk = 1, .H = 1, .K = 20, .V = 150};
  each_turned([&](const char* name, const auto& design) {
    INFO(std::string(name));
    hold(design, s, {.initial_state = true});
  });
  hold(retnet.with(along), {.B = 1, .T = 131072, .Hk = 1, .H = 1, .K = 8, .V = 4}, {});
}

TEST_CASE("decays per key from next to nothing to 0, turned") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 150, .Hk = 2, .H = 2, .K = 20, .V = 18};
  const double infinite = std::numeric_limits<double>::infinity();
  const auto gates_of = [](double number, std::size_t apart) {
    return [number, apart](auto& p) {
      auto& gates = p.tokens.back();
      for (std::size_t i = 0; i < gates.size(); i += apart)
        gates[i] = std::remove_cvref_t<decltype(gates[i])>(float(number));
    };
  };
  const auto normalised = per_key.with(norm::sum{.eps = 1e-3});
  for (const double size : {1e-6, 3.0, 20.0, 1000.0}) {
    INFO("gates to ", size);
    hold(per_key, s, {.initial_state = true, .gate_size = size});
    hold(normalised, s, {.initial_state = true, .gate_size = size});
  }
  hold(per_key, s, {}, 0, gates_of(-infinite, 7));
  hold(per_key, s, {.gate_size = 0.1}, 0, gates_of(-60, 5));
  hold(normalised, s, {.gate_size = 0.1}, 0, gates_of(-60, 5));
  hold(normalised, s, {}, 0, gates_of(-infinite, 1));
}

TEST_CASE("20 runs of a turned design give the same bits") {
  if (!has_gpu()) return;
  auto p = make_problem<bf16>(gla.with(along), {.B = 3, .T = 200, .Hk = 2, .H = 2, .K = 80, .V = 72},
                              {.initial_state = true});
  CHECK(gives_the_same_bits(p, by_mma));
}
