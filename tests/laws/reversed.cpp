// SPDX-License-Identifier: Apache-2.0
/// @file  A reversed design is the causal one on the sequence read backwards, bit for bit.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

void backwards(plan32& p) {
  each_token_tensor(p, [&](cpu::tensor<float>& x) { mirror(x, &cpu::tensor<float>::time, p.tokens); });
}

}  // namespace

TEST_CASE("reversed equals causal on tensors read backwards") {
  int found = 0;
  each_case([&](const any_case& c) {
    wishes w = c.wish;
    w.initial_state = true;
    const auto call = c.make(fp32{}, c.everyday, w);
    // Positions count from the first token of the sequence as it lies, and the image is not turned round.
    if (call->plan.order == order_kind::global || c.turns || c.is_picture) return;
    ++found;
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 straight = answer_of(form, plan, *call->numbers);
      plan32 other = plan;
      other.order = plan.order == order_kind::causal ? order_kind::reversed : order_kind::causal;
      CHECK(!same_bits(answer_of(form, other, *call->numbers).y, straight.y));
      backwards(other);
      check_same_bits(answer_of(form, other, *call->numbers), straight);
    });
  });
  CHECK(found > 50);
}

TEST_CASE("a global design does not mind the order of its tokens, up to rounding") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    if (call->plan.order != order_kind::global || c.turns || c.is_picture) return;
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 straight = answer_of(form, plan, *call->numbers);
      plan32 other = plan;
      backwards(other);
      check_close(c, answer_of(form, other, *call->numbers), straight);
    });
  });
}
