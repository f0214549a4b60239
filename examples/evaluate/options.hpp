// SPDX-License-Identifier: Apache-2.0
/// @file  The command line.
#pragma once

#include <optional>  // optional
#include <string>    // string

#include <sextant/tensor/sequence.hpp>

#include "switches.hpp"

namespace evaluate {

/// Where a call runs: on all cores, on one, on a GPU.
enum class place { cpu, cpu_serial, cuda };

/// What the command line asks for.
struct options {
  std::string in, out;  ///< folders
  std::string design;   ///< a preset's name; empty: the switches
  switches chosen;
  std::string form = "automatic";
  std::string precision;  ///< empty: q.npy's
  place where = place::cpu;
  std::optional<sextant::image_grid> grid;
};

/// Reads the command line. Answers nothing where --help was asked for and has been printed. Throws a refusal.
std::optional<options> parse(int argc, char** argv);

}  // namespace evaluate
