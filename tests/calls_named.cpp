// SPDX-License-Identifier: Apache-2.0
/// @file  The named designs of the table.
#include "calls_of.hpp"

namespace sextant::test {

const case_list& named_cases() {
  static const case_list list = [] {
    case_list all;
    each_named(adding_to(all));
    return all;
  }();
  return list;
}

}  // namespace sextant::test
