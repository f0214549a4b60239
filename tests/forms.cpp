// SPDX-License-Identifier: Apache-2.0
/// @file  The forms of the CPU, compiled once for all tests that link sextant_forms.
#include <sextant/cpu/instantiate.hpp>

SEXTANT_CPU_INSTANTIATE(float)
SEXTANT_CPU_INSTANTIATE(double)
