// SPDX-License-Identifier: Apache-2.0
/// @file  Heads that share a query and a key equal heads that have copies of it, bit for bit.
#include "laws/law.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class Design, class Other> void every_form_has_the_same_bits(problem<Design, fp32>& a, problem<Other, fp32>& b) {
  each_form<Design>([&](const auto& form) {
    INFO(std::string(Design::forget_type::name), ", ", std::string(Design::norm_type::name), ", ", std::string(form.name));
    a.poison(), b.poison();
    CHECK(bool(run(a, form, cpu::serial{})));
    CHECK(bool(run(b, form, cpu::serial{})));
    check_same_bits(written<fp32>(a), written<fp32>(b));
  });
}

constexpr shape two_for_four{.B = 2, .T = 36, .Hk = 2, .H = 4, .K = 5, .V = 7};

/// The tensors that do not depend on the heads of q and k, from one sequence to another of the same design but for heads.
template <class From, class To> void hand_over(const From& from, To& to) {
  to.v = from.v;
  if constexpr (requires { from.dt; }) to.dt = from.dt, to.bias = from.bias;
  if constexpr (requires { from.forget; }) to.forget = from.forget;
  if constexpr (requires { from.input; }) to.input = from.input;
  if constexpr (requires { from.a; }) to.a = from.a;
  if constexpr (requires { from.d; }) to.d = from.d;
}

/// q and k of head floor(h Hk / H), copied for every head h.
template <class Design> void grouped_equals_copies(const Design& d) {
  const auto grouped_design = d.with(heads::grouped{});
  const auto multi_design = d.with(heads::multi{});
  shape s = two_for_four;
  auto grouped = make_problem<fp32>(grouped_design, s, everyday_wishes<Design>());
  s.Hk = s.H;
  auto multi = make_problem<fp32>(multi_design, s, everyday_wishes<Design>());
  hand_over(grouped.x, multi.x);
  for (std::size_t which : {number_of_q, number_of_k})
    for (index_t row = 0; row < s.B * s.T; ++row)
      for (index_t h = 0; h < s.H; ++h)
        for (index_t n = 0; n < s.K; ++n)
          multi.tokens[which][std::size_t((row * s.H + h) * s.K + n)] =
              grouped.tokens[which][std::size_t((row * 2 + h / 2) * s.K + n)];
  every_form_has_the_same_bits(grouped, multi);
}

/// One group: q and k of multi heads through a stride of 0.
template <class Design> void one_group_equals_stride_zero(const Design& d) {
  const auto grouped_design = d.with(heads::grouped{});
  const auto multi_design = d.with(heads::multi{});
  shape s = two_for_four;
  s.Hk = 1;
  auto grouped = make_problem<fp32>(grouped_design, s, everyday_wishes<Design>());
  s.Hk = s.H;
  auto multi = make_problem<fp32>(multi_design, s, everyday_wishes<Design>());
  hand_over(grouped.x, multi.x);
  multi.x.q = {grouped.x.q.data(), {s.B, s.T, s.H, s.K}, {s.T * s.K, s.K, 0, 1}};
  multi.x.k = {grouped.x.k.data(), {s.B, s.T, s.H, s.K}, {s.T * s.K, s.K, 0, 1}};
  every_form_has_the_same_bits(grouped, multi);
}

/// Heads of one number alone each, against the three designs.
template <class Design> void one_head_is_one_head(const Design& d) {
  const shape s{.B = 2, .T = 36, .K = 5, .V = 7};
  auto single = make_problem<fp32>(d.with(heads::single{}), s, everyday_wishes<Design>());
  auto multi = make_problem<fp32>(d.with(heads::multi{}), s, everyday_wishes<Design>());
  auto grouped = make_problem<fp32>(d.with(heads::grouped{}), s, everyday_wishes<Design>());
  every_form_has_the_same_bits(single, multi);
  every_form_has_the_same_bits(single, grouped);
}

template <class Check> void each_kind_of_gate(const Check& check) {
  check(linear_attention);
  check(mamba2);
  check(gla);
  check(two_mamba);
  check(mlstm);
  check(mamba);
}

}  // namespace

TEST_CASE("grouped heads equal multi heads with copies of q and k") {
  each_kind_of_gate([](const auto& d) { grouped_equals_copies(d); });
}
TEST_CASE("one group of heads equals multi heads whose q and k are views of stride 0") {
  each_kind_of_gate([](const auto& d) { one_group_equals_stride_zero(d); });
}
TEST_CASE("with one head, single, multi and grouped are one design") {
  each_kind_of_gate([](const auto& d) { one_head_is_one_head(d); });
}

TEST_CASE("Mamba's one head of eight channels is four heads of two that share q and k") {
  const shape s{.B = 2, .T = 36, .K = 5, .V = 8};
  auto single = make_problem<fp32>(mamba, s);
  constexpr auto shared = mamba.with(heads::grouped{});
  auto grouped = make_problem<fp32>(shared, {.B = 2, .T = 36, .Hk = 1, .H = 4, .K = 5, .V = 2});
  grouped.x.q = single.x.q, grouped.x.k = single.x.k;
  grouped.x.v = {single.x.v.data(), {2, 36, 4, 2}};
  grouped.x.dt = {single.x.dt.data(), {2, 36, 4, 2}};
  grouped.x.bias = {single.x.bias.data(), {4, 2}};
  grouped.x.a = {single.x.a.data(), {4, 2, 5}};
  grouped.x.d = {single.x.d.data(), {4, 2}};
  each_form<std::remove_const_t<decltype(mamba)>>([&](const auto& form) {
    INFO(std::string(form.name));
    CHECK(bool(run(single, form, cpu::serial{})));
    CHECK(bool(run(grouped, form, cpu::serial{})));
    CHECK(same_bits(single.y(), grouped.y()));
  });
}
