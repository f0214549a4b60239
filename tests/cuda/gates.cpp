// SPDX-License-Identifier: Apache-2.0
/// @file  Gates of 0, of 1, tiny and huge, and long sequences, by the GPU's generic forms.
#include <doctest/doctest.h>

#include "cuda/generic.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// The worst error of both forms on a problem that `change` has been let loose on, the judge's too.
template <class Design, class Change>
double error_after(const Design& design, const shape& s, const wishes& w, const Change& change) {
  auto judge = make_problem<fp64, float>(design, s, w);
  change(judge);
  reference::recurrent(judge.design, judge.x);
  double worst = 0;
  for (const bool by_scan : {false, true}) {
    if (by_scan && !form::runs<form::scan, Design>) continue;
    auto answer = make_problem<fp32>(design, s, w);
    change(answer);
    if (!answer_generic(answer, by_scan)) return std::numeric_limits<double>::quiet_NaN();
    const double e = compare(answer, judge).worst();
    if (!(e <= worst)) worst = e;
  }
  return worst;
}
constexpr auto unchanged = [](auto&) {};

}  // namespace

TEST_CASE("step sizes of 0 to 50 and rates of 1e-4 to 1000") {
  if (!has_gpu()) return;
  for (const double rate : {1e-4, 1.0, 16.0, 1e3})
    for (const double step : {1e-6, 1.0, 50.0}) {
      INFO("rate ", rate, ", step ", step);
      const wishes w{.initial_state = true, .gate_size = step, .rate_size = rate};
      CHECK(error_after(mamba, {.B = 2, .T = 70, .K = 5, .V = 7}, w, unchanged) <= generic_tolerance<fp32>);
      CHECK(error_after(mamba2, {.B = 1, .T = 70, .Hk = 2, .H = 4, .K = 5, .V = 7}, w, unchanged) <= generic_tolerance<fp32>);
    }
}

TEST_CASE("log decays of -20 to 0, of minus infinity, all of 0") {
  if (!has_gpu()) return;
  constexpr auto by_key = linear_attention.with(norm::none{}, map::identity{}, forget::log_decay<per::key>{});
  const shape s{.B = 1, .T = 150, .Hk = 2, .H = 2, .K = 5, .V = 7};
  const auto make_all = [](double number) {
    return [number](auto& p) {
      for (auto& e : p.tokens.back()) e = std::remove_cvref_t<decltype(e)>(float(number));
    };
  };
  const auto some_are_gates_of_zero = [](auto& p) {
    for (std::size_t i = 0; i < p.tokens.back().size(); i += 7)
      p.tokens.back()[i] = -std::numeric_limits<float>::infinity();
  };
  for (const double size : {1e-6, 1.0, 20.0, 1000.0})
    CHECK(error_after(by_key, s, {.gate_size = size}, unchanged) <= generic_tolerance<fp32>);
  CHECK(error_after(by_key, s, {}, some_are_gates_of_zero) <= generic_tolerance<fp32>);
  CHECK(error_after(by_key, s, {}, make_all(0)) <= generic_tolerance<fp32>);
  CHECK(error_after(by_key, s, {}, make_all(-std::numeric_limits<double>::infinity())) <= generic_tolerance<fp32>);
}

TEST_CASE("lengths around tiles") {
  if (!has_gpu()) return;
  for (const index_t T : {1, 63, 64, 65, 127, 128, 129, 1000, 4096}) {
    INFO("T = ", T);
    const shape s{.B = 1, .T = T, .Hk = 1, .H = 1, .K = 5, .V = 3};
    CHECK(error_after(linear_attention, s, {.positive_keys = true}, unchanged) <= generic_tolerance<fp32>);
    CHECK(error_after(mamba, s, {}, unchanged) <= generic_tolerance<fp32>);
    CHECK(error_after(mlstm, s, {}, unchanged) <= generic_tolerance<fp32>);
  }
}

TEST_CASE("131072 tokens") {
  if (!has_gpu()) return;
  const shape s{.B = 1, .T = 131072, .Hk = 1, .H = 1, .K = 4, .V = 2};
  CHECK(error_after(linear_attention, s, {.positive_keys = true}, unchanged) <= generic_tolerance<fp32>);
  CHECK(error_after(mamba, s, {}, unchanged) <= generic_tolerance<fp32>);
  CHECK(error_after(gla, s, {}, unchanged) <= generic_tolerance<fp32>);
}
