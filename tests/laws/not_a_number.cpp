// SPDX-License-Identifier: Apache-2.0
/// @file  NaN in, NaN out, and no further than it must reach: earlier tokens, other batches and other heads stay whole.
/// Inside a chunk of the chunked form alone it may reach earlier tokens: there a token's weight of a later one is 0, and 0
/// times NaN is NaN.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

std::size_t count_nans(const std::vector<float>& values, std::size_t first, std::size_t count) {
  std::size_t found = 0;
  for (std::size_t i = first; i < first + count; ++i) found += values[i] != values[i];
  return found;
}

/// The first token, in the order the state meets them, that a NaN of the value or key of token `at` may reach.
index_t first_reached(const planned_form<float>& form, const plan32& plan, index_t at) {
  if (!is(form, "chunked")) return at;
  return plan.chunk_length == 0 ? 0 : at / plan.chunk_length * plan.chunk_length;  // 0: chunks of a length we don't know
}

}  // namespace

TEST_CASE("a NaN in v reaches its own channel from its token on, and nothing else") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    const shape& s = call->size;
    if (call->plan.order == order_kind::global || c.is_local) return;
    const index_t at = 17, h = s.H - 1, channel = 2;
    const auto order = [&](index_t t) { return call->plan.order == order_kind::causal ? t : s.T - 1 - t; };
    const auto index = [&](index_t b, index_t t, index_t head, index_t v) {
      return std::size_t(((b * s.T + t) * s.H + head) * s.V + v);
    };
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      float& number = call->numbers->tokens[number_of_v][index(1, at, h, channel)];
      const float kept = number;
      const answer32 clean = answer_of(form, plan, *call->numbers);
      number = not_a_number;
      const answer32 found = answer_of(form, plan, *call->numbers);
      number = kept;
      bool own_token = false, others_whole = true;
      for (index_t b = 0; b < s.B; ++b)
        for (index_t t = 0; t < s.T; ++t)
          for (index_t head = 0; head < s.H; ++head)
            for (index_t v = 0; v < s.V; ++v) {
              const float y = found.y[index(b, t, head, v)];
              const bool reached = b == 1 && head == h && v == channel && order(t) >= first_reached(form, plan, order(at));
              if (b == 1 && head == h && v == channel && t == at) own_token = y != y;
              if (!reached) others_whole &= y == clean.y[index(b, t, head, v)];
            }
      CHECK(own_token);
      CHECK(others_whole);
    });
  });
}

TEST_CASE("a NaN in a query reaches its own token alone, a NaN in a key the state") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    const shape& s = call->size;
    if (call->plan.order == order_kind::global || c.is_local) return;
    if (call->numbers->tokens[number_of_q].empty()) return;  // a state space without queries and keys
    const index_t at = 17;
    const std::size_t row = call->numbers->y().size() / std::size_t(s.B * s.T);
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      for (std::size_t which : {number_of_q, number_of_k}) {
        INFO("tensor ", which);
        auto& values = call->numbers->tokens[which];
        const std::size_t number = std::size_t(at * s.Hk * s.K) + 1, own = std::size_t(at) * row;
        const float kept = values[number];
        values[number] = not_a_number;
        const answer32 found = answer_of(form, plan, *call->numbers);
        values[number] = kept;
        CHECK(count_nans(found.y, own, row) >= std::size_t(s.V));
        if (which == number_of_q) {
          CHECK(count_nans(found.y, 0, found.y.size()) == count_nans(found.y, own, row));
        } else {
          CHECK(count_nans(found.S, 0, found.S.size()) > 0);
          const bool causal = plan.order == order_kind::causal;
          const std::size_t first = std::size_t(first_reached(form, plan, causal ? at : s.T - 1 - at));
          CHECK(count_nans(found.y, causal ? 0 : (std::size_t(s.T) - first) * row, first * row) == 0);
        }
        CHECK(count_nans(found.y, found.y.size() / 2, found.y.size() / 2) == 0);  // the other batch
      }
    });
  });
}

TEST_CASE("a NaN in the raw numbers of a gate comes out") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    if (call->plan.order == order_kind::global) return;
    for (std::size_t which = number_of_v + 1; which < token_tensors(*call->numbers); ++which) {
      auto& values = call->numbers->tokens[which];
      const std::size_t middle = values.size() / 4;  // in the first of two batches
      const float kept = values[middle];
      values[middle] = not_a_number;
      each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
        INFO("tensor ", which);
        const answer32 found = answer_of(form, plan, *call->numbers);
        CHECK(count_nans(found.y, 0, found.y.size() / 2) > 0);
        CHECK(count_nans(found.y, found.y.size() / 2, found.y.size() / 2) == 0);
      });
      values[middle] = kept;
    }
  });
}
