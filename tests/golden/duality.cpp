// SPDX-License-Identifier: Apache-2.0
/// @file  G2: one head of structured state space duality, the core of Mamba-2, with its final state.
#include "golden.hpp"

using namespace sextant;

namespace {

constexpr index_t T = 8, P = 3, N = 4;

void expect_y(const auto& x, golden::comparison& compare) {
  const index_t tokens[] = {0, 3, 7};
  const double known[][P] = {{-0.427951744, +0.379097973, -0.419671208},
                             {+0.053785292, +0.105145664, +0.159879041},
                             {+0.022099629, -0.160588759, -0.057990693}};
  for (int i = 0; i < 3; ++i)
    for (index_t v = 0; v < P; ++v) compare(double(x.y(0, tokens[i], 0, v)), known[i][v]);
}
void expect_state(const auto& x, golden::comparison& compare) {
  const double known[N] = {-0.214823573, -0.266103100, +0.047130512, +0.280937351};
  for (index_t n = 0; n < N; ++n) compare(double(x.final_state.S(0, 0, n, 0)), known[n]);
}

}  // namespace

// The step sizes are in X already, so the designs here have no input gate; a = -softplus(r) is the gate's logarithm.

TEST_CASE("state space duality, its decay given as a logarithm") {
  const auto fill = [](auto& x) {
    golden::stream draw{5};
    golden::set(x.v, draw(T * P));
    golden::set(x.forget, golden::each(draw(T), [](double r) { return -std::log1p(std::exp(r)); }));
    golden::set(x.k, draw(T * N));
    golden::set(x.q, draw(T * N));
  };
  golden::check(mamba2.with(input::one{}, shortcut::none{}, forget::log_decay<per::head>{}), {1, T, 1, 1, N, P}, fill,
                [](const auto& x, golden::comparison& c) { expect_y(x, c); },
                [](const auto& x, golden::comparison& c) { expect_state(x, c); });
}

TEST_CASE("state space duality, its decay from the step size: exp(a delta) with a = -1") {
  const auto fill = [](auto& x) {
    golden::stream draw{5};
    golden::set(x.v, draw(T * P));
    golden::set(x.dt, draw(T));
    golden::set(x.a, {-1});
    golden::leave_out(x.bias);
    golden::set(x.k, draw(T * N));
    golden::set(x.q, draw(T * N));
  };
  golden::check(mamba2.with(input::one{}, shortcut::none{}), {1, T, 1, 1, N, P}, fill,
                [](const auto& x, golden::comparison& c) { expect_y(x, c); },
                [](const auto& x, golden::comparison& c) { expect_state(x, c); });
}
