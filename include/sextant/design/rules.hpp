// SPDX-License-Identifier: Apache-2.0
/// @file  Which parts fit together, each rule with the sentence that a design breaking it is refused with.
#pragma once

#include <type_traits>  // is_same

#include <sextant/design/block.hpp>
#include <sextant/design/feature_map.hpp>
#include <sextant/design/forget_gate.hpp>
#include <sextant/design/gate.hpp>
#include <sextant/design/heads.hpp>
#include <sextant/design/input_gate.hpp>
#include <sextant/design/norm.hpp>
#include <sextant/design/order.hpp>
#include <sextant/design/position.hpp>
#include <sextant/design/shortcut.hpp>

namespace sextant {

namespace detail {
template <class Part, class... Which> inline constexpr bool is_any = (std::is_same_v<Part, Which> || ...);

template <class Norm> inline constexpr bool normalises = !std::is_same_v<Norm, norm::none>;
/// What a norm adds to its divisor; 0 where there is none.
template <class Norm> constexpr double eps_of([[maybe_unused]] const Norm& norm) {
  if constexpr (normalises<Norm>) return norm.eps;
  else return 0;
}
/// z decays with the forget gate.
template <class Norm> inline constexpr bool normaliser_decays = is_any<Norm, norm::sum, norm::mean, norm::abs_max>;
}  // namespace detail

/// The rules that parts keep among themselves. All of them hold for a design that means something.
template <class Input, class Forget, class Norm, class Order, class Map> struct rules {
  static constexpr per input = granularity<Input>, forget = granularity<Forget>;

  static constexpr bool input_multiplies_v = input != per::key && input != per::key_channel;
  static constexpr bool input_has_no_rate = rate_granularity<Input> == per::nothing;
  static constexpr bool step_has_one_shape =
      !(reads_step<Input> && reads_step<Forget>) || raw_granularity<Input> == raw_granularity<Forget>;
  static constexpr bool step_is_per_head_or_channel =
      (!reads_step<Input> || detail::raw_of<Input>() == per::head || detail::raw_of<Input>() == per::channel) &&
      (!reads_step<Forget> || detail::raw_of<Forget>() == per::head || detail::raw_of<Forget>() == per::channel);
  static constexpr bool global_forgets_nothing =
      !std::is_same_v<Order, order::global> || std::is_same_v<Forget, forget::one>;
  static constexpr bool mean_is_global = !std::is_same_v<Norm, norm::mean> || std::is_same_v<Order, order::global>;
  static constexpr bool normaliser_is_a_vector =
      !detail::normaliser_decays<Norm> || (forget != per::channel && forget != per::key_channel);
  static constexpr bool stabiliser_is_a_number =
      !std::is_same_v<Norm, norm::abs_max> ||
      ((input == per::nothing || input == per::head) && (forget == per::nothing || forget == per::head));
  static constexpr bool invariant_has_no_keys =
      !time_invariant<Forget> || (!detail::normalises<Norm> && std::is_same_v<Map, map::identity>);

  static constexpr bool all = input_multiplies_v && input_has_no_rate && step_has_one_shape &&
                              step_is_per_head_or_channel && global_forgets_nothing && mean_is_global &&
                              normaliser_is_a_vector && stabiliser_is_a_number && invariant_has_no_keys;
};

/// Whether these parts make a design that means something; the others (shortcut, heads, block, position, output, scale)
/// fit every design, but that nothing is turned by a position in a time-invariant state space.
template <class Input, class Forget, class Norm = norm::none, class Order = order::causal, class Map = map::identity>
inline constexpr bool fits = rules<Input, Forget, Norm, Order, Map>::all;

}  // namespace sextant
