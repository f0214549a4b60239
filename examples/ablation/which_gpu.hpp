// SPDX-License-Identifier: Apache-2.0
/// @file  Which GPU there is, and what the build has for it.
#pragma once

#include <string>  // string

namespace ablation {

/// Why nothing can run on a GPU, in a sentence; empty where it can.
std::string why_no_gpu();
/// Which GPU it is, and how many multiprocessors it has.
std::string gpu_name();

/// Why networks can't run on a GPU in a precision; empty where they can. `built` has the precisions that the build runs them
/// in, by their names.
template <class Built> std::string why_no_network_in(const std::string& precision, const Built& built) {
  if (!built.empty() && !built.contains(precision)) {
    std::string names;
    for (const auto& one : built) names += (names.empty() ? "" : ", ") + one.first;
    return "this build runs networks there in " + names + ", not in " + precision +
           ": CMake's SEXTANT_CUDA_NETWORKS lists the precisions";
  }
  if (const std::string why = why_no_gpu(); !why.empty()) return why;
  return built.empty() ? "this build runs no networks there; use cpu or cpu_serial" : "";
}

}  // namespace ablation
