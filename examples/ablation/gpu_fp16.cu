// SPDX-License-Identifier: Apache-2.0
/// @file  The rows in fp16 on a GPU.
#include "on_gpu.cuh"

template ablation::results ablation::run_on_gpu<sextant::fp16>(const request&, std::span<const float>,
                                                             const std::function<void(const char*)>&);
