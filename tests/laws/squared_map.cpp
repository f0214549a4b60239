// SPDX-License-Identifier: Apache-2.0
/// @file  The squared map's products are squares: phi(q).phi(k) = (q.k)^2, in a state of K (K + 1) / 2 keys.
#include "laws/law.hpp"

#include <cmath>  // exp, log1p

using namespace sextant;
using namespace sextant::test;

namespace {

/// y_i = sum over j <= i of w_ij v_j, over sum of w_ij if `divided`, w_ij = (q_i.k_j)^2 exp(-sum of softplus(forget)) `by`.
template <class Sequence> std::vector<double> squares(const Sequence& x, bool divided, double by) {
  const index_t B = x.v.extent(0), T = x.v.extent(1), H = x.v.extent(2), V = x.v.extent(3), K = x.k.extent(3);
  std::vector<double> out(std::size_t(B * T * H * V));
  for (index_t b = 0; b < B; ++b)
    for (index_t h = 0; h < H; ++h)
      for (index_t i = 0; i < T; ++i) {
        std::vector<double> y(std::size_t(V), 0.0);
        double weights = 0, decay = 1;
        for (index_t j = i; j >= 0; --j) {
          double product = 0;
          for (index_t n = 0; n < K; ++n) product += double(x.q(b, i, h, n)) * double(x.k(b, j, h, n));
          const double w = product * product * decay * by;
          weights += w;
          for (index_t v = 0; v < V; ++v) y[std::size_t(v)] += w * double(x.v(b, j, h, v));
          if constexpr (requires { x.forget; }) decay /= 1 + std::exp(double(x.forget(b, j, h)));
        }
        for (index_t v = 0; v < V; ++v)
          out[std::size_t(((b * T + i) * H + h) * V + v)] = y[std::size_t(v)] / (divided ? weights : 1);
      }
  return out;
}

template <class Design> void every_form_squares(const Design& d, bool divided, double by) {
  auto p = make_problem<fp32>(d, everyday_shape<Design>(), everyday_wishes<Design>());
  const auto expected = squares(p.x, divided, by);
  each_form<Design>([&](const auto& form) {
    INFO(std::string(form.name));
    p.poison();
    CHECK(bool(run(p, form, cpu::serial{})));
    CHECK(relative_error(p.y(), expected) <= tolerance<fp32>);
  });
}

}  // namespace

TEST_CASE("the squared map weighs by the squares of q.k") {
  every_form_squares(linear_attention.with(map::squared{}, norm::none{}), false, 1);
  every_form_squares(linear_attention.with(map::squared{}), true, 1);
}
TEST_CASE("2Mamba weighs by (q.k)^2 / K under its mask, divided by the weights' sum") {
  every_form_squares(two_mamba, true, 1);
  every_form_squares(two_mamba.with(norm::none{}), false, 1.0 / 5);  // K = 5
}
TEST_CASE("the expansion holds K (K + 1) / 2 numbers whose products are the square") {
  const double q[] = {0.5, -1, 2, 0.25}, k[] = {3, 0.125, -0.5, 1};
  double phi_q[10], phi_k[10], product = 0, sum = 0;
  CHECK(map::squared::width(4) == 10);
  map::squared{}.expand(q, 4, phi_q);
  map::squared{}.expand(k, 4, phi_k);
  for (int i = 0; i < 10; ++i) sum += phi_q[i] * phi_k[i];
  for (int i = 0; i < 4; ++i) product += q[i] * k[i];
  CHECK(sum == doctest::Approx(product * product).epsilon(1e-14));
}
