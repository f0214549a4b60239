// SPDX-License-Identifier: Apache-2.0
/// @file  What the command line asks for, and the two levels that answer it.
#pragma once

#include <cstddef>   // ptrdiff_t
#include <optional>  // optional
#include <string>    // string
#include <vector>    // vector

#include "run.hpp"
#include "table.hpp"
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

/// Which rows --only asks for: those whose names contain it, whatever the case; * stands for anything.
struct chosen_rows {
  std::vector<bool> wanted;
  std::optional<answer> at_once{};  ///< of --list, or that there are none
};
chosen_rows choose(const options& asked, const std::vector<const char*>& names);

/// Where the rows run.
place place_of(const options& asked);

/// How a table begins: backend, machine and precision.
std::string heading(const options& asked);

/// The rows in the format that is asked for; a table says of what it is.
template <class Row>
answer show(const options& asked, std::vector<column<Row>> columns, const std::vector<Row>& rows,
            const std::string& subject) {
  if (asked.format == "json") return {as_json(columns, rows), {}};
  if (asked.format == "csv") return {as_csv(columns, rows), {}};
  columns.erase(columns.begin() + 1);  // the design's long name is for programs
  return {heading(asked) + subject + '\n' + as_table(columns, rows), {}};
}

/// The rows as token mixers on the tokens of a picture.
answer mixer_level(const options& asked);
/// The rows as whole networks on the picture.
answer network_level(const options& asked);

}  // namespace ablation
