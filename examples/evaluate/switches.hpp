// SPDX-License-Identifier: Apache-2.0
/// @file  The switches: for each the shipped parts that it chooses from, as types, in the order of --help.
#pragma once

#include <string>   // string
#include <tuple>    // tuple, tuple_element, tuple_size
#include <utility>  // index_sequence
#include <vector>   // vector

#include <sextant/design/design.hpp>

namespace evaluate {

using sextant::index_t;
using sextant::per;

using inputs = std::tuple<sextant::input::one, sextant::input::softplus<per::head>,
                          sextant::input::softplus<per::channel>, sextant::input::sigmoid, sextant::input::exponential>;
using forgets =
    std::tuple<sextant::forget::one, sextant::forget::constant, sextant::forget::exponential,
               sextant::forget::log_decay<per::head>, sextant::forget::log_decay<per::key>,
               sextant::forget::log_sigmoid<per::key>, sextant::forget::softplus, sextant::forget::selective>;
using shortcuts = std::tuple<sextant::shortcut::none, sextant::shortcut::learned>;
using norms = std::tuple<sextant::norm::none, sextant::norm::sum, sextant::norm::sum_undecayed>;
using head_kinds = std::tuple<sextant::heads::single, sextant::heads::multi, sextant::heads::grouped>;
using maps = std::tuple<sextant::map::identity, sextant::map::elu_plus_one, sextant::map::relu, sextant::map::squared>;
using orders = std::tuple<sextant::order::causal, sextant::order::global, sextant::order::reversed>;

/// The position of every switch: an index into its tuple, or a number. Here as they stand when left out.
struct switches {
  int input = 0, forget = 0, shortcut = 0, norm = 0, heads = 1, map = 0, order = 0;
  double scale = 1, eps = 0;
};

template <class Parts> inline constexpr int size_of = int(std::tuple_size_v<Parts>);
template <class Parts, int I> using part_at = std::tuple_element_t<std::size_t(I), Parts>;

/// The parts' own names, which are the words of the command line.
template <class Parts> std::vector<std::string> names() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return std::vector<std::string>{std::tuple_element_t<I, Parts>::name...};
  }
  (std::make_index_sequence<std::tuple_size_v<Parts>>{});
}

/// Calls visit(part) for every part, or with the part of that index.
template <class Parts, class Visit> void for_each_part(Visit visit) {
  [&]<std::size_t... I>(std::index_sequence<I...>) { (visit(std::tuple_element_t<I, Parts>{}), ...); }
  (std::make_index_sequence<std::tuple_size_v<Parts>>{});
}
template <class Parts, class Visit> void with_part(int index, Visit visit) {
  int i = 0;
  for_each_part<Parts>([&](auto part) {
    if (i++ == index) visit(part);
  });
}

}  // namespace evaluate
