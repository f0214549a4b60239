// SPDX-License-Identifier: Apache-2.0
/// @file  The rows in fp64 on a GPU.
#include "on_gpu.cuh"

template ablation::results ablation::run_on_gpu<sextant::fp64>(const request&, std::span<const float>,
                                                             const std::function<void(const char*)>&);
