// SPDX-License-Identifier: Apache-2.0
/// @file  The rows in bf16.
#include "run_rows.hpp"

template ablation::results ablation::run<sextant::bf16>(const request&, std::span<const float>,
                                                        const std::function<void(const char*)>&);
