// SPDX-License-Identifier: Apache-2.0
/// @file  The networks in fp32 on a GPU.
#include "networks_gpu.cuh"

static const bool registered = classify::precisions_on_gpu().emplace("fp32", &classify::run_on_gpu<float>).second;
