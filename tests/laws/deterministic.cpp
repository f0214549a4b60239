// SPDX-License-Identifier: Apache-2.0
/// @file  The same call gives the same bits every time, whatever the number of threads, and only its outputs change.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

TEST_CASE("the same call with the same number of threads gives the same bits") {
  each_case([](const any_case& c) {
    shape s = c.everyday;
    s.T = 60, s.grid_width = 6;
    const auto call = c.make(fp32{}, s, c.wish);
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      for (int threads : {0, 1, 2, 3}) {
        INFO("threads: ", threads);
        const answer32 first = answer_of(form, plan, *call->numbers, threads);
        check_same_bits(answer_of(form, plan, *call->numbers, threads), first);
      }
    });
  });
}

TEST_CASE("one thread of cpu::parallel gives the bits of cpu::serial") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      check_same_bits(answer_of(form, plan, *call->numbers, 1), answer_of(form, plan, *call->numbers, 0));
    });
  });
}

TEST_CASE("a call leaves its inputs as they were") {
  each_case([](const any_case& c) {
    wishes w = c.wish;
    w.initial_state = true;
    const auto call = c.make(fp32{}, c.everyday, w);
    const auto tokens = call->numbers->tokens;
    const auto parameters = call->numbers->parameters;
    const auto states = call->numbers->states;
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      (void)answer_of(form, plan, *call->numbers);
      for (std::size_t i = number_of_q; i < tokens.size(); ++i) CHECK(same_bits(call->numbers->tokens[i], tokens[i]));
      for (std::size_t i = 0; i < parameters.size(); ++i) CHECK(same_bits(call->numbers->parameters[i], parameters[i]));
      for (std::size_t i = 3; i < states.size(); ++i) CHECK(same_bits(call->numbers->states[i], states[i]));
    });
  });
}
