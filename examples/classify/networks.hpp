// SPDX-License-Identifier: Apache-2.0
/// @file  The networks by name: scores of a picture, and what can be seen inside.
#pragma once

#include <cstddef>  // ptrdiff_t
#include <map>      // map
#include <span>     // span
#include <string>   // string
#include <vector>   // vector

namespace classify {

inline constexpr std::ptrdiff_t picture_side = 224;

/// What is asked of a network.
struct request {
  std::string model = "mila_t";
  std::string weights;  ///< a safetensors file; empty: weights as the papers' code begins, from a seed
  std::string backend = "cpu", precision = "fp32";
};

/// What it answers.
struct answer {
  std::vector<float> scores;
  std::ptrdiff_t height = 0, width = 0;  ///< of the last feature map
  std::vector<float> norms;  ///< of its tokens, [height, width]; empty where the network is not one that shows them
  std::vector<float> gates;  ///< the mean forget gate of every block; empty where there is none
  std::string error;         ///< one line; empty after success
};

/// The names of the networks.
std::vector<std::string> models();

/// Class scores of a normalised picture [224, 224, 3].
answer run(const request& what, std::span<const float> picture);

/// run() on a GPU by the names of the precisions. Each networks_gpu_*.cu of the build puts itself here before main() begins.
std::map<std::string, answer (*)(const request& what, std::span<const float> picture)>& precisions_on_gpu();

}  // namespace classify
