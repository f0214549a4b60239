// SPDX-License-Identifier: Apache-2.0
/// @file  The tests of simd.cpp where there are no vectors: one number at a time.
#define SEXTANT_CPU_SCALAR
#include "simd.cpp"
