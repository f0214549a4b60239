// SPDX-License-Identifier: Apache-2.0
/// @file  Scales: what doubles y and what leaves it, bit for bit.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

void multiply(std::vector<float>& values, float factor) {
  for (float& e : values) e *= factor;
}

/// y with one tensor times `by`, against y times `expected`, in every form.
template <class Design> void times(const Design& d, std::size_t which, float by, float expected) {
  auto p = make_problem<fp32>(d, everyday_shape<Design>(), {.positive_keys = true});
  each_form<Design>([&](const auto& form) {
    INFO(std::string(Design::norm_type::name), ", ", std::string(Design::map_type::name), ", ", std::string(form.name), ", tensor ", which);
    CHECK(bool(run(p, form, cpu::serial{})));
    auto before = p.y();
    multiply(before, expected);
    multiply(p.tokens[which], by);
    p.poison();
    CHECK(bool(run(p, form, cpu::serial{})));
    CHECK(same_bits(p.y(), before));
    multiply(p.tokens[which], 1 / by);
  });
}

}  // namespace

TEST_CASE("without a norm y is linear in q and in k; with the squared map quadratic") {
  constexpr auto d = linear_attention.with(norm::none{}, map::identity{}, forget::log_decay<per::key>{});
  for (std::size_t which : {number_of_q, number_of_k}) {
    times(d, which, 2, 2);
    times(d.with(map::relu{}), which, 2, 2);
    times(d.with(map::squared{}, forget::softplus{}), which, 2, 4);
  }
}

TEST_CASE("a sum-normalised y does not change with the size of q and k, for maps without a size of their own") {
  constexpr auto d = linear_attention.with(map::relu{}, input::sigmoid{}, forget::log_decay<per::head>{});
  for (std::size_t which : {number_of_q, number_of_k}) {
    times(d, which, 4, 1);
    times(d.with(norm::sum_undecayed{}), which, 4, 1);
    times(d.with(map::squared{}), which, 4, 1);
    times(linear_attention.with(map::identity{}, order::global{}), which, 4, 1);
    times(linear_attention.with(map::identity{}, order::global{}, norm::mean{.eps = 0}), which, 4, 1);
  }
}

TEST_CASE("the design's scale multiplies y") {
  constexpr auto d = linear_attention.with(norm::none{}, forget::softplus{});
  constexpr shape s{.B = 2, .T = 36, .Hk = 2, .H = 2, .K = 16, .V = 7};
  auto p = make_problem<fp32>(d, s);
  auto doubled = make_problem<fp32>(d.with(scale::constant{2}), s);
  auto rooted = make_problem<fp32>(d.with(scale::inverse_root{}), s);
  each_form<std::remove_const_t<decltype(d)>>([&](const auto& form) {
    INFO(std::string(form.name));
    CHECK(bool(run(p, form, cpu::serial{})));
    CHECK(bool(run(doubled, form, cpu::serial{})));
    CHECK(bool(run(rooted, form, cpu::serial{})));
    auto twice = p.y(), quarter = p.y();
    multiply(twice, 2), multiply(quarter, 0.25f);  // 16^-0.5
    CHECK(same_bits(doubled.y(), twice));
    CHECK(same_bits(rooted.y(), quarter));
    CHECK(same_bits(doubled.S(), p.S()));
  });
}

TEST_CASE("eps is added to the divisor, times the number of tokens in a mean") {
  // k = q = e_1, v = 1: q z = t + 1 and q S = t + 1.
  const auto with_eps = [](const auto& d, auto divisor) {
    auto p = make_problem<fp32>(d, {.T = 20, .K = 1, .V = 1});
    for (std::size_t which : {number_of_q, number_of_k, number_of_v})
      for (float& e : p.tokens[which]) e = 1;
    each_form<std::remove_cvref_t<decltype(d)>>([&](const auto& form) {
      INFO(std::string(form.name));
      CHECK(bool(run(p, form, cpu::serial{})));
      for (int t = 0; t < 20; ++t) CHECK(p.y()[std::size_t(t)] == doctest::Approx(divisor(t)).epsilon(1e-6));
    });
  };
  constexpr auto d = linear_attention.with(map::identity{});
  with_eps(d.with(norm::sum{.eps = 0.5}), [](int t) { return (t + 1) / (t + 1.5); });
  with_eps(d.with(norm::sum_undecayed{.eps = 0.5}), [](int t) { return (t + 1) / (t + 1.5); });
  with_eps(d.with(norm::abs_max{.eps = 0.5}), [](int t) { return (t + 1) / (t + 1.5); });
  with_eps(d.with(norm::mean{.eps = 0.5}, order::global{}), [](int) { return 20 / (20 + 20 * 0.5); });
}
