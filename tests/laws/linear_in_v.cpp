// SPDX-License-Identifier: Apache-2.0
/// @file  Every mixer is linear in v and the state: exactly for a factor that is a power of two, to rounding for sums.
/// Only the convolution's bias is added whatever v is, so these calls go without it.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

void multiply(std::vector<float>& values, float factor) {
  for (float& e : values) e *= factor;
}
bool all_zero(const std::vector<float>& values) {
  for (float e : values)
    if (!(e == 0)) return false;
  return true;
}

}  // namespace

TEST_CASE("v and S times four give y and S times four, bit for bit, and leave z and m") {
  each_case([](const any_case& c) {
    wishes w = c.wish;
    w.initial_state = true;
    const auto call = c.make(fp32{}, c.everyday, w);
    call->plan.lepe_bias = {};
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      answer32 expected = answer_of(form, plan, *call->numbers);
      multiply(expected.y, 4), multiply(expected.S, 4);
      auto &v = call->numbers->tokens[number_of_v], &S = call->numbers->states[3];
      multiply(v, 4), multiply(S, 4);
      check_same_bits(answer_of(form, plan, *call->numbers), expected);
      multiply(v, 0.25f), multiply(S, 0.25f);
    });
  });
}

TEST_CASE("the sum of two v gives the sum of two y") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    call->plan.lepe_bias = {};
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      auto& v = call->numbers->tokens[number_of_v];
      const auto first = v;
      answer32 sum = answer_of(form, plan, *call->numbers);
      random_numbers random{77};
      for (float& e : v) e = float(random());
      const auto second = v;
      const answer32 other = answer_of(form, plan, *call->numbers);
      for (std::size_t i = 0; i < v.size(); ++i) v[i] = first[i] + second[i];
      const answer32 both = answer_of(form, plan, *call->numbers);
      v = first;
      for (std::size_t i = 0; i < sum.y.size(); ++i) sum.y[i] += other.y[i];
      for (std::size_t i = 0; i < sum.S.size(); ++i) sum.S[i] += other.S[i];
      check_close(c, both, sum);
    });
  });
}

TEST_CASE("without v and without a state before it there is no y") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    for (float& e : call->numbers->tokens[number_of_v]) e = 0;
    call->plan.lepe_bias = {};
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 none = answer_of(form, plan, *call->numbers);
      CHECK(all_zero(none.y));
      CHECK(all_zero(none.S));
    });
  });
}
