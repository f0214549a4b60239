// SPDX-License-Identifier: Apache-2.0
/// @file  The networks in bf16 on a GPU.
#include "network_on_gpu.cuh"

static const bool registered =
    ablation::precisions_on_gpu().emplace("bf16", &ablation::run_networks_of<sextant::bfloat16>).second;
