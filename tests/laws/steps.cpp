// SPDX-License-Identifier: Apache-2.0
/// @file  Decoding token by token with step() equals forward() on the whole.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class View> View token_of(const View& x, index_t t) {
  index_t extents[View::rank], strides[View::rank];
  for (int r = 0; r < View::rank; ++r) extents[r] = x.extent(r), strides[r] = x.stride(r);
  extents[1] = 1;
  return View(x.data() + t * x.stride(1), extents, strides);
}

template <class Design> void steps_equal_the_whole(const char* name, const Design& d) {
  using order_type = typename Design::order_type;
  using shortcut_type = typename Design::shortcut_type;
  using position_type = typename Design::position_type;
  if constexpr (std::is_same_v<order_type, order::causal> && !std::is_same_v<shortcut_type, shortcut::local> &&
                !std::is_same_v<position_type, position::rotary_2d>) {
    INFO(std::string(name));
    auto p = make_problem<fp32>(d, everyday_shape<Design>(), everyday_wishes<Design>());
    CHECK(bool(run(p, form::recurrent{}, cpu::serial{})));
    const answer32 whole = written<fp32>(p);
    p.poison();
    for (auto& values : p.states)
      for (float& e : values) e = 0;
    for (index_t t = 0; t < p.size.T; ++t) {
      sequence<Design> x = p.x;
      x.q = token_of(x.q, t), x.k = token_of(x.k, t), x.v = token_of(x.v, t), x.y = token_of(x.y, t);
      if constexpr (requires { x.dt; }) x.dt = token_of(x.dt, t);
      if constexpr (requires { x.forget; }) x.forget = token_of(x.forget, t);
      if constexpr (requires { x.input; }) x.input = token_of(x.input, t);
      if constexpr (requires { x.gate; }) x.gate = token_of(x.gate, t);
      if constexpr (requires { x.first_position; }) x.first_position = t;
      auto memory = poisoned(workspace_bytes(d, form::recurrent{}, cpu::serial{}, x));
      const status done = step(d, cpu::serial{memory}, x, p.x.final_state);
      CHECK_MESSAGE(bool(done), done.what);
    }
    answer32 steps = written<fp32>(p);
    CHECK(relative_error(steps.y, whole.y) <= tolerance<fp32>);
    CHECK(relative_error(steps.S, whole.S) <= tolerance<fp32>);
    if constexpr (requires { p.x.final_state.z; }) CHECK(relative_error(steps.z, whole.z) <= tolerance<fp32>);
    if constexpr (requires { p.x.final_state.m; }) CHECK(relative_error(steps.m, whole.m) <= tolerance<fp32>);
  }
}

}  // namespace

TEST_CASE("steps from an empty state equal the whole, for the designs of the literature") {
  each_preset([](const char* name, const auto& d) { steps_equal_the_whole(name, d); });
  steps_equal_the_whole("retnet, turned", retnet.with(position::rotary_1d{}));
  steps_equal_the_whole("mamba, gated", mamba.with(output::silu{}));
}
TEST_CASE("steps equal the whole, for invented designs") {
  each_invented([](const char* name, const auto& d) { steps_equal_the_whole(name, d); });
}

TEST_CASE("step() refuses more than one token, and writes nothing") {
  auto p = make_problem<fp32>(gla, everyday_shape<std::remove_const_t<decltype(gla)>>());
  const answer32 before = written<fp32>(p);
  std::vector<std::byte> memory(1 << 16);
  const status done = step(gla, cpu::serial{memory}, p.x, p.x.final_state);
  CHECK(done.code == errc::shape);
  check_same_bits(written<fp32>(p), before);
}
