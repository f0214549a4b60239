// SPDX-License-Identifier: Apache-2.0
/// @file  G1: the selective scan of Mamba with z gate, bias of the step, D and the last state.
#include "golden.hpp"

using namespace sextant;

TEST_CASE("selective scan: step bias, D, z gate and the last state") {
  constexpr index_t L = 7, D = 3, N = 4;
  const auto fill = [](auto& x) {
    golden::stream draw{3};
    golden::set(x.v, golden::transposed(draw(D * L), D, L));   // u
    golden::set(x.dt, golden::transposed(draw(D * L), D, L));  // delta
    golden::set(x.a, golden::each(draw(D * N), [](double e) { return -std::exp(e); }));
    golden::set(x.k, golden::transposed(draw(N * L), N, L));  // B
    golden::set(x.q, golden::transposed(draw(N * L), N, L));  // C
    golden::set(x.d, draw(D));
    golden::set(x.gate, golden::transposed(draw(D * L), D, L));  // z
    golden::set(x.bias, draw(D));
  };
  const auto expect_y = [](const auto& x, golden::comparison& compare) {
    const double known[D][L] = {
        {-0.012134150, -0.001288031, -0.067072286, -0.085288100, -0.019883630, -0.000033327, +0.079168813},
        {-0.000815486, +0.276986876, -0.111533115, +0.080420727, +0.071322718, +0.008000265, +0.086225236},
        {-0.024663180, -0.014374138, -0.252320898, -0.212909284, -0.119117098, +0.029382107, -0.160029203}};
    for (index_t d = 0; d < D; ++d)
      for (index_t t = 0; t < L; ++t) compare(double(x.y(0, t, 0, d)), known[d][t]);
  };
  const auto expect_state = [](const auto& x, golden::comparison& compare) {
    const double known[D][N] = {{-0.288039688, +0.020261521, -0.124497734, +0.013846800},
                                {-0.117885725, -0.030000310, -0.050089195, +0.107657003},
                                {-0.183591470, +0.000197524, -0.144733028, +0.133442830}};
    for (index_t d = 0; d < D; ++d)
      for (index_t n = 0; n < N; ++n) compare(double(x.final_state.S(0, 0, n, d)), known[d][n]);
  };
  golden::check(mamba.with(output::silu{}), {1, L, 1, 1, N, D}, fill, expect_y, expect_state);
}
