// SPDX-License-Identifier: Apache-2.0
/// @file  ablation: the six switches between linear attention and Mamba, one row each, on a real picture.
#include <CLI/CLI.hpp>
#include <cctype>    // tolower
#include <cstdio>    // fputs
#include <iostream>  // cout

#include <sextant/cpu/backend.hpp>
#include <sextant/cpu/isa.hpp>
#include <sextant/tensor/precision.hpp>

#include "gpu.hpp"
#include "picture.hpp"
#include "progress.hpp"
#include "run.hpp"
#include "table.hpp"
#include "tokens.hpp"

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

/// Whether a row's name contains the pattern, whatever the case; * stands for anything.
bool matches(const char* pattern, const char* name) {
  if (*pattern == 0) return true;
  if (*pattern == '*') return matches(pattern + 1, name) || (*name != 0 && matches(pattern, name + 1));
  return *name != 0 &&
         std::tolower(static_cast<unsigned char>(*pattern)) == std::tolower(static_cast<unsigned char>(*name)) &&
         matches(pattern + 1, name + 1);
}
bool selects(const std::string& pattern, const char* name) { return matches(("*" + pattern).c_str(), name); }

int refuse(const std::string& why) {
  std::fputs(("ablation: " + why + "\n").c_str(), stderr);
  return 2;
}

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  std::string picture_path = ablation::default_picture_path(argv[0]), backend = "cpu", precision = "fp32", only,
              format = "table";
  std::ptrdiff_t count = ablation::picture_tokens;
  bool list = false;
  ablation::request what;

  CLI::App app{
      "The six switches between linear attention and Mamba (arXiv 2405.16605), one row each, as token mixers on\n"
      "the 4x4 patches of a picture: time, throughput, and error against float64.",
      "ablation"};
  app.add_option("PICTURE", picture_path,
                 "PNG or JPEG; resized to 224x224 (default: the photograph that ships with this example)");
  app.add_option("--backend", backend, "cpu (all threads), cpu_serial, or cuda (a GPU)")
      ->check(CLI::IsMember({"cpu", "cpu_serial", "cuda"}))
      ->capture_default_str();
  app.add_option("--precision", precision, "storage of the tokens")
      ->check(CLI::IsMember({"fp32", "fp64", "bf16", "fp16"}))
      ->capture_default_str();
  app.add_option("--form", what.form, "how the rows are computed")
      ->check(CLI::IsMember({"automatic", "recurrent", "scan", "chunked", "quadratic", "global"}))
      ->capture_default_str();
  app.add_option("--tokens", count, "number of tokens: copies of the picture one below the other")
      ->check(CLI::Range(std::ptrdiff_t(1), ablation::max_tokens))
      ->capture_default_str();
  app.add_option("--repeat", what.repeat, "calls that the median is taken of")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--only", only, "rows whose name contains this; * stands for anything");
  app.add_option("--format", format, "table, json (an array of objects) or csv")
      ->check(CLI::IsMember({"table", "json", "csv"}))
      ->capture_default_str();
  app.add_flag("--list", list, "print the names of the rows and stop");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return 0;
  } catch (const CLI::Error& e) {
    return refuse(one_line(e.what()) + " (--help shows the options)");
  }
  for (const ablation::variant& row : ablation::variants) what.wanted.push_back(selects(only, row.name));
  if (std::find(what.wanted.begin(), what.wanted.end(), true) == what.wanted.end())
    return refuse("--only '" + only + "' is in the name of no row; --list prints them");
  if (list) {
    for (std::size_t i = 0; i < what.wanted.size(); ++i)
      if (what.wanted[i]) std::cout << ablation::variants[i].name << '\n';
    return 0;
  }
  const bool on_gpu = backend == "cuda";
  if (on_gpu)
    if (const std::string why = ablation::why_no_gpu(); !why.empty()) return refuse("backend cuda: " + why);
  const ablation::picture_result picture = ablation::load_picture(picture_path);
  if (!picture) return refuse(picture.error);
  const std::vector<float> tokens =
      ablation::tokens(picture.value, ablation::token_channels, ablation::default_seed, count);
  what.where = on_gpu                    ? ablation::place::cuda
               : backend == "cpu_serial" ? ablation::place::cpu_serial
                                         : ablation::place::cpu;

  ablation::results found;
  {
    ablation::progress_line line;
    const auto say = [&](const char* row) { line.show(std::string("running ") + row + " ..."); };
    found = precision == "fp64"   ? ablation::run<sextant::fp64>(what, tokens, say)
            : precision == "bf16" ? ablation::run<sextant::bf16>(what, tokens, say)
            : precision == "fp16" ? ablation::run<sextant::fp16>(what, tokens, say)
                                  : ablation::run<sextant::fp32>(what, tokens, say);
  }
  if (!found.error.empty()) return refuse(found.error);

  auto shown = columns();
  if (on_gpu)
    for (const auto& column : gpu_columns()) shown.push_back(column);
  if (format == "json") {
    std::cout << ablation::as_json(shown, found.rows);
  } else if (format == "csv") {
    std::cout << ablation::as_csv(shown, found.rows);
  } else {
    shown.erase(shown.begin() + 1);  // the design's long name is for programs
    const std::string threads =
        std::to_string(backend == "cpu_serial" ? 1 : sextant::cpu::workers(sextant::cpu::parallel{}));
    const std::string machine =
        on_gpu ? ablation::gpu_name() : std::string(sextant::cpu::instruction_set) + ", " + threads + " threads";
    std::cout << "Sextant on " << backend << " (" << machine << "), " << precision << ", " << count << " tokens of "
              << ablation::token_channels << " channels from " << picture_path << '\n'
              << ablation::as_table(shown, found.rows);
  }
  return std::cout.flush() ? 0 : refuse("standard output cannot be written");
}
