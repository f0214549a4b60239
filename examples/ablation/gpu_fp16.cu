// SPDX-License-Identifier: Apache-2.0
/// @file  The rows in fp16 on a GPU.
#include "on_gpu.cuh"

template std::string ablation::measure_on_gpu<sextant::fp16>(const variant&, const void*, const std::string&, int,
                                                             result&);
