// SPDX-License-Identifier: Apache-2.0
/// @file  The presets that --design names.
#pragma once

#include <sextant/design/presets.hpp>

namespace evaluate {

/// Calls visit(design) for every preset; its name is sextant::name(design).
template <class Visit> void for_each_preset(Visit visit) {
  visit(sextant::linear_attention);
  visit(sextant::mamba);
  visit(sextant::mamba2);
  visit(sextant::mamba2s);
  visit(sextant::retnet);
  visit(sextant::gla);
  visit(sextant::mlstm);
  visit(sextant::mila);
  visit(sextant::two_mamba);
  visit(sextant::s4d);
}

}  // namespace evaluate
