// SPDX-License-Identifier: Apache-2.0
/// @file  What is to be evaluated, as far as it can be said without types: its tensors, its rules, its texts.
#pragma once

#include <string>  // string
#include <vector>  // vector

#include <sextant/design/describe.hpp>

#include "options.hpp"

namespace evaluate {

/// A design with its types forgotten. The tensors are those that `describe` names.
struct subject {
  std::string name;
  std::vector<sextant::tensor_description> tensors;
  std::vector<std::string> forms;  ///< without `automatic`, which every design has
  std::string heads;               ///< the part's name
  const char* requirement = "";    ///< what the part asks of the numbers of heads, and whether they are so
  bool (*allows)(index_t key_heads, index_t heads) = nullptr;
  index_t (*width)(index_t keys) = nullptr;  ///< keys of the state
  bool sums_all_tokens = false;              ///< order::global
  bool has_queries = true;                   ///< and keys
};

/// What the options ask for. Throws a refusal where the parts do not fit, the form does not run the design, or a grid is
/// missing or not wanted.
subject subject_of(const options& asked);

/// The two halves of subject_of.
subject subject_of_preset(const std::string& design);
subject subject_of_switches(const switches& chosen);

/// The names of the presets.
std::vector<std::string> preset_names();

/// Every preset's tensors and forms, and what every position of the switches reads: the end of --help.
std::string tensor_help();

/// The name of the file that holds a tensor, "dt.npy"; empty for what no file holds.
std::string file_of(const sextant::tensor_description& tensor);
/// The shape of that file: the tensor's, but for the depthwise convolution, whose channels are the heads' together.
std::string file_shape(const sextant::tensor_description& tensor);

}  // namespace evaluate
