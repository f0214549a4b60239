// SPDX-License-Identifier: Apache-2.0
/// @file  The networks in bf16 on a GPU.
#include "networks_gpu.cuh"

static const bool registered =
    classify::precisions_on_gpu().emplace("bf16", &classify::run_on_gpu<sextant::bfloat16>).second;
