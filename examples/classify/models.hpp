// SPDX-License-Identifier: Apache-2.0
/// @file  The networks by name.
#pragma once

#include <sextant/models/vim.hpp>
#include <sextant/models/vision.hpp>
#include <sextant/models/vmamba.hpp>

namespace classify {

/// visit(name, network) for every network.
template <class Visit> void each_model(const Visit& visit) {
  using namespace sextant;
  constexpr auto swin = models::linear_swin_t;
  visit("mila_t", models::mila_t);
  visit("mila_s", models::mila_s);
  visit("mila_b", models::mila_b);
  visit("linear_swin_t", swin);
  visit("forget_gate", swin.with(forget::selective{}, order::causal{}, norm::sum_undecayed{}));
  visit("vim_t", models::vim_t);
  visit("vim_s", models::vim_s);
  visit("vmamba_t", models::vmamba_t);
}

}  // namespace classify
