// SPDX-License-Identifier: Apache-2.0
/// @file  G5: the kernel of S4D in both discretisations, as the answer to a single 1; the convolution is the second opinion.
#include "golden.hpp"

using namespace sextant;

namespace {

template <class Design> void check_kernel(const Design& design, const double (&known)[6]) {
  constexpr index_t T = 6, N = 3;
  const auto fill = [](auto& x) {
    golden::stream draw{17};
    std::vector<double> a, impulse(T, 0.0);
    for (index_t n = 0; n < N; ++n) a.push_back(-0.5), a.push_back(-3.14159265358979323846 * double(n));
    impulse[0] = 1;
    golden::set(x.a, a);
    golden::set(x.b, draw(2 * N));
    golden::set(x.c, draw(2 * N));
    golden::set(x.log_dt, {std::log(0.1)});
    golden::set(x.v, impulse);
  };
  const auto expect_y = [&known](const auto& x, golden::comparison& compare) {
    for (index_t t = 0; t < T; ++t) compare(double(x.y(0, t, 0, 0)), known[t]);
  };
  golden::check(design, {1, T, 1, 1, 2 * N, 1}, fill, expect_y, golden::no_state);
}

}  // namespace

TEST_CASE("S4D's kernel, held for a step and by the trapezoid's rule") {
  check_kernel(s4d.with(shortcut::none{}),
               {+0.045248001, +0.050747705, +0.060628056, +0.072062277, +0.080585889, +0.081970356});
  check_kernel(s4d.with(shortcut::none{}, forget::diagonal<discretisation::bilinear>{}),
               {+0.045638670, +0.050911950, +0.059980691, +0.070532891, +0.078728630, +0.080727906});
}
