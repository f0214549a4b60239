// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba, Mamba-2 and Mamba-2S with each single switch the other way.
#include "calls_of.hpp"

namespace sextant::test {

const case_list& flipped_state_space_cases() {
  static const case_list list = [] {
    case_list all;
    const auto add = adding_to(all);
    each_state_space_model([&](const char* name, const auto& design) { each_flip_of(name, design, add); });
    return all;
  }();
  return list;
}

}  // namespace sextant::test
