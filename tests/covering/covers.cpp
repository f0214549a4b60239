// SPDX-License-Identifier: Apache-2.0
/// @file  The covering array covers: no possible triple of parts, forms and precisions is missing from its rows.
#include "covering/rows.hpp"

#include <algorithm>  // count
#include <utility>    // integer_sequence
#include <vector>     // vector

#include <doctest/doctest.h>

using namespace sextant;
using namespace sextant::test;

namespace {

constexpr int axes = 9;
constexpr int sizes[axes] = {input_axis::size, forget_axis::size, shortcut_axis::size, norm_axis::size, heads_axis::size,
                             map_axis::size, order_axis::size, form_axis::size, precision_axis::size};
constexpr const char* axis_names[axes] = {"input", "forget", "shortcut", "norm", "heads", "map", "order", "form", "precision"};
enum axis_number { input_number, forget_number, shortcut_number, norm_number, heads_number, map_number, order_number, form_number };

// Which (input, forget, norm, order, form) the library allows, by its own rules; any value of the other axes fits.
constexpr int bound_axes[] = {input_number, forget_number, norm_number, order_number, form_number};
constexpr int bound_count = input_axis::size * forget_axis::size * norm_axis::size * order_axis::size * form_axis::size;

template <int Index> constexpr bool allowed() {
  constexpr int form = Index % form_axis::size, design = Index / form_axis::size;
  constexpr int order = design % order_axis::size, gates_and_norm = design / order_axis::size;
  constexpr int norm = gates_and_norm % norm_axis::size, gates = gates_and_norm / norm_axis::size;
  constexpr int forget = gates % forget_axis::size, input = gates / forget_axis::size;
  if constexpr (product_fits<input, forget, norm, order>)
    return form::runs<part_of<form, form_axis>, product_design<input, forget, 0, norm, 0, 0, order>>;
  else return false;
}
template <int... Index> std::vector<bool> all_allowed(std::integer_sequence<int, Index...>) { return {allowed<Index>()...}; }

// A choice of values for three axes.
struct triple {
  int axis[3], value[3];
};
bool possible(const std::vector<bool>& allowed, const triple& t) {
  for (int i = 0; i < bound_count; ++i) {
    if (!allowed[std::size_t(i)]) continue;
    bool agrees = true;
    for (int a = 4, rest = i; a >= 0; rest /= sizes[bound_axes[a]], --a)
      for (int j = 0; j < 3; ++j)
        agrees &= t.axis[j] != bound_axes[a] || t.value[j] == rest % sizes[bound_axes[a]];
    if (agrees) return true;
  }
  return false;
}
bool met(const triple& t) {
  for (const row& r : rows) {
    const int values[axes] = {r.input, r.forget, r.shortcut, r.norm, r.heads, r.map, r.order, r.form, r.precision};
    if (values[t.axis[0]] == t.value[0] && values[t.axis[1]] == t.value[1] && values[t.axis[2]] == t.value[2]) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("every possible triple of parts, forms and precisions is met by a row") {
  const auto allowed = all_allowed(std::make_integer_sequence<int, bound_count>{});
  int possible_triples = 0, impossible_triples = 0;
  triple t{};
  for (t.axis[0] = 0; t.axis[0] < axes; ++t.axis[0])
    for (t.axis[1] = t.axis[0] + 1; t.axis[1] < axes; ++t.axis[1])
      for (t.axis[2] = t.axis[1] + 1; t.axis[2] < axes; ++t.axis[2])
        for (t.value[0] = 0; t.value[0] < sizes[t.axis[0]]; ++t.value[0])
          for (t.value[1] = 0; t.value[1] < sizes[t.axis[1]]; ++t.value[1])
            for (t.value[2] = 0; t.value[2] < sizes[t.axis[2]]; ++t.value[2]) {
              if (!possible(allowed, t)) {
                ++impossible_triples;
                continue;
              }
              ++possible_triples;
              INFO(axis_names[t.axis[0]], " ", t.value[0], ", ", axis_names[t.axis[1]], " ", t.value[1], ", ",
                   axis_names[t.axis[2]], " ", t.value[2]);
              CHECK(met(t));
            }
  MESSAGE(possible_triples, " possible triples in ", std::size(rows), " rows; ", impossible_triples, " have no meaning");
  CHECK(possible_triples > 4000);
  CHECK(impossible_triples > 0);
}
