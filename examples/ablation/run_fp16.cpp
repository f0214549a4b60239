// SPDX-License-Identifier: Apache-2.0
/// @file  The rows in fp16.
#include "on_cpu.hpp"

template ablation::results ablation::run<sextant::fp16>(const request&, std::span<const float>,
                                                        const std::function<void(const char*)>&);
