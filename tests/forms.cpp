// SPDX-License-Identifier: Apache-2.0
/// @file  The forms of the CPU, compiled once for all tests that link sextant_forms.
#include "forms.hpp"

namespace sextant::cpu::inline SEXTANT_CPU_ISA {
SEXTANT_TEST_FORMS()
}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
