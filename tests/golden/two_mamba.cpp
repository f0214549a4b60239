// SPDX-License-Identifier: Apache-2.0
/// @file  G4: one head of 2Mamba, the squared scores under the A-mask.
#include "golden.hpp"

using namespace sextant;

TEST_CASE("2Mamba: squared scores, softplus mask, divided by the sum of the weights") {
  constexpr index_t T = 6, d = 4;
  const auto fill = [](auto& x) {
    golden::stream draw{13};
    golden::set(x.q, draw(T * d));
    golden::set(x.k, draw(T * d));
    golden::set(x.v, draw(T * d));
    golden::set(x.forget, draw(T));
  };
  const auto expect = [](const auto& x, golden::comparison& compare) {
    const index_t tokens[] = {0, 2, 5};
    const double known[][d] = {{-0.666972999, -0.758241658, +0.276963820, -0.325795263},
                               {+0.768859249, +0.526937671, -0.846840368, +0.703383664},
                               {-0.303201277, +0.527288309, +0.085764310, +0.190089246}};
    for (int i = 0; i < 3; ++i)
      for (index_t v = 0; v < d; ++v) compare(double(x.y(0, tokens[i], 0, v)), known[i][v]);
  };
  golden::check(two_mamba, {1, T, 1, 1, d, d}, fill, expect, golden::no_state);
}
