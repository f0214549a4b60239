// SPDX-License-Identifier: Apache-2.0
/// @file  The level of the mixer: the six switches between linear attention and Mamba on the tokens of a picture.
#include <sextant/tensor/precision.hpp>

#include "options.hpp"
#include "progress.hpp"
#include "run.hpp"
#include "table.hpp"
#include "which_gpu.hpp"

namespace {

using ablation::kind;
using ablation::result;

std::vector<ablation::column<result>> columns() {
  return {
      {"name", "mixer", kind::text, 0, [](const result& r) { return r.name; }},
      {"design", "", kind::text, 0, [](const result& r) { return r.design; }},
      {"input_gate", "input", kind::tick, 0, [](const result& r) { return r.input_gate; }},
      {"forget_gate", "forget", kind::tick, 0, [](const result& r) { return r.forget_gate; }},
      {"shortcut", "shortcut", kind::tick, 0, [](const result& r) { return r.shortcut; }},
      {"norm", "norm", kind::tick, 0, [](const result& r) { return r.norm; }},
      {"multi_head", "heads", kind::tick, 0, [](const result& r) { return r.multi_head; }},
      {"block", "block", kind::tick, 0, [](const result& r) { return r.block; }},
      {"params", "params", kind::integer, 0, [](const result& r) { return r.params; }},
      {"macs", "MACs", kind::integer, 0, [](const result& r) { return r.macs; }},
      {"form", "form", kind::text, 0, [](const result& r) { return r.form; }},
      {"median_ms", "median ms", kind::fixed, 3, [](const result& r) { return r.median_ms; }},
      {"tokens_per_s", "tokens/s", kind::integer, 0,
       [](const result& r) -> ablation::cell { return std::int64_t(r.tokens_per_s); }},
      {"error", "error", kind::scientific, 1, [](const result& r) { return r.error; }},
      {"relative_time", "time / baseline", kind::fixed, 2, [](const result& r) { return r.relative_time; }},
  };
}

/// What only rows on a GPU have.
std::vector<ablation::column<result>> gpu_columns() {
  return {
      {"gb_per_s", "GB/s", kind::fixed, 1, [](const result& r) { return r.gb_per_s; }},
      {"tflop_per_s", "TFLOP/s", kind::fixed, 2, [](const result& r) { return r.tflop_per_s; }},
      {"floor_fraction", "floor / time", kind::fixed, 3,
       [](const result& r) { return r.floor_fraction > 0 ? ablation::cell(r.floor_fraction) : ablation::cell(); }},
  };
}

}  // namespace

ablation::answer ablation::mixer_level(const options& asked) {
  request what;
  what.form = asked.form;
  what.repeat = asked.repeat > 0 ? asked.repeat : 20;
  std::vector<const char*> names;
  for (const variant& row : variants) names.push_back(row.name);
  const chosen_rows chosen = choose(asked, names);
  if (chosen.at_once) return *chosen.at_once;
  what.wanted = chosen.wanted;
  if (asked.batch > 0) return {{}, "--batch is of whole networks: --level network"};
  if (asked.on_gpu())
    if (const std::string why = why_no_gpu(); !why.empty()) return {{}, "backend cuda: " + why};
  const picture_result picture = load_picture(asked.picture);
  if (!picture) return {{}, picture.error};
  const std::vector<float> from_picture = tokens(picture.value, token_channels, default_seed, asked.tokens);
  what.where = place_of(asked);

  results found;
  {
    progress_line line;
    const auto say = [&](const char* row) { line.show(std::string("running ") + row + " ..."); };
    found = asked.precision == "fp64"   ? run<sextant::fp64>(what, from_picture, say)
            : asked.precision == "bf16" ? run<sextant::bf16>(what, from_picture, say)
            : asked.precision == "fp16" ? run<sextant::fp16>(what, from_picture, say)
                                        : run<sextant::fp32>(what, from_picture, say);
  }
  if (!found.error.empty()) return {{}, found.error};

  auto shown = columns();
  if (asked.on_gpu())
    for (const auto& column : gpu_columns()) shown.push_back(column);
  return show(asked, shown, found.rows,
              std::to_string(asked.tokens) + " tokens of " + std::to_string(token_channels) + " channels from " +
                  asked.picture);
}
