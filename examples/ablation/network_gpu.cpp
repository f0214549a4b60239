// SPDX-License-Identifier: Apache-2.0
#include "network_gpu.hpp"

std::map<std::string, ablation::networks_on_gpu>& ablation::precisions_on_gpu() {
  static std::map<std::string, networks_on_gpu> all;
  return all;
}
