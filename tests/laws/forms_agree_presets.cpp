// SPDX-License-Identifier: Apache-2.0
/// @file  All forms agree: the designs of the literature.
#include "laws/forms_agree.hpp"

using namespace sextant::test;

TEST_CASE("all forms of the literature's designs agree, in every precision, on every backend") {
  each_preset([](const char* name, const auto& design) { check_forms_in_every_precision(name, design); });
}
