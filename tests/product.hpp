// SPDX-License-Identifier: Apache-2.0
/// @file  The product space: the parts of every axis, in order, and the designs they make where they fit together.
#pragma once

#include <string>  // string

#include <sextant/design/presets.hpp>

namespace sextant::test {

/// Some parts that answer one distinction.
template <class... Parts> struct axis_of {
  static constexpr int size = int(sizeof...(Parts));
};
template <int Index, class Axis> struct part_at;
template <int Index, class First, class... Rest>
struct part_at<Index, axis_of<First, Rest...>> : part_at<Index - 1, axis_of<Rest...>> {};
template <class First, class... Rest> struct part_at<0, axis_of<First, Rest...>> {
  using type = First;
};
template <int Index, class Axis> using part_of = typename part_at<Index, Axis>::type;

/// The name of a part, for a message.
template <class... Parts> std::string part_name(int index, axis_of<Parts...>) {
  constexpr const char* names[] = {Parts::name...};
  return names[index];
}

using input_axis = axis_of<input::one, input::softplus<per::head>, input::softplus<per::channel>, input::sigmoid,
                           input::exponential>;
using forget_axis = axis_of<forget::one, forget::constant, forget::exponential, forget::log_decay<per::head>,
                            forget::log_decay<per::key>, forget::log_sigmoid<per::key>, forget::selective, forget::softplus>;
using shortcut_axis = axis_of<shortcut::none, shortcut::learned, shortcut::local>;
using norm_axis = axis_of<norm::none, norm::sum, norm::sum_undecayed, norm::mean, norm::abs_max>;
using heads_axis = axis_of<heads::single, heads::multi, heads::grouped>;
using map_axis = axis_of<map::identity, map::elu_plus_one, map::relu, map::squared>;
using order_axis = axis_of<order::causal, order::global, order::reversed>;

/// Whether the parts of these numbers make a design; shortcut, heads and map fit every one.
template <int Input, int Forget, int Norm, int Order>
inline constexpr bool product_fits = fits<part_of<Input, input_axis>, part_of<Forget, forget_axis>,
                                          part_of<Norm, norm_axis>, part_of<Order, order_axis>>;

/// The design of these parts.
template <int Input, int Forget, int Shortcut, int Norm, int Heads, int Map, int Order>
using product_design =
    design<part_of<Input, input_axis>, part_of<Forget, forget_axis>, part_of<Shortcut, shortcut_axis>,
           part_of<Norm, norm_axis>, part_of<Heads, heads_axis>, block::transformer, part_of<Map, map_axis>,
           position::none, part_of<Order, order_axis>>;

}  // namespace sextant::test
