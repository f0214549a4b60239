// SPDX-License-Identifier: Apache-2.0
/// @file  What a global design says at the last token of a prefix is what the causal one says there.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

TEST_CASE("global on tokens 0..t equals causal at token t, and the totals are causal's last sums") {
  int found = 0;
  each_case([&](const any_case& c) {
    const auto call = c.make();
    if (call->plan.order != order_kind::global || c.is_picture) return;
    ++found;
    plan32 causal = call->plan;
    causal.order = order_kind::causal;
    const std::size_t row = call->numbers->y().size() / std::size_t(call->size.B * call->size.T);
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      for (index_t t : {0, 1, 16, 20, 35}) {
        INFO("token ", t);
        const answer32 prefix = answer_of(form, cut(plan, 0, t + 1), *call->numbers);
        const answer32 along = answer_of(planned_forms<float>[0], cut(causal, 0, t + 1), *call->numbers);
        CHECK(relative_error(prefix.S, along.S) <= tolerance<fp32>);
        if (c.has_z) CHECK(relative_error(prefix.z, along.z) <= tolerance<fp32>);
        for (index_t b = 0; b < call->size.B; ++b) {
          const auto at = std::ptrdiff_t(std::size_t(b * call->size.T + t) * row);
          const std::vector<float> here(prefix.y.begin() + at, prefix.y.begin() + at + std::ptrdiff_t(row));
          const std::vector<float> there(along.y.begin() + at, along.y.begin() + at + std::ptrdiff_t(row));
          CHECK(relative_error(here, there) <= tolerance<fp32>);
        }
      }
    });
  });
  CHECK(found >= 5);
}
