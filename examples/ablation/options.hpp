// SPDX-License-Identifier: Apache-2.0
/// @file  What the command line asks for, and the two levels that answer it.
#pragma once

#include <cstddef>  // ptrdiff_t
#include <string>   // string

#include "tokens.hpp"

namespace ablation {

struct options {
  std::string level = "network", picture, backend = "cpu", precision = "fp32", form = "automatic", only,
              format = "table";
  std::ptrdiff_t tokens = picture_tokens, batch = 0;  ///< a batch of 0: 1 on a CPU, 128 on a GPU
  int repeat = 0;                                     ///< 0: 20 of a mixer, 7 of a network
  bool list = false;

  bool on_gpu() const { return backend == "cuda"; }
};

/// What a level answers: text for standard output, or why there is none, in a line.
struct answer {
  std::string text, error;
};

/// Whether a row's name contains the pattern, whatever the case; * stands for anything.
bool selects(const std::string& pattern, const char* name);

/// The rows as token mixers on the tokens of a picture.
answer mixer_level(const options& asked);
/// The rows as whole networks on the picture.
answer network_level(const options& asked);

}  // namespace ablation
