// SPDX-License-Identifier: Apache-2.0
/// @file  The models in bf16 on a GPU.
#include "model_gpu.cuh"

static const bool registered =
    generate::precisions_on_gpu().emplace("bf16", generate::makers_on_gpu<sextant::bfloat16>).second;
