// SPDX-License-Identifier: Apache-2.0
/// @file  classify: the class scores of a picture by MILA and other networks, and what can be seen inside them.
#include <CLI/CLI.hpp>
#include <algorithm>  // all_of, max_element, min, partial_sort
#include <cmath>      // exp, isfinite
#include <cstdio>     // fprintf, printf
#include <fstream>    // ifstream
#include <numeric>    // iota

#include "../ablation/command_line.hpp"
#include "../ablation/picture.hpp"
#include "drawing.hpp"
#include "networks.hpp"

namespace {

int refuse(const std::string& why) {
  std::fprintf(stderr, "classify: %s\n", why.c_str());
  return 2;
}

/// The shorter side brought to 256 pixels, the middle 224 of both, colours normalised by ImageNet's mean and deviation: what
/// the public models are evaluated on. [224, 224, 3]. Of a long side only the middle is resized, where it is more than four
/// times the shorter one and a pixel.
std::vector<float> prepared(const ablation::picture& from) {
  constexpr std::ptrdiff_t side = classify::picture_side, shorter = 256, most = 4;
  constexpr float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
  const bool wide = from.width > from.height;
  const std::ptrdiff_t thin = wide ? from.height : from.width, all = wide ? from.width : from.height;
  // As even or odd as it was: the middle stays where it is.
  const std::ptrdiff_t length = std::min(all, most * thin + (all - most * thin) % 2), longer = length * shorter / thin;
  const ablation::picture whole =
      ablation::resize(length < all ? ablation::middle(from, wide ? length : thin, wide ? thin : length) : from,
                       wide ? longer : shorter, wide ? shorter : longer);
  std::vector<float> out = ablation::middle(whole, side, side).value;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = (out[i] - mean[i % 3]) / deviation[i % 3];
  return out;
}

/// Returns "" or what is wrong with the file.
std::string lines_of(const std::string& path, std::vector<std::string>& lines) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines.empty() ? path + ": holds no names, or cannot be read" : "";
}

}  // namespace

int main(int argc, char** argv) {
  std::string picture_path = ablation::default_picture_path(argv[0]), names_path = SEXTANT_CLASSIFY_NAMES, norms, gates;
  classify::request what;
  std::size_t top = 5;
  CLI::App app{
      "The class scores of a picture, by a network with weights of a file or with those that training begins with.",
      "classify"};
  app.add_option("PICTURE", picture_path, "PNG or JPEG (default: the photograph that ships with the examples)");
  app.add_option("--model", what.model, "which network")
      ->check(CLI::IsMember(classify::models()))
      ->capture_default_str();
  app.add_option("--weights", what.weights,
                 "a safetensors file with the public model's names (default: seeded, untrained)");
  app.add_option("--backend", what.backend, "cpu (all threads), cpu_serial, or cuda (a GPU)")
      ->check(CLI::IsMember({"cpu", "cpu_serial", "cuda"}))
      ->capture_default_str();
  app.add_option("--precision", what.precision, "of weights and tokens; on a CPU fp32")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16"}))
      ->capture_default_str();
  app.add_option("--top", top, "how many classes to print")->check(CLI::Range(1, 1000))->capture_default_str();
  CLI::Option* const has_names = app.add_option(
      "--names", names_path, "the classes' names, one a line (default: ImageNet's; without weights no names)");
  app.add_option("--norms", norms,
                 "PNG to write: the norms of the last feature map's tokens (mila_*, linear_swin_t, forget_gate)");
  app.add_option("--gates", gates, "PNG to write: the mean forget gate of every block (forget_gate)");
  if (const auto ended = ablation::ended_by_options(app, argc, argv)) return *ended;
  std::vector<std::string> names;
  if (std::string wrong = lines_of(names_path, names); !wrong.empty() && has_names->count() > 0) return refuse(wrong);
  const ablation::picture_result picture = ablation::load_picture(picture_path);
  if (!picture) return refuse(picture.error);
  const classify::answer found = classify::run(what, prepared(picture.value));
  if (!found.error.empty()) return refuse(found.error);
  if (!std::all_of(found.scores.begin(), found.scores.end(), [](float x) { return std::isfinite(x); }))
    return refuse(what.model + ": scores that are no finite numbers" +
                  (what.weights.empty() ? "" : " come of the weights of " + what.weights));
  if (!norms.empty() && found.norms.empty())
    return refuse("--norms: " + what.model + " does not show its last feature map");
  if (!gates.empty() && found.gates.empty()) return refuse("--gates: " + what.model + " has no forget gate to show");

  const auto& scores = found.scores;
  const double most = double(*std::max_element(scores.begin(), scores.end()));
  double sum = 0;
  for (const float score : scores) sum += std::exp(double(score) - most);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  top = std::min(top, order.size());
  std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(top), order.end(),
                    [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  // Names mean nothing to weights that know nothing.
  if (what.weights.empty()) names.clear();
  for (std::size_t i = 0; i < top; ++i)
    std::printf("%4zu  %6.2f %%  %9.5f  %s\n", order[i], 100 * std::exp(double(scores[order[i]]) - most) / sum,
                double(scores[order[i]]), order[i] < names.size() ? names[order[i]].c_str() : "");
  for (std::size_t i = 0; i < found.gates.size(); ++i)
    std::printf("mean forget gate of block %zu: %.4f\n", i, double(found.gates[i]));

  if (!norms.empty() && !classify::draw_map(norms, found.norms, found.height, found.width))
    return refuse(norms + ": cannot be written");
  if (!gates.empty() && !classify::draw_bars(gates, found.gates)) return refuse(gates + ": cannot be written");
  return 0;
}
