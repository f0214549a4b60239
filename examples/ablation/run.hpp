// SPDX-License-Identifier: Apache-2.0
/// @file  Running the rows: time, error against float64, and what the table says of each.
#pragma once

#include <cstdint>     // int64_t
#include <functional>  // function
#include <span>        // span
#include <string>      // string
#include <vector>      // vector

#include "variants.hpp"

namespace ablation {

/// Where a row runs: on all cores, on one, on a GPU.
enum class place { cpu, cpu_serial, cuda };

/// What the command line asks for.
struct request {
  place where = place::cpu;
  std::string form = "automatic";
  int repeat = 20;
  std::vector<bool> wanted;  ///< of the rows
};

/// One row of the table.
struct result {
  std::string name, design, form;
  bool input_gate = false, forget_gate = false, shortcut = false, norm = false, multi_head = false, block = false;
  std::int64_t params = 0, macs = 0;
  double median_ms = 0, tokens_per_s = 0, error = 0, relative_time = 0;
  double gb_per_s = 0, tflop_per_s = 0, floor_fraction = 0;  ///< on a GPU; the last is 0 where its limits are not known
};

struct results {
  std::vector<result> rows;
  std::string error;  ///< one line; empty after success
};

/// Runs the wanted rows on the tokens, calling `say` before each. The baseline is always timed, as what the others'
/// times are relative to.
template <class Precision>
results run(const request& what, std::span<const float> tokens, const std::function<void(const char*)>& say);

}  // namespace ablation
