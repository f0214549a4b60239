// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba, Mamba-2, Mamba-2S and S4D with each single switch the other way.
#include "calls_of.hpp"

namespace sextant::test {

const case_list& flipped_state_space_cases() {
  static const case_list list = [] {
    case_list all;
    const auto add = adding_to(all);
    each_state_space_model([&](const char* name, const auto& design) { each_flip_of(name, design, add); });
    each_flip_of("s4d", s4d, add);
    return all;
  }();
  return list;
}

}  // namespace sextant::test
