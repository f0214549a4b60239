// SPDX-License-Identifier: Apache-2.0
/// @file  Some rows of the covering array by the GPU's generic forms, against the reference in float64.
#pragma once

#include <utility>  // integer_sequence

#include <doctest/doctest.h>

#include "covering/rows.hpp"
#include "cuda/generic.hpp"

namespace sextant::test {

/// Row number `Index`, in its precision: the everyday shape by the recurrence, and more tokens than a tile of the scan, with
/// a state before them, by both.
template <int Index> void hold_row_on_gpu() {
  constexpr row r = rows[Index];
  using Design = product_design<r.input, r.forget, r.shortcut, r.norm, r.heads, r.map, r.order>;
  using Precision = part_of<r.precision, precision_axis>;
  for (const index_t T : {36, 144})
    for (const bool by_scan : {false, true}) {
      if (by_scan && (!form::runs<form::scan, Design> || T == 36)) continue;
      shape s = everyday_shape<Design>();
      wishes w = everyday_wishes<Design>();
      s.T = T;
      w.initial_state = T > 36;
      using through = storage_of<Precision>;
      auto judge = make_problem<fp64, through>(Design{}, s, w);
      reference::recurrent(judge.design, judge.x);
      auto answer = make_problem<Precision, through>(Design{}, s, w);
      const status done = answer_generic(answer, by_scan);
      INFO(std::string(Design::input_type::name), " x ", std::string(Design::forget_type::name), " x ",
           std::string(Design::shortcut_type::name), " x ", std::string(Design::norm_type::name), " x ",
           std::string(Design::heads_type::name), " x ", std::string(Design::map_type::name), " x ",
           std::string(Design::order_type::name), ", ", std::string(by_scan ? "scan" : "recurrent"), ", ",
           std::string(precision_name<Precision>), ", T = ", T);
      CHECK_MESSAGE(bool(done), done.what);
      const errors e = compare(answer, judge);
      CHECK(e.y <= generic_tolerance<Precision>);
      CHECK(e.S <= generic_tolerance<Precision>);
      CHECK(e.z <= generic_tolerance<Precision>);
      CHECK(e.m <= generic_tolerance<Precision>);
    }
}
template <int First, int... Index> void hold_rows_on_gpu(std::integer_sequence<int, Index...>) {
  (hold_row_on_gpu<First + Index>(), ...);
}
/// The rows of shard `Shard` of `Shards`.
template <int Shard, int Shards> void hold_rows_of_shard_on_gpu() {
  constexpr int count = int(std::size(rows)), first = count * Shard / Shards, last = count * (Shard + 1) / Shards;
  hold_rows_on_gpu<first>(std::make_integer_sequence<int, last - first>{});
}

}  // namespace sextant::test
