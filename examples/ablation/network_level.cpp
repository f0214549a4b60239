// SPDX-License-Identifier: Apache-2.0
/// @file  The level of networks: the paper's tables 1 and 2 rebuilt, and MILA-T, on a picture.
#include <cmath>  // fabs, fmax

#include <sextant/tensor/precision.hpp>

#include "network_gpu.hpp"
#include "network_run.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "table.hpp"
#include "which_gpu.hpp"

namespace {

using ablation::cell;
using ablation::kind;
using row = ablation::network_result;

/// A figure of the paper's, or nothing.
cell printed(double figure) { return figure > 0 ? cell(figure) : cell(); }

std::vector<ablation::column<row>> columns() {
  const double baseline = ablation::network_rows[0].paper_images_per_s;
  return {
      {"name", "network", kind::text, 0, [](const row& r) { return r.row->name; }},
      {"design", "", kind::text, 0, [](const row& r) { return r.design; }},
      {"params", "params", kind::integer, 0, [](const row& r) { return r.params; }},
      {"paper_params_m", "paper M", kind::fixed, 0, [](const row& r) { return printed(r.row->paper_params); }},
      {"macs", "MACs", kind::integer, 0, [](const row& r) { return r.macs; }},
      {"paper_macs_g", "paper G", kind::fixed, 1, [](const row& r) { return printed(r.row->paper_macs); }},
      {"median_ms", "median ms", kind::fixed, 2, [](const row& r) { return r.median_ms; }},
      {"images_per_s", "images/s", kind::fixed, 1, [](const row& r) { return r.images_per_s; }},
      {"relative_speed", "/ baseline", kind::fixed, 2, [](const row& r) { return r.relative_speed; }},
      {"paper_images_per_s", "paper's images/s", kind::integer, 0,
       [](const row& r) {
         return r.row->paper_images_per_s > 0 ? cell(std::int64_t(r.row->paper_images_per_s)) : cell();
       }},
      {"paper_relative_speed", "/ baseline", kind::fixed, 2,
       [baseline](const row& r) { return printed(r.row->paper_images_per_s / baseline); }},
      {"paper_top1", "paper's top-1", kind::fixed, 1, [](const row& r) { return printed(r.row->paper_top1); }},
      {"workspace_mb", "workspace MB", kind::fixed, 1, [](const row& r) { return r.workspace_mb; }},
      {"error", "error", kind::scientific, 1, [](const row& r) { return r.error; }},
  };
}

/// max|y - judge| / max|judge|.
double error_of(const std::vector<double>& y, const std::vector<double>& judge) {
  double most = 0, size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double difference = std::fabs(y[i] - judge[i]);
    if (!(difference <= 1e300)) return NAN;
    most = std::fmax(most, difference), size = std::fmax(size, std::fabs(judge[i]));
  }
  return size > 0 ? most / size : most;
}

}  // namespace

ablation::answer ablation::network_level(const options& asked) {
  network_request what;
  std::vector<const char*> names;
  for (const network_row& one : network_rows) names.push_back(one.name);
  const chosen_rows chosen = choose(asked, names);
  if (chosen.at_once) return *chosen.at_once;
  what.wanted = chosen.wanted;
  if (asked.form != "automatic" || asked.tokens != picture_tokens)
    return {{}, "--form and --tokens are of single mixers: --level mixer"};
  if (asked.on_gpu()) {
    if (const std::string why = why_no_network_in(asked.precision, precisions_on_gpu()); !why.empty())
      return {{}, "backend cuda: " + why};
  } else if (asked.precision != "fp32" && asked.precision != "fp64") {
    return {{}, "on a CPU networks run in fp32 and fp64; --level mixer runs " + asked.precision};
  }
  const picture_result loaded = load_picture(asked.picture);
  if (!loaded) return {{}, loaded.error};
  const std::vector<float> picture = normalised(loaded.value);
  what.where = place_of(asked);
  what.repeat = asked.repeat > 0 ? asked.repeat : 7;
  what.batch = asked.batch > 0 ? asked.batch : asked.on_gpu() ? 128 : 1;

  network_results found, judged;
  {
    progress_line line;
    const auto say = [&](const char* name) { line.show(std::string("running ") + name + " ..."); };
    const auto judge = [&](const char* name) { line.show(std::string("running ") + name + " in float64 ..."); };
    found = asked.on_gpu()              ? precisions_on_gpu().at(asked.precision)(what, picture, say)
            : asked.precision == "fp64" ? run_networks<sextant::fp64>(what, picture, say)
                                        : run_networks<sextant::fp32>(what, picture, say);
    network_request once = what;
    once.repeat = 0;
    once.where = place::cpu;
    if (found.error.empty()) judged = run_networks<sextant::fp64>(once, picture, judge);
  }
  if (!found.error.empty() || !judged.error.empty()) return {{}, found.error + judged.error};
  for (std::size_t i = 0; i < found.rows.size(); ++i)
    found.rows[i].error = error_of(found.rows[i].scores, judged.rows[i].scores);

  return show(asked, columns(), found.rows,
              "networks on 224x224 pixels of " + asked.picture + ", batch " + std::to_string(what.batch));
}
