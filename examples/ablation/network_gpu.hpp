// SPDX-License-Identifier: Apache-2.0
/// @file  The networks on a GPU, in the precisions that the build has.
#pragma once

#include <map>  // map

#include "network_run.hpp"

namespace ablation {

/// run_networks() on a GPU. Times are those of the GPU between two events of a stream on which the call is replayed from a
/// graph.
using networks_on_gpu = network_results (*)(const network_request& what, std::span<const float> picture,
                                            const std::function<void(const char*)>& say);

/// By the names of the precisions. Each network_gpu_*.cu of the build puts itself here before main() begins.
std::map<std::string, networks_on_gpu>& precisions_on_gpu();

}  // namespace ablation
