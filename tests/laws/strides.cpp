// SPDX-License-Identifier: Apache-2.0
/// @file  Where numbers lie does not matter: spread out, shared by stride 0, or in one buffer, they give the same bits.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

using tensor32 = cpu::tensor<float>;
constexpr index_t gap = 3;

/// Every element of a pool `gap` places from the next, NaN between them.
std::vector<float> spread(const std::vector<float>& values) {
  std::vector<float> wide(values.size() * std::size_t(gap), std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < values.size(); ++i) wide[i * std::size_t(gap)] = values[i];
  return wide;
}
std::vector<float> gathered(const std::vector<float>& wide) {
  std::vector<float> values(wide.size() / std::size_t(gap));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = wide[i * std::size_t(gap)];
  return values;
}
/// Whether nothing was written between the elements.
bool gaps_are_untouched(const std::vector<float>& wide) {
  for (std::size_t i = 0; i < wide.size(); ++i)
    if (i % std::size_t(gap) != 0 && wide[i] == wide[i]) return false;
  return true;
}

/// A call whose tensors all lie in memory of their own, spread out.
struct spread_call {
  plan32 plan;
  std::vector<std::vector<float>> memory;

  spread_call(const plan32& dense, tensors<fp32>& numbers) : plan(dense) {
    for (auto* pool : {&numbers.tokens, &numbers.parameters, &numbers.states})
      for (auto& values : *pool) {
        memory.push_back(spread(values));
        each_tensor(plan, [&](tensor32& x) {
          if (!x || x.data != reinterpret_cast<std::byte*>(values.data())) return;
          x.data = reinterpret_cast<std::byte*>(memory.back().data());
          for (index_t* stride : {&x.batch, &x.time, &x.head, &x.key, &x.value}) *stride *= gap;
        });
      }
    plan.lepe_row *= gap;
    plan.lepe_column *= gap;
  }
};

}  // namespace

TEST_CASE("tensors with strides give the bits of dense ones, and nothing is written between their elements") {
  each_case([](const any_case& c) {
    wishes w = c.wish;
    w.initial_state = true;
    const auto call = c.make(fp32{}, c.everyday, w);
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 dense = answer_of(form, plan, *call->numbers);
      call->numbers->poison();
      spread_call wide(plan, *call->numbers);
      const status done = form.run(wide.plan, 0);
      CHECK_MESSAGE(bool(done), done.what);
      const std::size_t y = 0, S = call->numbers->tokens.size() + call->numbers->parameters.size();
      const answer32 found{gathered(wide.memory[y]), gathered(wide.memory[S]), gathered(wide.memory[S + 1]),
                           gathered(wide.memory[S + 2])};
      check_same_bits(found, dense);
      for (std::size_t i : {y, S, S + 1, S + 2}) CHECK(gaps_are_untouched(wide.memory[i]));
      CHECK(same_bits(call->numbers->y(), std::vector<float>(dense.y.size(), std::numeric_limits<float>::quiet_NaN())));
    });
  });
}

TEST_CASE("a parameter of one number for all heads may be a view of stride 0") {
  each_case([](const any_case& c) {
    const auto call = c.make();
    // The same numbers for every head, once in memory and once behind a stride of 0.
    plan32 shared = call->plan;
    each_parameter(shared, [&](tensor32& x) { x.head = 0; });
    for (auto& values : call->numbers->parameters) {
      const std::size_t heads = std::size_t(call->size.H), each = values.size() / heads;
      for (std::size_t h = 1; h < heads; ++h)
        for (std::size_t i = 0; i < each; ++i) values[h * each + i] = values[i];
    }
    each_form_of(c, call->plan, [&](const planned_form<float>& form, const plan32& plan) {
      const answer32 repeated = answer_of(form, plan, *call->numbers);
      shared.chunk_length = plan.chunk_length;
      check_same_bits(answer_of(form, shared, *call->numbers), repeated);
    });
  });
}
