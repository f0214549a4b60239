// SPDX-License-Identifier: Apache-2.0
/// @file  Running the networks: scores, error against float64, time, and what the table says of each.
#pragma once

#include <cstdint>     // int64_t
#include <functional>  // function
#include <span>        // span
#include <string>      // string
#include <vector>      // vector

#include "networks.hpp"
#include "run.hpp"

namespace ablation {

inline constexpr std::uint64_t network_seed = 2024;  ///< of the weights

/// What the command line asks for.
struct network_request {
  place where = place::cpu;
  int repeat = 7;
  std::ptrdiff_t batch = 1;
  std::vector<bool> wanted;  ///< of the rows
};

/// One row of the table.
struct network_result {
  const network_row* row = nullptr;
  std::string design;
  std::int64_t params = 0, macs = 0;  ///< multiply-accumulates with 5 for each number of a norm, as fvcore counts
  double median_ms = 0, images_per_s = 0, relative_speed = 0, workspace_mb = 0;
  std::vector<double> scores;  ///< of the picture
  double error = 0;
};

struct network_results {
  std::vector<network_result> rows;
  std::string error;  ///< one line; empty after success
};

/// Runs the wanted rows on a batch of copies of the picture [224, 224, 3], calling `say` before each. The baseline is
/// always timed, as what the others' speeds are relative to. Weights begin as the papers' code begins; the errors are left
/// to the caller. A repeat of 0 computes the scores of one picture alone.
template <class Precision>
network_results run_networks(const network_request& what, std::span<const float> picture,
                             const std::function<void(const char*)>& say);

}  // namespace ablation
