// SPDX-License-Identifier: Apache-2.0
/// @file  The state: zeros are an empty one, it may be left out, and may be written where it was read.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

TEST_CASE("a state of zeros equals none, bit for bit") {
  each_case([](const any_case& c) {
    wishes w = c.wish;
    w.initial_state = true;
    const auto call = c.make(fp32{}, c.everyday, w);
    for (std::size_t i = 3; i < call->numbers->states.size(); ++i)
      for (float& e : call->numbers->states[i]) e = 0;
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 from_zeros = answer_of(form, plan, *call->numbers);
      plan32 bare = plan;
      bare.S_in = bare.z_in = bare.m_in = {};
      check_same_bits(answer_of(form, bare, *call->numbers), from_zeros);
    });
  });
}

TEST_CASE("the final state may be left out, whole or in part, and y keeps its bits") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 whole = answer_of(form, plan, *call->numbers);
      plan32 without = plan;
      without.S_out = {};
      answer32 found = answer_of(form, without, *call->numbers);
      CHECK(same_bits(found.y, whole.y));
      CHECK(same_bits(found.z, whole.z));
      CHECK(same_bits(found.m, whole.m));
      without.z_out = without.m_out = {};
      found = answer_of(form, without, *call->numbers);
      CHECK(same_bits(found.y, whole.y));
    });
  });
}

TEST_CASE("the final state may be written over the initial one") {
  each_case([](const any_case& c) {
    wishes w = c.wish;
    w.initial_state = true;
    const auto call = c.make(fp32{}, c.everyday, w);
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const auto kept = call->numbers->states;
      const answer32 apart = answer_of(form, plan, *call->numbers);
      plan32 in_place = plan;
      in_place.S_out = plan.S_in, in_place.z_out = plan.z_in, in_place.m_out = plan.m_in;
      const answer32 found = answer_of(form, in_place, *call->numbers);
      CHECK(same_bits(found.y, apart.y));
      CHECK(same_bits(call->numbers->states[3], apart.S));
      if (c.has_z) CHECK(same_bits(call->numbers->states[4], apart.z));
      if (c.has_m) CHECK(same_bits(call->numbers->states[5], apart.m));
      for (std::size_t i = 3; i < kept.size(); ++i) call->numbers->states[i] = kept[i];
    });
  });
}
