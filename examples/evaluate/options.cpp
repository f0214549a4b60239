// SPDX-License-Identifier: Apache-2.0
// The command line, read by CLI11.
#include "options.hpp"

#include <algorithm>  // find, replace
#include <charconv>   // from_chars
#include <cmath>      // isfinite
#include <cstdio>     // fputs

#include <CLI/CLI.hpp>

#include "refusal.hpp"
#include "subject.hpp"

namespace evaluate {

namespace {

/// A switch: its word among the parts' names, later their index.
struct word {
  CLI::Option* option = nullptr;
  std::string text;
  std::vector<std::string> words;
  int* index = nullptr;

  void settle() const { *index = int(std::find(words.begin(), words.end(), text) - words.begin()); }
};

sextant::image_grid grid_of(const std::string& text) {
  sextant::image_grid grid;
  const char *const begin = text.data(), *const end = begin + text.size();
  const auto height = std::from_chars(begin, end, grid.height);
  const bool crossed = height.ec == std::errc{} && height.ptr != end && *height.ptr == 'x';
  const auto width = std::from_chars(crossed ? height.ptr + 1 : end, end, grid.width);
  if (!crossed || width.ec != std::errc{} || width.ptr != end || grid.height < 0 || grid.width < 0)
    throw refusal("--grid " + text + ": height and width as in 14x14 are expected");
  return grid;
}

}  // namespace

std::optional<options> parse(int argc, char** argv) {
  options asked;
  std::string backend = "cpu", grid;
  CLI::App app("Evaluates a design on your own numbers: a preset (--design), or the six switches one by one.",
               "evaluate");
  app.add_option("--in", asked.in, "Folder of the tensors, NumPy files of <f4 or <f8")->required();
  app.add_option("--out", asked.out, "Folder to write y.npy and final_state.npy to; made if absent")->required();
  CLI::Option* const design = app.add_option("--design", asked.design, "A preset, instead of the switches");
  design->check(CLI::IsMember(preset_names()));

  std::vector<word> words(7);
  const auto add = [&](word& w, const char* name, std::vector<std::string> allowed, int& index, const char* what) {
    w.words = std::move(allowed);
    w.index = &index;
    w.text = w.words[std::size_t(index)];
    w.option =
        app.add_option(name, w.text, what)->check(CLI::IsMember(w.words))->capture_default_str()->group("Switches");
  };
  switches& s = asked.chosen;
  add(words[0], "--input", names<inputs>(), s.input, "What multiplies v");
  add(words[1], "--forget", names<forgets>(), s.forget, "What multiplies the state");
  add(words[2], "--shortcut", names<shortcuts>(), s.shortcut, "What is added to y");
  add(words[3], "--norm", names<norms>(), s.norm, "What y is divided by");
  add(words[4], "--heads", names<head_kinds>(), s.heads, "Who shares q and k");
  add(words[5], "--map", names<maps>(), s.map, "The feature map of q and k");
  add(words[6], "--order", names<orders>(), s.order, "Which tokens a token sees");
  std::vector<CLI::Option*> all;
  all.reserve(words.size() + 2);
  for (const word& w : words) all.push_back(w.option);
  all.push_back(
      app.add_option("--scale", s.scale, "The number in front of q")->capture_default_str()->group("Switches"));
  all.push_back(
      app.add_option("--eps", s.eps, "Added to q z where y is divided")->capture_default_str()->group("Switches"));

  CLI::Option* const has_grid =
      app.add_option("--grid", grid, "HxW: height and width of the images whose pixels are the tokens");
  app.add_option("--backend", backend, "Where: cpu, all cores; cpu_serial, one; cuda, a GPU")->capture_default_str();
  app.add_option("--precision", asked.precision, "Of the tokens (default: q.npy's); 16 bits round the inputs")
      ->check(CLI::IsMember({"fp32", "fp64", "bf16", "fp16"}));
  app.add_option("--form", asked.form, "How; the switches have automatic and recurrent")
      ->check(CLI::IsMember({"automatic", "recurrent", "scan", "chunked", "quadratic", "global"}))
      ->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs((app.help() + '\n' + tensor_help()).c_str(), stdout);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    throw refusal(error.what());
  }

  if (backend == "cuda") asked.where = place::cuda;
  else if (backend == "cpu_serial") asked.where = place::cpu_serial;
  else if (backend != "cpu")
    throw refusal("--backend " + backend + ": no backend of this name; there are cpu, cpu_serial and cuda");
  for (const CLI::Option* option : all)
    if (design->count() > 0 && option->count() > 0)
      throw refusal("--design and " + option->get_name() + ": give a preset, or the switches, not both");
  for (const word& w : words) w.settle();
  if (!std::isfinite(s.scale) || !std::isfinite(s.eps)) throw refusal("--scale and --eps are finite numbers");
  if (has_grid->count() > 0) asked.grid = grid_of(grid);
  return asked;
}

}  // namespace evaluate
