// SPDX-License-Identifier: Apache-2.0
/// @file  generate: what a Mamba language model says next. The state is as large after a million tokens as after one.
#include <CLI/CLI.hpp>
#include <algorithm>  // all_of, max_element, partial_sort
#include <chrono>     // steady_clock
#include <cmath>      // exp, isfinite, isnan
#include <cstdio>     // fputs, fwrite
#include <exception>  // exception
#include <memory>     // unique_ptr
#include <new>        // bad_alloc
#include <numeric>    // iota
#include <string>     // string
#include <vector>     // vector

#include <sextant/blocks/initialise.hpp>  // random_numbers
#include <sextant/interop/mapped_file.hpp>

#include "../ablation/command_line.hpp"
#include "model.hpp"
#include "tokenizer.hpp"

namespace {

int refuse(const std::string& why) {
  std::fputs(("generate: " + why + "\n").c_str(), stderr);
  return 2;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// A token of the `top` most likely ones (0: of all), by their probabilities at a temperature; at 0 the most likely one.
std::int32_t sample(std::span<const float> logits, double temperature, std::size_t top,
                    sextant::blocks::random_numbers& random) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (!(temperature > 0)) return std::int32_t(best - logits.begin());
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const std::size_t count = top > 0 ? std::min(top, order.size()) : order.size();
  std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(count), order.end(),
                    [&](std::int32_t a, std::int32_t b) { return logits[std::size_t(a)] > logits[std::size_t(b)]; });
  std::vector<double> sums;
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i)
    sums.push_back(sum += std::exp((double(logits[std::size_t(order[i])]) - double(*best)) / temperature));
  const double drawn = random.uniform() * sum;
  const auto at = std::upper_bound(sums.begin(), sums.end(), drawn);
  return order[std::min(std::size_t(at - sums.begin()), count - 1)];
}

}  // namespace

int main(int argc, char** argv) {
  generate::request what;
  std::string prompt, tokenizer_path;
  int tokens = 50;
  double temperature = 0;
  std::size_t top = 0;
  constexpr int most = 1'000'000'000;  // of what is counted
  CLI::App app{"What a Mamba language model says next.", "generate"};
  app.add_option("PROMPT", prompt, "text; without a tokenizer its bytes are the tokens")->required();
  app.add_option("--weights", what.weights,
                 "safetensors file under the names of state-spaces/mamba or of Hugging Face");
  app.add_option("--model", what.name,
                 "without weights: mamba_130m, mamba_370m, mamba2_130m or moe_mamba, begun with the seed")
      ->capture_default_str();
  app.add_option("--tokenizer", tokenizer_path,
                 "tokenizer.json of the model (byte-level BPE; default: bytes go in, numbers come out)");
  app.add_option("--tokens", tokens, "how many to generate")->check(CLI::Range(0, most))->capture_default_str();
  app.add_option("--temperature", temperature, "0: the most likely token, always")
      ->check(CLI::Range(0.0, 1e3))
      ->capture_default_str();
  app.add_option("--top", top, "draw from so many of the most likely tokens; 0: from all")
      ->check(CLI::Range(0, most))
      ->capture_default_str();
  app.add_option("--backend", what.backend, "cpu or cuda (a GPU)")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--precision", what.precision, "fp32 or bf16, on a GPU fp16 too")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16"}))
      ->capture_default_str();
  app.add_option("--keys", what.keys, "of a group of a Mamba-2 file; 0: 128, if that is one group")
      ->check(CLI::Range(0, most))
      ->capture_default_str();
  app.add_option("--threads", what.threads, "of a CPU; 0: all")->check(CLI::Range(0, 4096))->capture_default_str();
  app.add_option("--seed", what.seed, "of the draws, and of weights without a file")->capture_default_str();
  if (const auto ended = ablation::ended_by_options(app, argc, argv)) return *ended;
  if (std::isnan(temperature)) return refuse("--temperature is a number");

  generate::tokenizer words;
  if (!tokenizer_path.empty()) {
    sextant::mapped_file file;
    if (const std::string error = file.open(tokenizer_path); !error.empty()) return refuse(error);
    const std::string error = words.read({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
    if (!error.empty()) return refuse(tokenizer_path + ": " + error);
  }
  const bool has_words = !tokenizer_path.empty();
  std::vector<std::int32_t> given;
  if (has_words) given = words.encode(prompt);
  else
    for (const char c : prompt) given.push_back(static_cast<unsigned char>(c));
  if (given.empty()) return refuse("the prompt is empty");

  std::string error;
  std::unique_ptr<generate::model> model;
  try {
    model = generate::make(what, error);
  } catch (const std::bad_alloc&) {
    error = "there is not enough memory for the model";
  }
  if (!model) return refuse(error);
  std::fprintf(stderr, "%s%s\n", model->describe().c_str(),
               what.weights.empty() ? ", begun with the seed and never trained" : "");
  if (has_words) std::fwrite(prompt.data(), 1, prompt.size(), stdout);

  sextant::blocks::random_numbers random(what.seed);
  std::span<const float> logits;
  const auto next = [&](std::span<const std::int32_t> said) -> std::string {
    try {
      return model->next(said, logits);
    } catch (const std::exception& wrong) {
      return wrong.what();
    }
  };
  const double start = now();
  if (error = next(given); !error.empty()) return refuse(error);
  const double prefilled = now();
  for (int i = 0; i < tokens; ++i) {
    if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }))
      return refuse("the model's logits are not finite numbers");
    const std::int32_t token = sample(logits, temperature, top, random);
    const std::string text = has_words ? words.decode(token) : (i > 0 ? " " : "") + std::to_string(token);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    if (i + 1 < tokens)
      if (error = next({&token, 1}); !error.empty()) return refuse(error);
  }
  std::fputs("\n", stdout);
  std::fprintf(stderr, "prompt: %zu tokens in %.0f ms; then %.1f tokens/s; state: %zu bytes, whatever came before\n",
               given.size(), (prefilled - start) * 1e3, tokens > 1 ? (tokens - 1) / (now() - prefilled) : 0.0,
               model->state_bytes());
}
