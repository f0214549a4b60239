// SPDX-License-Identifier: Apache-2.0
/// @file  The rules: which parts fit together, which forms run what they make, and how granularities join.
#include <sextant/form.hpp>

#include <utility>  // integer_sequence

#include <doctest/doctest.h>

#include "product.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class Input, class Forget, int... Norm, int... Order>
constexpr int fitting(std::integer_sequence<int, Norm...>, std::integer_sequence<int, Order...>) {
  const auto of_order = []<class O>(O*) { return (0 + ... + int(fits<Input, Forget, part_of<Norm, norm_axis>, O>)); };
  return (0 + ... + of_order(static_cast<part_of<Order, order_axis>*>(nullptr)));
}
/// How many of the 15 pairs of a norm and an order fit the two gates.
template <class Input, class Forget>
inline constexpr int norms_and_orders = fitting<Input, Forget>(std::make_integer_sequence<int, norm_axis::size>{},
                                                               std::make_integer_sequence<int, order_axis::size>{});

}  // namespace

TEST_CASE("granularities join to the coarsest that holds both") {
  using enum per;
  constexpr per all[] = {nothing, head, key, channel, key_channel};
  for (per x : all) {
    CHECK(join(x, x) == x);
    CHECK(join(nothing, x) == x);
    CHECK(join(x, key_channel) == key_channel);
    for (per y : all) CHECK(join(x, y) == join(y, x));
  }
  static_assert(join(head, key) == key && join(head, channel) == channel);
  static_assert(join(key, channel) == key_channel);
}

TEST_CASE("of norms and orders, as many fit two gates as have a meaning") {
  // Without a forget gate: four norms causal, four reversed, five global.
  static_assert(norms_and_orders<input::one, forget::one> == 13);
  static_assert(norms_and_orders<input::exponential, forget::one> == 13);
  // An input gate per channel: abs_max's stabiliser would not be a number.
  static_assert(norms_and_orders<input::softplus<per::channel>, forget::one> == 10);
  // A gate per head: four norms, two orders; per key: no stabiliser; per key and channel: no decaying normaliser.
  static_assert(norms_and_orders<input::one, forget::exponential> == 8);
  static_assert(norms_and_orders<input::sigmoid, forget::constant> == 8);
  static_assert(norms_and_orders<input::one, forget::log_decay<per::key>> == 6);
  static_assert(norms_and_orders<input::one, forget::selective> == 4);
  static_assert(norms_and_orders<input::one, forget::log_decay<per::channel>> == 4);
  // One step size at two granularities.
  static_assert(norms_and_orders<input::softplus<per::head>, forget::selective> == 0);
  static_assert(norms_and_orders<input::softplus<per::channel>, forget::exponential> == 0);
}

TEST_CASE("forms run what they can") {
  constexpr auto recurrent_too = [](const auto& d) {
    using D = std::remove_cvref_t<decltype(d)>;
    return form::runs<form::automatic, D> && form::runs<form::recurrent, D> && form::runs<form::quadratic, D>;
  };
  static_assert(recurrent_too(linear_attention) && recurrent_too(mamba) && recurrent_too(mila) && recurrent_too(mlstm));
  static_assert(form::runs<form::chunked, decltype(gla)> && form::runs<form::chunked, decltype(mlstm)>);
  static_assert(!form::runs<form::chunked, decltype(mamba)> && !form::runs<form::chunked, decltype(mila)>);
  static_assert(form::runs<form::scan, decltype(mamba)> && !form::runs<form::scan, decltype(mlstm)>);
  static_assert(!form::runs<form::scan, decltype(mila)>);
  static_assert(form::runs<form::global, decltype(mila)> && !form::runs<form::global, decltype(gla)>);
}
