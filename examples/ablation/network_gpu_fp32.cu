// SPDX-License-Identifier: Apache-2.0
/// @file  The networks in fp32 on a GPU.
#include "network_on_gpu.cuh"

static const bool registered = ablation::precisions_on_gpu().emplace("fp32", &ablation::run_networks_of<float>).second;
