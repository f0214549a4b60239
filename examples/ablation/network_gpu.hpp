// SPDX-License-Identifier: Apache-2.0
/// @file  The networks on a GPU, where the build has them; no_network_gpu.cpp answers where it has not.
#pragma once

#include "network_run.hpp"

namespace ablation {

/// Why no network can run in this precision on a GPU, in a sentence; empty where it can.
std::string why_no_network_on_gpu(const std::string& precision);

/// run_networks() on the GPU in bf16. Times are those of the GPU between two events of a stream on which the call is
/// replayed from a graph.
network_results run_networks_on_gpu(const network_request& what, std::span<const float> picture,
                                    const std::function<void(const char*)>& say);

}  // namespace ablation
