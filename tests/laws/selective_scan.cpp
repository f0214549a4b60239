// SPDX-License-Identifier: Apache-2.0
/// @file  The state space models from their papers, written out: the selective scan and its dual are designs of this library.
#include "laws/law.hpp"

#include <cmath>  // exp, log1p

using namespace sextant;
using namespace sextant::test;

namespace {

double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

/// h_i = exp(A delta_i) h_{i-1} + B_i delta_i u_i, out_i = C_i h_i + D u_i (Gu and Dao 2023), with u = v, B = k, C = q,
/// times silu(z); one head of channels.
template <class Sequence> std::vector<double> selective_scan(const Sequence& x, std::vector<double>& last) {
  const index_t B = x.v.extent(0), T = x.v.extent(1), D = x.v.extent(3), N = x.k.extent(3);
  std::vector<double> out;
  last.assign(std::size_t(B * N * D), 0);
  for (index_t b = 0; b < B; ++b) {
    double* const h = last.data() + b * N * D;
    for (index_t i = 0; i < T; ++i)
      for (index_t d = 0; d < D; ++d) {
        const double delta = softplus(double(x.dt(b, i, 0, d)) + double(x.bias(0, d))), u = double(x.v(b, i, 0, d));
        double y = double(x.d(0, d)) * u;
        for (index_t n = 0; n < N; ++n) {
          double& h_n = h[n * D + d];
          h_n = std::exp(delta * double(x.a(0, d, n))) * h_n + delta * double(x.k(b, i, 0, n)) * u;
          y += double(x.q(b, i, 0, n)) * h_n;
        }
        if constexpr (requires { x.gate; }) {
          const double z = double(x.gate(b, i, 0, d));
          y *= z / (1 + std::exp(-z));
        }
        out.push_back(y);
      }
  }
  return out;
}

/// Y = (L (.) C B^T) (delta X) + D X with L_ij = exp(a (delta_{j+1} + ... + delta_i)) for i >= j (Dao and Gu 2024).
template <class Sequence> std::vector<double> dual_of_scan(const Sequence& x) {
  const index_t B = x.v.extent(0), T = x.v.extent(1), H = x.v.extent(2), P = x.v.extent(3), N = x.k.extent(3);
  const index_t groups = x.k.extent(2);
  std::vector<double> out(std::size_t(B * T * H * P));
  const auto delta = [&](index_t b, index_t t, index_t h) { return softplus(double(x.dt(b, t, h)) + double(x.bias(h))); };
  for (index_t b = 0; b < B; ++b)
    for (index_t h = 0; h < H; ++h)
      for (index_t i = 0; i < T; ++i)
        for (index_t p = 0; p < P; ++p) {
          double y = double(x.d(h, p)) * double(x.v(b, i, h, p));
          for (index_t j = 0; j <= i; ++j) {
            double product = 0, decay = 0;
            for (index_t n = 0; n < N; ++n)
              product += double(x.q(b, i, h / (H / groups), n)) * double(x.k(b, j, h / (H / groups), n));
            for (index_t s = j + 1; s <= i; ++s) decay += double(x.a(h)) * delta(b, s, h);
            y += product * std::exp(decay) * delta(b, j, h) * double(x.v(b, j, h, p));
          }
          out[std::size_t(((b * T + i) * H + h) * P + p)] = y;
        }
  return out;
}

template <class Design, class Formula> void every_form_is_the_formula(const Design& d, const shape& s, const Formula& formula) {
  auto p = make_problem<fp32>(d, s);
  const auto expected = formula(p.x);
  each_form<Design>([&](const auto& form) {
    INFO(std::string(form.name));
    p.poison();
    CHECK(bool(run(p, form, cpu::serial{})));
    CHECK(relative_error(p.y(), expected) <= tolerance<fp32>);
  });
}

}  // namespace

TEST_CASE("Mamba is the selective scan, with K = B, Q = C, V = u") {
  const shape s{.B = 2, .T = 37, .K = 16, .V = 21};
  std::vector<double> last;
  every_form_is_the_formula(mamba, s, [&](const auto& x) { return selective_scan(x, last); });
  every_form_is_the_formula(mamba.with(output::silu{}), s, [&](const auto& x) { return selective_scan(x, last); });
  auto p = make_problem<fp32>(mamba, s);
  CHECK(bool(run(p, form::automatic{}, cpu::serial{})));
  (void)selective_scan(p.x, last);
  CHECK(relative_error(p.S(), last) <= tolerance<fp32>);
}

TEST_CASE("Mamba-2 is the masked product of state space duality") {
  const shape s{.B = 2, .T = 37, .Hk = 2, .H = 4, .K = 8, .V = 5};
  every_form_is_the_formula(mamba2, s, [](const auto& x) { return dual_of_scan(x); });
}

TEST_CASE("a selective gate with one rate for a head and one step for its channels is Mamba-2's scalar gate") {
  const shape s{.B = 2, .T = 37, .Hk = 1, .H = 1, .K = 8, .V = 5};
  auto scalar = make_problem<fp32>(mamba2, s);
  constexpr auto wide = mamba.with(heads::grouped{});
  auto full = make_problem<fp32>(wide, s);
  full.x.q = scalar.x.q, full.x.k = scalar.x.k, full.x.v = scalar.x.v;
  full.x.dt = {scalar.x.dt.data(), {s.B, s.T, s.H, s.V}, {s.T, 1, 1, 0}};
  full.x.bias = {scalar.x.bias.data(), {s.H, s.V}, {1, 0}};
  full.x.a = {scalar.x.a.data(), {s.H, s.V, s.K}, {1, 0, 0}};
  full.x.d = scalar.x.d;
  CHECK(bool(run(scalar, form::automatic{}, cpu::serial{})));
  CHECK(bool(run(full, form::automatic{}, cpu::serial{})));
  CHECK(compare(full, scalar).worst() <= tolerance<fp32>);
}
