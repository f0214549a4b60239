// SPDX-License-Identifier: Apache-2.0
/// @file  Some rows of the covering array, each by the verb forward() against the reference in float64.
#pragma once

#include <utility>  // integer_sequence

#include <doctest/doctest.h>

#include "cases.hpp"
#include "covering/rows.hpp"

namespace sextant::test {

inline constexpr int row_count = int(std::size(rows));

// What the numbers of a row stand for.
template <int Index>
using design_of = product_design<rows[Index].input, rows[Index].forget, rows[Index].shortcut, rows[Index].norm,
                                 rows[Index].heads, rows[Index].map, rows[Index].order>;
template <int Index> using form_in = part_of<rows[Index].form, form_axis>;
template <int Index> using precision_in = part_of<rows[Index].precision, precision_axis>;

inline void check_row(const row& r, index_t T, const char* form, const char* precision, const status& done,
                      const errors& e, double bound) {
  INFO(part_name(r.input, input_axis{}), " x ", part_name(r.forget, forget_axis{}), " x ",
       part_name(r.shortcut, shortcut_axis{}), " x ", part_name(r.norm, norm_axis{}), " x ",
       part_name(r.heads, heads_axis{}), " x ", part_name(r.map, map_axis{}), " x ", part_name(r.order, order_axis{}),
       ", ", std::string(form), ", ", std::string(precision), ", T = ", T);
  CHECK_MESSAGE(bool(done), done.what);
  CHECK(e.y <= bound);
  CHECK(e.S <= bound);
  CHECK(e.z <= bound);
  CHECK(e.m <= bound);
}

/// The everyday shape, and more tokens than a chunk with a state before them; on both backends in turn.
template <int Index> void hold_row() {
  using Design = design_of<Index>;
  using Form = form_in<Index>;
  using Precision = precision_in<Index>;
  using On = std::conditional_t<Index % 2 == 0, cpu::serial, cpu::parallel>;
  for (index_t T : {36, 144}) {
    shape s = everyday_shape<Design>();
    wishes w = everyday_wishes<Design>();
    s.T = T;
    w.initial_state = T > 36;
    const errors e = error_of<Precision>(Design{}, s, w, Form{}, On{});
    check_row(rows[Index], T, Form::name, precision_name<Precision>, {}, e, tolerance<Precision>);
  }
}
template <int First, int... Index> void hold_rows(std::integer_sequence<int, Index...>) {
  (hold_row<First + Index>(), ...);
}
/// The rows of shard `Shard` of `shards`.
template <int Shard, int Shards> void hold_rows_of_shard() {
  constexpr int first = row_count * Shard / Shards, last = row_count * (Shard + 1) / Shards;
  hold_rows<first>(std::make_integer_sequence<int, last - first>{});
}

}  // namespace sextant::test
