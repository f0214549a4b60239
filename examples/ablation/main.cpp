// SPDX-License-Identifier: Apache-2.0
/// @file  ablation: the six distinctions between linear attention and Mamba, one row each, on a real picture: as whole
///        networks, or as token mixers.
#include <CLI/CLI.hpp>
#include <cstdio>    // fputs
#include <iostream>  // cout

#include "command_line.hpp"
#include "options.hpp"

namespace {

int refuse(const std::string& why) {
  std::fputs(("ablation: " + why + "\n").c_str(), stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  ablation::options asked;
  asked.picture = ablation::default_picture_path(argv[0]);
  CLI::App app{
      "The six distinctions between linear attention and Mamba (arXiv 2405.16605), one row each, on a picture:\n"
      "as the paper's own networks (its tables 1 and 2, and MILA-T) beside the paper's figures, or as token\n"
      "mixers on 4x4 patches. Time, throughput, and error against float64.",
      "ablation"};
  app.add_option("PICTURE", asked.picture,
                 "PNG or JPEG; resized to 224x224 (default: the photograph that ships with this example)");
  app.add_option("--level", asked.level, "network: whole networks, or mixer: the token mixers by themselves")
      ->check(CLI::IsMember({"network", "mixer"}))
      ->capture_default_str();
  app.add_option("--backend", asked.backend, "cpu (all threads), cpu_serial, or cuda (a GPU)")
      ->check(CLI::IsMember({"cpu", "cpu_serial", "cuda"}))
      ->capture_default_str();
  app.add_option("--precision", asked.precision, "storage of the tokens")
      ->check(CLI::IsMember({"fp32", "fp64", "bf16", "fp16"}))
      ->capture_default_str();
  app.add_option("--batch", asked.batch, "networks: pictures at once, copies of the one (default: 1, on a GPU 128)")
      ->check(CLI::Range(std::ptrdiff_t(1), std::ptrdiff_t(4096)));
  app.add_option("--form", asked.form, "mixers: how the rows are computed")
      ->check(CLI::IsMember({"automatic", "recurrent", "scan", "chunked", "quadratic", "global"}))
      ->capture_default_str();
  app.add_option("--tokens", asked.tokens, "mixers: number of tokens, copies of the picture one below the other")
      ->check(CLI::Range(std::ptrdiff_t(1), ablation::max_tokens))
      ->capture_default_str();
  app.add_option("--repeat", asked.repeat, "calls that the median is taken of (default: 7, of mixers 20)")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--only", asked.only, "rows whose name contains this; * stands for anything");
  app.add_option("--format", asked.format, "table, json (an array of objects) or csv")
      ->check(CLI::IsMember({"table", "json", "csv"}))
      ->capture_default_str();
  app.add_flag("--list", asked.list, "print the names of the rows and stop");
  if (const auto ended = ablation::ended_by_options(app, argc, argv)) return *ended;
  const ablation::answer found = asked.level == "mixer" ? ablation::mixer_level(asked) : ablation::network_level(asked);
  if (!found.error.empty()) return refuse(found.error);
  std::cout << found.text;
  return std::cout.flush() ? 0 : refuse("standard output cannot be written");
}
