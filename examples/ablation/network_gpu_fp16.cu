// SPDX-License-Identifier: Apache-2.0
/// @file  The networks in fp16 on a GPU.
#include "network_on_gpu.cuh"

static const bool registered =
    ablation::precisions_on_gpu().emplace("fp16", &ablation::run_networks_of<sextant::float16>).second;
