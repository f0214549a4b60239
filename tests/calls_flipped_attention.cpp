// SPDX-License-Identifier: Apache-2.0
/// @file  Linear attention, MILA and 2Mamba with each single switch the other way.
#include "calls_of.hpp"

namespace sextant::test {

const case_list& flipped_attention_cases() {
  static const case_list list = [] {
    case_list all;
    const auto add = adding_to(all);
    each_attention([&](const char* name, const auto& design) { each_flip_of(name, design, add); });
    return all;
  }();
  return list;
}

}  // namespace sextant::test
