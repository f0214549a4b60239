// SPDX-License-Identifier: Apache-2.0
/// @file  Where the build runs no networks on a GPU.
#include "network_gpu.hpp"

namespace ablation {

std::string why_no_network_on_gpu(const std::string&) {
  return "this build runs no networks there; use cpu or cpu_serial, or --level mixer";
}

network_results run_networks_on_gpu(const network_request&, std::span<const float>,
                                    const std::function<void(const char*)>&) {
  return {{}, why_no_network_on_gpu("")};
}

}  // namespace ablation
