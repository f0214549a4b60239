// SPDX-License-Identifier: Apache-2.0
/// @file  The rows in bf16 on a GPU.
#include "on_gpu.cuh"

template std::string ablation::measure_on_gpu<sextant::bf16>(const variant&, const void*, const std::string&, int,
                                                             result&);
