// SPDX-License-Identifier: Apache-2.0
/// @file  The models in fp16 on a GPU.
#include "model_gpu.cuh"

static const bool registered =
    generate::precisions_on_gpu().emplace("fp16", generate::makers_on_gpu<sextant::float16>).second;
