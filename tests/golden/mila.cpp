// SPDX-License-Identifier: Apache-2.0
/// @file  G0: MILA's linear attention without LePE on 2 x 2 pixels.
#include "golden.hpp"

using namespace sextant;

TEST_CASE("MILA's attention: global, elu + 1, rotary in two dimensions, divided by the mean of the keys") {
  constexpr index_t T = 4, C = 8, H = 2;
  const auto fill = [](auto& x) {
    golden::stream draw{7};
    golden::set(x.q, draw(T * C));
    golden::set(x.k, draw(T * C));
    golden::set(x.v, draw(T * C));
  };
  const auto expect = [](const auto& x, golden::comparison& compare) {
    const double known[T][C] = {
        {+0.127791764, +0.200344176, -0.295843922, +0.231913047, +0.293117082, -0.214652577, +0.275501708, +0.321754408},
        {+0.108086121, +0.168885670, -0.303642259, +0.212838861, +0.219390758, -0.248571139, +0.308849803, +0.314378317},
        {+0.099222812, +0.154570008, -0.334932270, +0.259613357, +0.234687803, -0.167388187, +0.259428114, +0.283479743},
        {+0.111500800, +0.173992842, -0.341870256, +0.277743083, +0.199755669, -0.259367749, +0.296169469, +0.300306520}};
    for (index_t t = 0; t < T; ++t)
      for (index_t c = 0; c < C; ++c) compare(double(x.y(0, t, c / (C / H), c % (C / H))), known[t][c]);
  };
  golden::check(mila.with(shortcut::none{}), {1, T, H, H, C / H, C / H, 2}, fill, expect, golden::no_state);
}
