// SPDX-License-Identifier: Apache-2.0
/// @file  The models in fp32 on a GPU.
#include "model_gpu.cuh"

static const bool registered = generate::precisions_on_gpu().emplace("fp32", generate::makers_on_gpu<float>).second;
