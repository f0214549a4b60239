// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/sextant.hpp>

#include "../ablation/cpu_machine.hpp"
#include "../ablation/which_gpu.hpp"
#include "model_run.hpp"

namespace generate {

namespace {

using namespace sextant;

/// The sizes of the model whose weights a file holds, and whether it is Mamba-2. `keys` are Mamba-2's N, if known.
std::string find_sizes(const safetensors::archive& file, index_t keys, models::language_sizes& s, bool& is_mamba2) {
  constexpr index_t most = index_t(1) << 24;  // of any size: products of three stay far from overflow
  std::string wrong;
  // An extent of a tensor that holds numbers, so that no size is larger than the file.
  const auto extent = [&](const std::string& name, std::size_t axis) -> index_t {
    const auto found = file.find(name);
    const bool there = found && axis < found->shape.size() && !found->bytes.empty();
    if (wrong.empty() && !there) wrong = name + (found ? ": has another shape than a Mamba's" : ": is missing");
    if (wrong.empty() && found->shape[axis] > most) wrong = name + ": is too large";
    return there ? found->shape[axis] : 0;
  };
  s.transformers = !file.find("backbone.embedding.weight");
  const std::string table = s.transformers ? "backbone.embeddings.weight" : "backbone.embedding.weight";
  if (!file.find(table)) return "has no backbone.embedding.weight: not a Mamba language model";
  s.vocabulary = extent(table, 0), s.model = extent(table, 1);
  s.layers = 0;
  while (file.find("backbone.layers." + std::to_string(s.layers) + ".mixer.in_proj.weight")) ++s.layers;
  const std::string first = "backbone.layers.0.mixer.";
  is_mamba2 = bool(file.find(first + "dt_bias"));
  const index_t inner = extent(first + "out_proj.weight", 1), convolved = extent(first + "conv1d.weight", 0);
  s.width = extent(first + "conv1d.weight", 2);
  const index_t heads = is_mamba2 ? extent(first + "A_log", 0) : 1;
  if (!is_mamba2) s.state = extent(first + "A_log", 1), s.rank = extent(first + "dt_proj.weight", 1);
  s.experts = s.expert_hidden = 0;
  if (file.find("backbone.layers.0.moe.router.weight")) {
    s.experts = extent("backbone.layers.0.moe.router.weight", 0);
    s.expert_hidden = extent("backbone.layers.0.moe.experts.w1", 1);
  }
  if (!wrong.empty()) return wrong;
  if (inner % s.model != 0)
    return first + "out_proj.weight: its " + std::to_string(inner) + " channels are no multiple of the model's " +
           std::to_string(s.model);
  s.expand = inner / s.model;
  if (is_mamba2) {
    s.state = keys > 0 ? keys : 128;
    if (inner % heads != 0) return first + "A_log: its heads don't divide the inner channels";
    if (convolved <= inner || (convolved - inner) % (2 * s.state) != 0)
      return first + "conv1d.weight: is not of whole groups of " + std::to_string(s.state) +
             " keys; say how many: --keys";
    s.head = inner / heads;
    s.groups = (convolved - inner) / (2 * s.state);
    if (s.groups > 1 && keys <= 0)
      return "keys and groups only stand multiplied in a file; these may be " + std::to_string(s.groups) +
             " groups of 128 keys, or fewer of more: say how many, --keys 128";
  }
  s.capacity_factor = 0;
  // A head of its own counts only where it is not the table once more.
  const auto head = file.find("lm_head.weight"), rows = file.find(table);
  s.tied = !head || (head->bytes.size() == rows->bytes.size() &&
                     std::equal(head->bytes.begin(), head->bytes.end(), rows->bytes.begin()));
  return {};
}

template <class Net>
std::unique_ptr<model> make_in(const Net& net, const request& what, const safetensors::archive& file,
                               std::string& error) {
  if (what.backend == "cuda") return precisions_on_gpu().at(what.precision).make(net, what, file, error);
  const auto machine = std::make_shared<const ablation::cpu_machine>(what.threads);
  if (what.precision == "fp32") return make_of<float>(machine, net, what, file, error);
  return make_of<bfloat16>(machine, net, what, file, error);
}

}  // namespace

std::map<std::string, makers>& precisions_on_gpu() {
  static std::map<std::string, makers> all;
  return all;
}

std::unique_ptr<model> make(const request& what, std::string& error) {
  if (what.backend == "cuda") {
    if (error = ablation::why_no_network_in(what.precision, precisions_on_gpu()); !error.empty())
      return error.insert(0, "backend cuda: "), nullptr;
  } else if (what.precision == "fp16") {
    return error = "on a CPU models run in fp32 and bf16", nullptr;
  }
  safetensors::file file;
  if (!what.weights.empty()) {
    if (error = file.open(what.weights); !error.empty()) return {};
    models::language_sizes s;
    bool is_mamba2 = false;
    error = find_sizes(*file, what.keys, s, is_mamba2);
    auto made = !error.empty() ? nullptr
                : is_mamba2    ? make_in(models::mamba2_130m.with_sizes(s), what, *file, error)
                               : make_in(models::mamba_130m.with_sizes(s), what, *file, error);
    if (!error.empty()) error = what.weights + ": " + error;
    return made;
  }
  const auto generating = [](auto net) {
    net.sizes.capacity_factor = 0;
    return net;
  };
  if (what.name == "mamba_130m") return make_in(models::mamba_130m, what, *file, error);
  if (what.name == "mamba_370m") return make_in(models::mamba_370m, what, *file, error);
  if (what.name == "mamba2_130m") return make_in(models::mamba2_130m, what, *file, error);
  if (what.name == "moe_mamba") return make_in(generating(models::moe_mamba), what, *file, error);
  error = "--model is mamba_130m, mamba_370m, mamba2_130m or moe_mamba";
  return {};
}

}  // namespace generate
