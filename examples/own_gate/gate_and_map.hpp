// SPDX-License-Identifier: Apache-2.0
/// @file  A user's own parts: a forget gate with a floor, and a feature map. No registration, no macro but SEXTANT_FN.
#pragma once

#include <sextant/design/design.hpp>

namespace mine {

/// F = max(sigmoid(forget), floor) per head: what is older than a while never quite goes.
struct floored_sigmoid {
  static constexpr auto answers = sextant::part::forget_gate;
  static constexpr auto raw = sextant::per::head;  // its raw tensor is forget [B, T, H]
  static constexpr bool vectorised = true;         // written with sextant::math alone: also callable with vectors of lanes
  float floor = 0.1f;                              // a number that travels with the design
  template <class Real> SEXTANT_FN Real operator()(Real x) const {
    return sextant::math::max(sextant::math::sigmoid(x), Real(floor));
  }
};

/// phi(x) = max(x, 0)^2.
struct squared_relu {
  static constexpr auto answers = sextant::part::feature_map;
  template <class Real> SEXTANT_FN Real operator()(Real x) const { return x > Real(0) ? x * x : Real(0); }
};

}  // namespace mine
