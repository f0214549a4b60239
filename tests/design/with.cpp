// SPDX-License-Identifier: Apache-2.0
/// @file  with(): what it changes, what it leaves, and designs as constant values.
#include <cmath>        // log1p
#include <type_traits>  // is_same

#include <doctest/doctest.h>

#include "invented.hpp"

using namespace sextant;

namespace {

template <class A, class B> constexpr bool same_type(const A&, const B&) { return std::is_same_v<A, B>; }

/// Whether two designs differ in the parts of `Changed` alone.
template <part... Changed, class A, class B> constexpr bool differ_only_in(const A&, const B&) {
  constexpr auto may = [](part p) { return ((p == Changed) || ...); };
  constexpr bool same[] = {std::is_same_v<typename A::input_type, typename B::input_type>,
                           std::is_same_v<typename A::forget_type, typename B::forget_type>,
                           std::is_same_v<typename A::shortcut_type, typename B::shortcut_type>,
                           std::is_same_v<typename A::norm_type, typename B::norm_type>,
                           std::is_same_v<typename A::heads_type, typename B::heads_type>,
                           std::is_same_v<typename A::block_type, typename B::block_type>,
                           std::is_same_v<typename A::map_type, typename B::map_type>,
                           std::is_same_v<typename A::position_type, typename B::position_type>,
                           std::is_same_v<typename A::order_type, typename B::order_type>,
                           std::is_same_v<typename A::output_type, typename B::output_type>,
                           std::is_same_v<typename A::scale_type, typename B::scale_type>};
  static_assert(sizeof(same) == part_count);
  for (int i = 0; i < part_count; ++i)
    if (same[i] == may(part(i))) return false;
  return true;
}

}  // namespace

TEST_CASE("with() replaces the part that answers the same distinction, and no other") {
  static_assert(differ_only_in<part::input_gate>(gla, gla.with(input::sigmoid{})));
  static_assert(differ_only_in<part::forget_gate>(gla, gla.with(forget::one{})));
  static_assert(differ_only_in<part::shortcut>(gla, gla.with(shortcut::learned{})));
  static_assert(differ_only_in<part::norm>(gla, gla.with(norm::sum{})));
  static_assert(differ_only_in<part::heads>(gla, gla.with(heads::single{})));
  static_assert(differ_only_in<part::block>(gla, gla.with(block::mamba{})));
  static_assert(differ_only_in<part::feature_map>(gla, gla.with(map::relu{})));
  static_assert(differ_only_in<part::position>(gla, gla.with(position::rotary_1d{})));
  static_assert(differ_only_in<part::order>(gla, gla.with(order::reversed{})));
  static_assert(differ_only_in<part::output>(gla, gla.with(output::silu{})));
  static_assert(differ_only_in<part::scale>(gla, gla.with(scale::constant{})));
  static_assert(differ_only_in<>(gla, gla));
}

TEST_CASE("with() takes parts in any order, several at once or one after the other") {
  constexpr auto at_once = linear_attention.with(norm::none{}, input::sigmoid{}, map::relu{});
  constexpr auto other_order = linear_attention.with(map::relu{}, norm::none{}, input::sigmoid{});
  constexpr auto one_by_one = linear_attention.with(input::sigmoid{}).with(map::relu{}).with(norm::none{});
  static_assert(same_type(at_once, other_order));
  static_assert(same_type(at_once, one_by_one));
  static_assert(same_type(linear_attention.with(), linear_attention));
  static_assert(same_type(gla.with(forget::one{}).with(forget::log_sigmoid<per::key>{}), gla));
}

TEST_CASE("the numbers of parts travel with the design, through with() too") {
  static_assert(gla.forget_gate.temperature == 16);
  static_assert(gla.with(shortcut::learned{}).forget_gate.temperature == 16);
  static_assert(gla.with(forget::log_sigmoid<per::key>{}).forget_gate.temperature == 1);
  static_assert(linear_attention.with(norm::sum{.eps = 0.25}).with(map::relu{}).norm.eps == 0.25);
  static_assert(two_mamba.with(norm::none{}).feature_map.scale_keys);
  static_assert(linear_attention.with(scale::constant{3}).scale(64) == 3);
  static_assert(mila.norm.eps == 1e-6);
  CHECK(retnet.scale(16) == 0.25);
  CHECK(retnet.scale(0) == 1);  // no keys: nothing is scaled
}

TEST_CASE("a design is a small constant that can be copied anywhere") {
  constexpr auto d = mamba.with(output::silu{});
  static_assert(std::is_trivially_copyable_v<decltype(d)>);
  static_assert(std::is_default_constructible_v<std::remove_const_t<decltype(d)>>);
  static_assert(sizeof(mamba) <= 32, "eleven parts without numbers and a scale");
  auto copy = gla;
  copy.forget_gate.temperature = 8;  // a number may be chosen at run time
  CHECK(copy.forget_gate.temperature == 8);
  CHECK(gla.forget_gate.temperature == 16);
}

TEST_CASE("an invented part goes where a part of the library goes") {
  using namespace sextant::test::invented;
  constexpr auto d = gla.with(gaussian{.sharpness = 2}, soft_map{.sharpness = 3}, leaky_input{});
  static_assert(differ_only_in<part::input_gate, part::forget_gate, part::feature_map>(gla, d));
  static_assert(d.forget_gate.sharpness == 2 && d.feature_map.sharpness == 3);
  static_assert(granularity<decltype(d)::forget_type> == per::key);
}

TEST_CASE("the presets are what their papers say") {
  static_assert(same_type(linear_attention, design<>{}));
  static_assert(granularity<decltype(mamba)::forget_type> == per::key_channel);
  static_assert(granularity<decltype(mamba2)::forget_type> == per::head);
  static_assert(granularity<decltype(retnet)::forget_type> == per::head);
  static_assert(granularity<decltype(gla)::forget_type> == per::key);
  static_assert(granularity<decltype(mila)::forget_type> == per::nothing);
  static_assert(reads_step<decltype(mamba)::input_type> && reads_step<decltype(mamba)::forget_type>);
  static_assert(reads_own<decltype(mlstm)::input_type> && reads_own<decltype(mlstm)::forget_type>);
  static_assert(state_width<decltype(two_mamba)::map_type>(64) == 2080);
  CHECK(forget::constant::default_rate<double>(0) == doctest::Approx(std::log1p(-1.0 / 32)).epsilon(1e-15));
  CHECK(forget::constant::default_rate<double>(3) == doctest::Approx(std::log1p(-1.0 / 256)).epsilon(1e-15));
}
