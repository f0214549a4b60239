// SPDX-License-Identifier: Apache-2.0
/// @file  The judge: the recurrence in float64, for every row.
#include "judge.hpp"

#include <cmath>  // NAN

#include <sextant/cpu/instantiate.hpp>
#include <sextant/reference/recurrent.hpp>
#include <sextant/sextant.hpp>

std::vector<double> ablation::judge(const variant& row, const mixer_tensors& tensors, index_t T) {
  std::vector<double> y;
  for_each_row([&](const variant& other, const auto& design) {
    if (&other != &row) return;
    using design_type = std::remove_cvref_t<decltype(design)>;
    mixer_call<design_type, sextant::fp64> call(row, tensors, T);
    if (T <= most_judged_by_reference) {
      sextant::reference::recurrent(design, call.x);
    } else {
      const sextant::cpu::parallel all;
      std::vector<std::byte> memory(sextant::workspace_bytes(design, sextant::form::recurrent{}, all, call.x));
      if (!sextant::forward(design, sextant::form::recurrent{}, sextant::cpu::parallel{memory}, call.x))
        call.y.assign(call.y.size(), NAN);
    }
    y = std::move(call.y);
  });
  return y;
}
