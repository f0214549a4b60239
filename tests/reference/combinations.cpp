// SPDX-License-Identifier: Apache-2.0
/// @file  The two references agree on the product of input gates, forget gates, norms and orders.
#include <doctest/doctest.h>

#include <string>  // string
#include <tuple>   // apply, tuple

#include <sextant/reference/quadratic.hpp>

#include "cases.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr std::tuple inputs{input::one{}, input::exponential{}};
constexpr std::tuple forgets{forget::one{}, forget::exponential{}, forget::log_sigmoid<per::key>{.temperature = 4},
                             forget::log_decay<per::channel>{}, forget::selective{}};
constexpr std::tuple norms{norm::none{}, norm::sum{.eps = 0.125}, norm::sum_undecayed{}, norm::mean{}, norm::abs_max{}};
constexpr std::tuple orders{order::causal{}, order::reversed{}, order::global{}};

int agreed = 0;

template <class Input, class Forget, class Norm, class Order>
void check(const Input& input, const Forget& forget, const Norm& norm, const Order& order) {
  if constexpr (fits<Input, Forget, Norm, Order>) {
    INFO(std::string(Input::name), ", ", std::string(Forget::name), ", ", std::string(Norm::name), ", ", std::string(Order::name));
    const auto design = linear_attention.with(input, forget, norm, order, map::identity{});
    const wishes w{.seed = 11, .initial_state = true, .positive_keys = true};
    const shape s{.B = 2, .T = 9, .Hk = 1, .H = 1, .K = 3, .V = 4};
    auto one = make_problem<fp64>(design, s, w), other = make_problem<fp64>(design, s, w);
    reference::recurrent(design, one.x);
    reference::quadratic(design, other.x);
    const double difference = relative_error(other.y(), one.y());
    CHECK(difference <= 1e-12);
    if (difference <= 1e-12) ++agreed;
  }
}
template <class Tuple, class Visit> void each(const Tuple& all, const Visit& visit) {
  std::apply([&](const auto&... one) { (visit(one), ...); }, all);
}

}  // namespace

TEST_CASE("the references agree: input gates x forget gates x norms x orders") {
  each(inputs, [](const auto& i) {
    each(forgets, [&](const auto& f) {
      each(norms, [&](const auto& n) { each(orders, [&](const auto& o) { check(i, f, n, o); }); });
    });
  });
  MESSAGE("designs that agree: ", agreed);
  CHECK(agreed == 70);
}
