// SPDX-License-Identifier: Apache-2.0
/// @file  Causality, bit by bit: what is changed at token t of any tensor leaves every y before t as it was.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// The bits of y on the side of token t that does not see it, for every form; `t` in the order the state meets tokens.
void unseen_side_stays(const any_case& c, order_kind order) {
  const auto call = c.make();
  const shape& s = call->size;
  if (call->plan.order != order || c.is_local) return;  // a convolution over the image sees both sides
  each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
    const answer32 before = answer_of(form, plan, *call->numbers);
    for (index_t t : {0, 1, 15, 16, 17, 35})
      for (std::size_t which = number_of_q; which < token_tensors(*call->numbers); ++which) {
        if (call->numbers->tokens[which].empty()) continue;  // a state space without queries and keys
        INFO("token ", t, " of tensor ", which);
        const index_t at = order == order_kind::causal ? t : s.T - 1 - t;
        const auto kept = call->numbers->tokens[which];
        change_token(*call->numbers, which, s, at);
        const answer32 after = answer_of(form, plan, *call->numbers);
        call->numbers->tokens[which] = kept;
        if (order == order_kind::causal) CHECK(same_tokens(before.y, after.y, s, 0, at));
        else CHECK(same_tokens(before.y, after.y, s, at + 1, s.T));
        if (which == number_of_v) CHECK(!same_tokens(before.y, after.y, s, at, at + 1));
        if (which == number_of_k && t == s.T - 1) CHECK(!same_bits(before.S, after.S));
      }
  });
}

}  // namespace

TEST_CASE("causal: a change of token t in any tensor leaves the bits of y before t alone") {
  each_case([](const any_case& c) { unseen_side_stays(c, order_kind::causal); });
}
TEST_CASE("reversed: a change of token t in any tensor leaves the bits of y after t alone") {
  each_case([](const any_case& c) { unseen_side_stays(c, order_kind::reversed); });
}
TEST_CASE("global: a change of the last token reaches the first") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    if (call->plan.order != order_kind::global) return;
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 before = answer_of(form, plan, *call->numbers);
      change_token(*call->numbers, number_of_v, call->size, call->size.T - 1);
      const answer32 after = answer_of(form, plan, *call->numbers);
      CHECK(!same_tokens(before.y, after.y, call->size, 0, 1));
    });
  });
}
