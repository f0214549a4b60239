// SPDX-License-Identifier: Apache-2.0
/// @file  A sequence cut anywhere and continued from the state handed over equals the whole: y, S, z and m.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// The call on the tokens before `at` and from it on, one after the other in the order of the design, in place.
answer32 in_two_pieces(const planned_form<float>& form, const plan32& whole, tensors<fp32>& numbers, index_t at) {
  const plan32 head = cut(whole, 0, at), tail = cut(whole, at, whole.tokens - at);
  const bool causal = whole.order == order_kind::causal;
  numbers.poison();
  status done = form.run(causal ? head : tail, 0);
  CHECK_MESSAGE(bool(done), done.what);
  done = form.run(continued(causal ? tail : head), 0);
  CHECK_MESSAGE(bool(done), done.what);
  return written(numbers);
}

void pieces_equal_the_whole(const any_case& c, bool from_a_state) {
  wishes w = c.wish;
  w.initial_state = from_a_state;
  const auto call = c.make(fp32{}, c.everyday, w);
  if (call->plan.order == order_kind::global || c.is_picture) return;  // these need all tokens at once
  each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
    const answer32 whole = answer_of(form, plan, *call->numbers);
    for (index_t at : {0, 1, 7, 16, 20, 35, 36}) {
      INFO("cut before token ", at);
      const answer32 pieces = in_two_pieces(form, plan, *call->numbers, at);
      check_close(c, pieces, whole);
      // A rotation's table and the stabiliser are float64 inside a call, and float where they are handed over.
      if (is(form, "recurrent") && !c.has_m && !c.turns) check_same_bits(pieces, whole);
    }
  });
}

}  // namespace

TEST_CASE("two pieces equal the whole, for every cut and form; bit for bit in the recurrent form") {
  each_case([](const any_case& c) { pieces_equal_the_whole(c, false); });
}
TEST_CASE("two pieces equal the whole that starts from a state") {
  each_case([](const any_case& c) { pieces_equal_the_whole(c, true); });
}
TEST_CASE("a piece of no tokens hands the state on, bit for bit") {
  each_case([](const any_case& c) {
    wishes w = c.wish;
    w.initial_state = true;
    shape s = c.everyday;
    s.T = s.grid_width = 0;
    const auto call = c.make(fp32{}, s, w);
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 after = answer_of(form, plan, *call->numbers);
      CHECK(same_bits(after.S, call->numbers->states[3]));
      if (c.has_z) CHECK(same_bits(after.z, call->numbers->states[4]));
      if (c.has_m) CHECK(same_bits(after.m, call->numbers->states[5]));
    });
  });
}
