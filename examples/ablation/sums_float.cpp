// SPDX-License-Identifier: Apache-2.0
/// @file  All that runs per token, for sums of type float: compiled once, with all optimisation, for every row.
#include <sextant/cpu/instantiate.hpp>

SEXTANT_CPU_INSTANTIATE(float)
