// SPDX-License-Identifier: Apache-2.0
/// @file  In the place of which_gpu.cpp where the build has no CUDA.
#include "which_gpu.hpp"

std::string ablation::why_no_gpu() { return "this build has no CUDA backend"; }
std::string ablation::gpu_name() { return "none"; }
