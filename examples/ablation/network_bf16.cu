// SPDX-License-Identifier: Apache-2.0
/// @file  The networks in bf16 on a GPU.
#include "gpu.hpp"
#include "network_on_gpu.cuh"

std::string ablation::why_no_network_on_gpu(const std::string& precision) {
  if (precision != "bf16") return "networks run in bf16 there: --precision bf16; --level mixer runs " + precision;
  return why_no_gpu();
}

ablation::network_results ablation::run_networks_on_gpu(const network_request& what, std::span<const float> picture,
                                                        const std::function<void(const char*)>& say) {
  return run_networks_of<sextant::bfloat16>(what, picture, say);
}
