// SPDX-License-Identifier: Apache-2.0
/// @file  A forget gate of 0 at token t forgets: what came before leaves no bit in y from t on, nor in the final state.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// The gate of token `at` closed by writing `closed` into its raw tensor; then everything before it is changed.
template <class Design> void closed_gate_forgets(const Design& d, float closed) {
  const shape s = everyday_shape<Design>();
  wishes w = everyday_wishes<Design>();
  w.initial_state = true;
  auto p = make_problem<fp32>(d, s, w);
  const bool reversed = std::is_same_v<typename Design::order_type, order::reversed>;
  std::size_t number_of_forget = 0;
  for (std::size_t i = 1; i < p.tokens.size(); ++i)
    if (p.tokens[i].data() == p.x.forget.data()) number_of_forget = i;
  REQUIRE(number_of_forget > 0);
  each_form<Design>([&](const auto& form) {
    for (index_t at : {1, 15, 16, 17, 30}) {
      INFO(std::string(Design::forget_type::name), ", ", std::string(Design::norm_type::name), ", ", std::string(form.name), ", token ", at);
      const auto tokens = p.tokens;
      const auto states = p.states;
      const std::size_t row = p.tokens[number_of_forget].size() / std::size_t(s.B * s.T);
      for (index_t b = 0; b < s.B; ++b)
        for (std::size_t i = 0; i < row; ++i) p.tokens[number_of_forget][std::size_t(b * s.T + at) * row + i] = closed;
      p.poison();
      CHECK(bool(run(p, form, cpu::serial{})));
      const answer32 first = written<fp32>(p);
      for (index_t t = reversed ? at + 1 : 0; t < (reversed ? s.T : at); ++t)
        for (std::size_t which = 1; which < p.tokens.size(); ++which) change_token(p, which, s, t);
      for (std::size_t i = 3; i < p.states.size(); ++i)
        for (float& e : p.states[i]) e = -3 * e;
      p.poison();
      CHECK(bool(run(p, form, cpu::serial{})));
      const answer32 second = written<fp32>(p);
      CHECK(same_tokens(first.y, second.y, s, reversed ? 0 : at, reversed ? at + 1 : s.T));
      CHECK(!same_tokens(first.y, second.y, s, reversed ? at + 1 : at - 1, reversed ? at + 2 : at));
      CHECK(same_bits(first.S, second.S));
      CHECK(same_bits(first.z, second.z));
      for (std::size_t i = 1; i < tokens.size(); ++i) p.tokens[i] = tokens[i];
      for (std::size_t i = 3; i < states.size(); ++i) p.states[i] = states[i];
    }
  });
}

template <class Design> void every_closed_gate_forgets(const Design& d) {
  closed_gate_forgets(d.with(forget::log_decay<per::head>{}), minus_infinity);
  closed_gate_forgets(d.with(forget::log_decay<per::head>{}), -1e4f);
  closed_gate_forgets(d.with(forget::log_decay<per::key>{}), minus_infinity);
  closed_gate_forgets(d.with(forget::log_decay<per::key>{}), -1e4f);
  closed_gate_forgets(d.with(forget::log_sigmoid<per::key>{}), -1e4f);
  closed_gate_forgets(d.with(forget::softplus{}), 1e4f);
}

}  // namespace

TEST_CASE("a closed gate forgets everything before it, bit for bit") {
  constexpr auto plain = linear_attention.with(norm::none{}, map::identity{}, input::sigmoid{});
  every_closed_gate_forgets(plain);
  every_closed_gate_forgets(plain.with(order::reversed{}));
  closed_gate_forgets(plain.with(forget::log_decay<per::channel>{}), minus_infinity);
  closed_gate_forgets(plain.with(forget::log_decay<per::key_channel>{}), minus_infinity);
  closed_gate_forgets(plain.with(invented::cutting{}), 0);
}

TEST_CASE("a closed gate empties the normaliser too") {
  every_closed_gate_forgets(linear_attention);
  every_closed_gate_forgets(linear_attention.with(order::reversed{}, input::exponential{}));
}

TEST_CASE("a closed gate empties mLSTM's state, and its stabiliser starts again") {
  closed_gate_forgets(mlstm, -1e4f);
  closed_gate_forgets(mlstm.with(forget::log_decay<per::head>{}), minus_infinity);
  closed_gate_forgets(mlstm.with(forget::log_decay<per::head>{}, order::reversed{}), minus_infinity);
}
