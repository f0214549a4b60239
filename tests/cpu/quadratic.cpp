// SPDX-License-Identifier: Apache-2.0
/// @file  The quadratic form: every query meets every key that it sees.
#include "cpu/one_form.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class Visit> void each_order_and_stabiliser(const Visit& visit) {
  constexpr auto base = linear_attention.with(map::identity{});
  visit("global", base.with(order::global{}, norm::sum{.eps = 0.125}));
  visit("global, mean, picture", mila.with(shortcut::none{}));
  visit("global, not normalised", base.with(order::global{}, norm::none{}, input::softplus<per::channel>{}));
  visit("global, stabilised", mlstm.with(order::global{}, forget::one{}));
  visit("stabilised", mlstm.with(norm::abs_max{.eps = 0.25}, shortcut::learned{}));
  visit("stabilised, turned", mlstm.with(position::rotary_1d{}));
  visit("stabilised, no forget gate", mlstm.with(forget::one{}));
  visit("stabilised, no input gate, reversed", mlstm.with(input::one{}, order::reversed{}));
}

}  // namespace

TEST_CASE("quadratic equals the recurrence: every granularity and norm, causal and reversed") {
  each_granularity([](const char* name, const auto& design) { check_form(name, design, form::quadratic{}); });
}
TEST_CASE("quadratic equals the recurrence: global order, and abs_max's stabiliser") {
  each_order_and_stabiliser([](const char* name, const auto& design) { check_form(name, design, form::quadratic{}); });
}
TEST_CASE("quadratic equals the recurrence: designs of the literature") {
  each_preset([](const char* name, const auto& design) { check_form(name, design, form::quadratic{}); });
}
TEST_CASE("quadratic: gates of 0 and 1") {
  for (double strength : {0.0, 2000.0}) {  // exp(-0) and exp(-2000 x)
    const auto check = [strength](const auto& design, const shape& s) {
      wishes w{.initial_state = true, .gate_size = strength, .positive_keys = true};
      CHECK(error_of<fp64>(design, s, w, form::quadratic{}).worst() <= 1e-12);
    };
    const auto base = linear_attention.with(map::identity{}, norm::none{});
    check(base.with(forget::log_decay<per::head>{}, norm::sum{.eps = 1}), {.T = 70, .K = 3, .V = 5});
    check(base.with(forget::log_decay<per::key>{}, norm::sum{.eps = 1}), {.T = 70, .K = 3, .V = 5});
    check(base.with(forget::log_decay<per::channel>{}), {.T = 70, .K = 3, .V = 5});
    check(base.with(forget::log_decay<per::key_channel>{}), {.T = 70, .K = 3, .V = 5});
  }
}
TEST_CASE("quadratic: exponential input gates of any size stay in range") {
  const wishes w{.initial_state = true, .gate_size = 300};  // exp(300) is beyond float
  const shape s{.T = 70, .K = 5, .V = 7};
  CHECK(error_of<fp64>(mlstm, s, w, form::quadratic{}).worst() <= 1e-12);
  CHECK(error_of<fp32>(mlstm, s, w, form::quadratic{}).worst() <= 5e-5);  // exp of differences of numbers near 300
}
TEST_CASE("quadratic: the final state in the place of the initial one") {
  check_in_place("linear_attention", linear_attention, form::quadratic{});
  check_in_place("mamba", mamba, form::quadratic{});
  check_in_place("gla", gla, form::quadratic{});
  check_in_place("mlstm", mlstm, form::quadratic{});
}
TEST_CASE("quadratic: workspace") {
  each_preset([](const char* name, const auto& design) { check_workspace(name, design, form::quadratic{}); });
}
TEST_CASE("quadratic: the same bits every time") {
  each_preset([](const char* name, const auto& design) { check_repeats(name, design, form::quadratic{}); });
}
