// SPDX-License-Identifier: Apache-2.0
/// @file  The product of the switches for one input gate and one precision: every design of it, as a type.
#pragma once

#include <utility>  // integer_sequence

#include <sextant/cpu/forward.hpp>
#include <sextant/forward.hpp>

#include "machine.hpp"
#include "run.hpp"

namespace evaluate {

/// One design of the product. heads::grouped allows what single and multi allow; whether those allow the numbers of
/// heads at hand has been asked of them before.
template <class Design, class Precision>
sextant::status run_design(const switches& chosen, const machine& on, call<Precision>& numbers) {
  Design design;
  design.scale.value = chosen.scale;
  if constexpr (requires { design.norm.eps; }) design.norm.eps = chosen.eps;
  return sextant::forward(design, sextant::form::automatic{}, on, tensors_of<Design>(numbers));
}

template <class Precision>
using design_function = sextant::status (*)(const switches&, const machine&, call<Precision>&);

/// The entry of a table with an index for each switch but the first, written as one number; null for parts that do not
/// fit.
inline constexpr int product_size =
    size_of<forgets> * size_of<shortcuts> * size_of<norms> * size_of<maps> * size_of<orders>;
constexpr int product_index(const switches& s) {
  return (((s.order * size_of<maps> + s.map) * size_of<norms> + s.norm) * size_of<shortcuts> + s.shortcut) *
             size_of<forgets> +
         s.forget;
}
template <class Input, class Precision, int I> consteval design_function<Precision> product_entry() {
  constexpr int at_shortcut = size_of<forgets>, at_norm = at_shortcut * size_of<shortcuts>,
                at_map = at_norm * size_of<norms>, at_order = at_map * size_of<maps>;
  using forget = part_at<forgets, I % at_shortcut>;
  using shortcut = part_at<shortcuts, I % at_norm / at_shortcut>;
  using norm = part_at<norms, I % at_map / at_norm>;
  using map = part_at<maps, I % at_order / at_map>;
  using order = part_at<orders, I / at_order>;
  if constexpr (sextant::fits<Input, forget, norm, order, map>)
    return &run_design<sextant::design<Input, forget, shortcut, norm, sextant::heads::grouped,
                                       sextant::block::transformer, map, sextant::position::none, order>,
                       Precision>;
  else return nullptr;
}

template <class Input, class Precision, int... I>
design_function<Precision> product_at(int index, std::integer_sequence<int, I...>) {
  static constexpr design_function<Precision> table[] = {product_entry<Input, Precision, I>()...};
  return table[index];
}

template <class Input, class Precision> sextant::status run_product(const options& asked, call<Precision>& numbers) {
  const auto run_it =
      product_at<Input, Precision>(product_index(asked.chosen), std::make_integer_sequence<int, product_size>{});
  if (run_it == nullptr) return {sextant::errc::unsupported, "these parts do not fit together"};
  return run_it(asked.chosen, {asked.where, asked.form == sextant::form::recurrent::name}, numbers);
}

}  // namespace evaluate
