// SPDX-License-Identifier: Apache-2.0
/// @file  The final state in place of the initial one: also where a head's channels go to items that all read z.
#include <doctest/doctest.h>

#include <algorithm>  // copy

#include "forms.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// Hands the initial state in and the final one out through the same memory.
template <class Design> void state_in_place(const Design& design, shape s) {
  const wishes wish{.initial_state = true, .positive_keys = true};
  each_form<Design>([&](const auto& form) {
    INFO(name(design), ", ", std::remove_cvref_t<decltype(form)>::name);
    auto judge = make_problem<fp64>(design, s, wish);
    reference::recurrent(design, judge.x);
    auto p = make_problem<fp32>(design, s, wish);
    // The initial values lie behind the outputs of a problem; the outputs take their place.
    p.S() = p.states[3];
    if constexpr (requires { p.x.initial_state.z; }) p.z() = p.states[4];
    if constexpr (requires { p.x.initial_state.m; }) p.m() = p.states[5];
    p.x.final_state.S = {p.S().data(), {s.B, s.H, s.K, s.V}};
    p.x.initial_state.S = p.x.final_state.S;
    if constexpr (requires { p.x.initial_state.z; }) {
      p.x.final_state.z = {p.z().data(), {s.B, s.H, s.K}};
      p.x.initial_state.z = p.x.final_state.z;
    }
    if constexpr (requires { p.x.initial_state.m; }) {
      p.x.final_state.m = {p.m().data(), {s.B, s.H}};
      p.x.initial_state.m = p.x.final_state.m;
    }
    for (int threads : {1, 4}) {
      auto q = p.states;  // a call overwrites the state: keep it for the next one
      REQUIRE(bool(run(p, form, cpu::parallel{.memory = {}, .threads = threads})));
      CHECK(compare(p, judge).worst() <= 2e-6);
      for (std::size_t i = 0; i < q.size(); ++i) std::copy(q[i].begin(), q[i].end(), p.states[i].begin());
    }
  });
}

}  // namespace

TEST_CASE("the final state may take the place of the initial one, few channels and many") {
  for (index_t V : {7, 700}) {
    const shape single{.B = 2, .T = 19, .K = 8, .V = V}, two{.B = 1, .T = 50, .Hk = 2, .H = 2, .K = 8, .V = V};
    state_in_place(mamba, single);
    state_in_place(linear_attention.with(heads::single{}), single);
    state_in_place(linear_attention, two);
    state_in_place(linear_attention.with(heads::single{}, order::global{}), single);
    state_in_place(mlstm.with(heads::single{}), single);
    state_in_place(gla.with(norm::sum_undecayed{}), two);
  }
}
