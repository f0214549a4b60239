// SPDX-License-Identifier: Apache-2.0
/// @file  mLSTM computed with its stabiliser is mLSTM as it is written, and does not mind input gates of any size.
#include "laws/law.hpp"

#include <cmath>  // exp, fabs, fmax, log1p, round

using namespace sextant;
using namespace sextant::test;

namespace {

/// S_t = f S_{t-1} + i k^T v, z_t = f z_{t-1} + i k, y = scale q S / max(|scale q z|, 1) (Beck et al. 2024), unstabilised;
/// f and i of a token from `gates`.
template <class Sequence, class Gates> std::vector<double> unstabilised(const Sequence& x, double scale, const Gates& gates) {
  const index_t B = x.v.extent(0), T = x.v.extent(1), H = x.v.extent(2), V = x.v.extent(3), K = x.k.extent(3);
  std::vector<double> out(std::size_t(B * T * H * V));
  for (index_t b = 0; b < B; ++b)
    for (index_t h = 0; h < H; ++h) {
      std::vector<double> S(std::size_t(K * V), 0.0), z(std::size_t(K), 0.0);
      for (index_t t = 0; t < T; ++t) {
        const auto [f, i] = gates(b, t, h);
        double qz = 0;
        for (index_t n = 0; n < K; ++n) {
          const double k = double(x.k(b, t, h, n));
          z[std::size_t(n)] = f * z[std::size_t(n)] + i * k;
          qz += double(x.q(b, t, h, n)) * z[std::size_t(n)];
          for (index_t v = 0; v < V; ++v)
            S[std::size_t(n * V + v)] = f * S[std::size_t(n * V + v)] + i * k * double(x.v(b, t, h, v));
        }
        for (index_t v = 0; v < V; ++v) {
          double qS = 0;
          for (index_t n = 0; n < K; ++n) qS += double(x.q(b, t, h, n)) * S[std::size_t(n * V + v)];
          out[std::size_t(((b * T + t) * H + h) * V + v)] = scale * qS / std::fmax(std::fabs(scale * qz), 1.0);
        }
      }
    }
  return out;
}
struct two_gates {
  double forget, input;
};

/// Every form against the formula; q and k of both signs, so that the absolute value and the bound of 1 both matter.
template <class Design, class Prepare, class Gates>
void every_form_is_unstabilised(const Design& d, const Prepare& prepare, const Gates& gates) {
  auto p = make_problem<fp32>(d, everyday_shape<Design>());
  prepare(p);
  const auto expected =
      unstabilised(p.x, d.scale(p.size.K), [&](index_t b, index_t t, index_t h) { return gates(p.x, b, t, h); });
  each_form<Design>([&](const auto& form) {
    INFO(std::string(Design::forget_type::name), ", ", std::string(form.name));
    p.poison();
    CHECK(bool(run(p, form, cpu::serial{})));
    CHECK(relative_error(p.y(), expected) <= tolerance<fp32>);
  });
}
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
const auto as_it_is = [](auto&) {};

}  // namespace

TEST_CASE("mLSTM stabilised is mLSTM as written") {
  every_form_is_unstabilised(mlstm, as_it_is, [](const auto& x, index_t b, index_t t, index_t h) {
    return two_gates{sigmoid(double(x.forget(b, t, h))), std::exp(double(x.input(b, t, h)))};
  });
}
TEST_CASE("with an input gate of zero everywhere, and any forget gate") {
  const auto no_input = [](auto& p) {
    for (auto& e : p.tokens[4]) e = 0;  // the tensor after q, k, v
    REQUIRE(p.tokens[4].data() == p.x.input.data());
  };
  every_form_is_unstabilised(mlstm, no_input, [](const auto& x, index_t b, index_t t, index_t h) {
    return two_gates{sigmoid(double(x.forget(b, t, h))), 1};
  });
  every_form_is_unstabilised(mlstm.with(input::one{}), as_it_is, [](const auto& x, index_t b, index_t t, index_t h) {
    return two_gates{sigmoid(double(x.forget(b, t, h))), 1};
  });
  every_form_is_unstabilised(mlstm.with(input::one{}, forget::one{}), as_it_is,
                             [](const auto&, index_t, index_t, index_t) { return two_gates{1, 1}; });
  every_form_is_unstabilised(mlstm.with(forget::constant{}), as_it_is, [](const auto& x, index_t b, index_t t, index_t h) {
    return two_gates{std::exp(double(x.a(h))), std::exp(double(x.input(b, t, h)))};
  });
}
TEST_CASE("with sigmoid input gates, or a step size") {
  every_form_is_unstabilised(mlstm.with(input::sigmoid{}), as_it_is, [](const auto& x, index_t b, index_t t, index_t h) {
    return two_gates{sigmoid(double(x.forget(b, t, h))), sigmoid(double(x.input(b, t, h)))};
  });
  every_form_is_unstabilised(
      mlstm.with(input::softplus<per::head>{}, forget::exponential{}), as_it_is,
      [](const auto& x, index_t b, index_t t, index_t h) {
        const double delta = std::log1p(std::exp(double(x.dt(b, t, h)) + double(x.bias(h))));
        return two_gates{std::exp(double(x.a(h)) * delta), delta};
      });
}

TEST_CASE("input gates beyond the range of a float: y does not change once the bound of 1 is out of sight") {
  // log i + c for every token multiplies S and z by exp(c), and so leaves their quotient.
  const shape s = everyday_shape<std::remove_const_t<decltype(mlstm)>>();
  auto p = make_problem<fp32>(mlstm, s, {.positive_keys = true});
  auto& raw = p.tokens[4];
  for (float& e : raw) e = std::round(e * 256) / 1024 + 16;  // exact also beside 1008
  each_form<std::remove_const_t<decltype(mlstm)>>([&](const auto& form) {
    INFO(std::string(form.name));
    CHECK(bool(run(p, form, cpu::serial{})));
    const auto near = p.y();
    const auto m = p.m();
    for (float& e : raw) e += 1008;  // exp(1024) is infinite even in float64
    CHECK(bool(run(p, form, cpu::serial{})));
    CHECK(relative_error(p.y(), near) <= tolerance<fp32>);
    for (std::size_t i = 0; i < m.size(); ++i) CHECK(p.m()[i] == doctest::Approx(m[i] + 1008).epsilon(1e-6));
    for (float& e : raw) e -= 1008;
  });
}
