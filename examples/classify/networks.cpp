// SPDX-License-Identifier: Apache-2.0
/// @file  The networks, each compiled once for the CPU, and which backend runs them.
#include "networks.hpp"

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/sextant.hpp>

#include "../ablation/cpu_machine.hpp"
#include "../ablation/which_gpu.hpp"
#include "networks_run.hpp"

std::vector<std::string> classify::models() {
  std::vector<std::string> names;
  each_model([&](const char* name, const auto&) { names.push_back(name); });
  return names;
}

std::map<std::string, classify::answer (*)(const classify::request&, std::span<const float>)>&
classify::precisions_on_gpu() {
  static std::map<std::string, answer (*)(const request&, std::span<const float>)> all;
  return all;
}

classify::answer classify::run(const request& what, std::span<const float> picture) {
  answer refused;
  if (what.backend == "cuda") {
    refused.error = ablation::why_no_network_in(what.precision, precisions_on_gpu());
    if (refused.error.empty()) return precisions_on_gpu().at(what.precision)(what, picture);
    refused.error = "backend cuda: " + refused.error;
  } else if (what.precision != "fp32") {
    refused.error = "on a CPU networks run in fp32; --backend cuda runs " + what.precision;
  } else {
    return run_on<float>(ablation::cpu_machine(what.backend == "cpu_serial" ? 1 : 0), what, picture);
  }
  return refused;
}
