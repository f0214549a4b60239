// SPDX-License-Identifier: Apache-2.0
/// @file  The answer in float64 that every row is held against.
#pragma once

#include <vector>  // vector

#include "mixer.hpp"

namespace ablation {

/// Tokens up to which the reference itself judges; beyond, the recurrent form in float64 does (the tests hold the two
/// together), which is a hundred times faster.
inline constexpr index_t most_judged_by_reference = picture_tokens;

/// y of a row for T tokens, in float64; NaN where it cannot be had.
std::vector<double> judge(const variant& row, const mixer_tensors& tensors, index_t T);

}  // namespace ablation
