// SPDX-License-Identifier: Apache-2.0
/// @file  The rows in bf16 on a GPU.
#include "on_gpu.cuh"

template ablation::results ablation::run_on_gpu<sextant::bf16>(const request&, std::span<const float>,
                                                             const std::function<void(const char*)>&);
