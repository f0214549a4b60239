// SPDX-License-Identifier: Apache-2.0
/// @file  One form against the reference: lengths around a tile's, every granularity, norm and order, states, packing.
#pragma once

#include <doctest/doctest.h>

#include <string>       // string
#include <type_traits>  // is_same
#include <vector>       // vector

#include "cases.hpp"
#include "forms.hpp"

namespace sextant::test {

/// visit(name, design) for every granularity of the forget gate with the norms that go with it, causal and reversed;
/// some with an input gate, a shortcut, an output gate, a scale, positions.
template <class Visit> void each_granularity(const Visit& visit) {
  constexpr auto base = linear_attention.with(norm::none{}, map::identity{});
  visit("no gate", base.with(scale::inverse_root{}));
  visit("no gate, sum", base.with(norm::sum{.eps = 0.125}, map::elu_plus_one{}, output::silu{}));
  visit("no gate, sum, turned", base.with(norm::sum{}, map::elu_plus_one{}, position::rotary_1d{}, order::reversed{}));
  visit("constant", base.with(forget::constant{}, position::rotary_1d{}));
  visit("per head",
        base.with(forget::exponential{}, input::softplus<per::head>{}, shortcut::learned{}, heads::grouped{}));
  visit("per head, sum", base.with(forget::softplus{}, norm::sum{.eps = 0.125}, order::reversed{}));
  visit("per head, sum undecayed", base.with(forget::log_decay<per::head>{}, norm::sum_undecayed{}, input::sigmoid{}));
  visit("per key", base.with(forget::log_sigmoid<per::key>{.temperature = 4}, shortcut::learned{}));
  visit("per key, sum", base.with(forget::log_decay<per::key>{}, norm::sum{}, input::sigmoid{}));
  visit("per key, sum, turned", base.with(forget::log_decay<per::key>{}, norm::sum{}, position::rotary_1d{}));
  visit("per key, sum undecayed", base.with(forget::log_decay<per::key>{}, norm::sum_undecayed{}, order::reversed{}));
  visit("per channel", base.with(forget::log_decay<per::channel>{}, input::softplus<per::channel>{}));
  visit("per channel, sum undecayed", base.with(forget::log_decay<per::channel>{}, norm::sum_undecayed{}));
  visit("selective", base.with(forget::selective{}, input::softplus<per::channel>{}, heads::single{}));
  visit("selective, sum undecayed", base.with(forget::selective{}, norm::sum_undecayed{}, map::elu_plus_one{}));
  visit("per key and channel", base.with(forget::log_decay<per::key_channel>{}, order::reversed{}));
  visit("squared", base.with(map::squared{.scale_keys = true}, forget::softplus{}, norm::sum{.eps = 0.125}));
}

/// abs_max divides too, by sums that strong gates let come near 0 against their terms.
template <class Design>
inline constexpr bool divides_by_a_sum = !std::is_same_v<typename Design::norm_type, norm::none>;

/// A form of a design, in both precisions and on both backends, for all kinds of calls.
template <class Form, class Design> void check_form(const char* name, const Design& design, const Form& form) {
  const auto check = [&](const shape& s, const wishes& w, const char* what) {
    INFO(std::string(name), ", ", std::string(what), ", T ", s.T, ", K ", s.K, ", V ", s.V,
         std::string(w.initial_state ? ", from a state" : ""));
    CHECK(error_of<fp32>(design, s, w, form, cpu::serial{}).worst() <= 2e-6);
    CHECK(error_of<fp64>(design, s, w, form, cpu::parallel{.memory = {}, .threads = 3}).worst() <= 1e-12);
  };
  wishes w = everyday_wishes<Design>();
  w.positive_keys = divides_by_a_sum<Design>;
  for (index_t T : {0, 1, 2, 7, 16, 17, 33, 100})
    for (bool from_state : {false, true}) {
      shape s = everyday_shape<Design>();
      s.T = T, s.grid_width = T;
      w.initial_state = from_state;
      check(s, w, "lengths");
    }
  shape wide = everyday_shape<Design>();
  wide.B = 1, wide.T = 36, wide.K = 20, wide.V = 88;
  check(wide, w, "wide");
  shape long_one = everyday_shape<Design>();
  long_one.B = 1, long_one.T = 420, long_one.grid_width = 20;
  check(long_one, w, "many tiles");
  w.gate_size = w.rate_size = 6;
  check(everyday_shape<Design>(), w, "strong gates");
  w.gate_size = w.rate_size = 1;
  if constexpr (!requires(sequence<Design> x) { x.grid; }) {
    shape packed = everyday_shape<Design>();
    packed.B = 1, packed.T = 70;
    w.offsets = {0, 0, 17, 18, 70};
    check(packed, w, "packed");
  }
}

/// The final state may lie where the initial one does, although workers read and write at the same time.
template <class Form, class Design> void check_in_place(const char* name, const Design& design, const Form& form) {
  INFO(std::string(name));
  wishes w = everyday_wishes<Design>();
  w.initial_state = true;
  const shape s{.B = 1, .T = 100, .Hk = 1, .H = 1, .K = 8, .V = 32, .grid_width = 10};
  auto judge = make_problem<fp64>(design, s, w), answer = make_problem<fp64>(design, s, w);
  reference::recurrent(design, judge.x);
  answer.S() = answer.states[3];
  answer.x.initial_state.S = answer.x.final_state.S;
  if constexpr (requires { answer.x.final_state.z; }) {
    answer.z() = answer.states[4];
    answer.x.initial_state.z = answer.x.final_state.z;
  }
  if constexpr (requires { answer.x.final_state.m; }) {
    answer.m() = answer.states[5];
    answer.x.initial_state.m = answer.x.final_state.m;
  }
  REQUIRE(bool(run(answer, form, cpu::parallel{.memory = {}, .threads = 4})));
  CHECK(compare(answer, judge).worst() <= 1e-12);
}

/// The workspace is what workspace_bytes() says, whatever T (a picture's sides count); a byte less is refused and
/// nothing written.
template <class Form, class Design> void check_workspace(const char* name, const Design& design, const Form& form) {
  INFO(std::string(name));
  shape s = everyday_shape<Design>();
  auto few = make_problem<fp32>(design, s, everyday_wishes<Design>());
  if constexpr (!requires { few.x.grid; }) s.T *= 100;
  auto many = make_problem<fp32>(design, s, everyday_wishes<Design>());
  const cpu::parallel on{.memory = {}, .threads = 3};
  const std::size_t bytes = workspace_bytes(design, form, on, few.x);
  CHECK(workspace_bytes(design, form, on, many.x) == bytes);
  auto memory = poisoned(bytes - 1);
  const status refused = forward(design, form, cpu::parallel{.memory = memory, .threads = 3}, few.x);
  CHECK(refused.code == errc::workspace);
  for (float y : few.y()) CHECK(y != y);
}

/// The same call gives the same bits.
template <class Form, class Design> void check_repeats(const char* name, const Design& design, const Form& form) {
  INFO(std::string(name));
  shape s = everyday_shape<Design>();
  s.T = 100, s.grid_width = 10;
  auto once = make_problem<fp32>(design, s, everyday_wishes<Design>());
  auto again = make_problem<fp32>(design, s, everyday_wishes<Design>());
  auto alone = make_problem<fp32>(design, s, everyday_wishes<Design>());
  REQUIRE(bool(run(once, form, cpu::parallel{.memory = {}, .threads = 3})));
  REQUIRE(bool(run(again, form, cpu::parallel{.memory = {}, .threads = 3})));
  REQUIRE(bool(run(alone, form, cpu::serial{})));
  CHECK(once.y() == again.y());
  CHECK(once.S() == again.S());
  CHECK(relative_error(alone.y(), once.y()) <= 2e-6);
}

}  // namespace sextant::test
