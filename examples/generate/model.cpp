// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <string_view>  // string_view
#include <vector>       // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/initialise.hpp>
#include <sextant/interop/checkpoint.hpp>
#include <sextant/models/language.hpp>
#include <sextant/sextant.hpp>

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
      return first + "conv1d.weight: is not of whole groups of " + std::to_string(s.state) + " keys; say how many: --keys";
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

struct alignas(256) line {
  std::byte bytes[256];
};
std::span<std::byte> bytes_of(std::vector<line>& lines) { return std::as_writable_bytes(std::span(lines)); }
std::vector<line> lines_for(std::size_t bytes) { return std::vector<line>((bytes + sizeof(line) - 1) / sizeof(line)); }

/// A model on the CPU whose tokens are of type E.
template <class Net, class E> class model_on_cpu final : public model {
 public:
  model_on_cpu(const Net& n, int threads)
      : net(n),
        w(n.template weights<E>()),
        weights(lines_for(blocks::bytes(w))),
        state(lines_for(models::state_bytes<E>(n, 1))),
        logits(std::size_t(n.sizes.vocabulary)) {
    on.threads = threads;
  }
  std::string load(const safetensors::archive& from) {
    return blocks::load(w, bytes_of(weights), from, {.allowed = models::is_tied_head});
  }
  std::string begin(std::uint64_t seed) {
    const status done = blocks::initialise(w, bytes_of(weights), seed);
    return done ? "" : done.what;
  }
  std::string next(std::span<const std::int32_t> tokens, std::span<const float>& found) override {
    const auto T = index_t(tokens.size());
    const std::size_t needed = models::workspace_bytes<E>(net, on, 1, T);
    if (memory.size() < needed) memory.resize(needed);
    on.memory = memory;
    const status done = forward(net, on, w, {tokens.data(), {1, T}}, {logits.data(), {1, net.sizes.vocabulary}},
                                {bytes_of(state).data()});
    if (!done) return done.what;
    numbers.assign(logits.begin(), logits.end());
    found = numbers;
    return {};
  }
  std::string describe() const override {
    const models::language_sizes& s = net.sizes;
    return std::string(models::detail::is_mamba<typename Net::design_type> ? "Mamba" : "Mamba-2") + ", " +
           std::to_string(s.layers) + " layers of " + std::to_string(s.model) + " channels" +
           (s.experts > 0 ? " and " + std::to_string(s.experts) + " experts" : std::string{}) + ", " +
           std::to_string(models::parameters(net)) + " parameters";
  }
  std::size_t state_bytes() const override { return models::state_bytes<E>(net, 1); }

 private:
  Net net;
  decltype(std::declval<Net>().template weights<E>()) w;
  std::vector<line> weights, state;
  std::vector<E> logits;
  std::vector<float> numbers;
  std::vector<std::byte> memory;
  cpu::parallel on;
};

template <class E, class Net>
std::unique_ptr<model> make_of(const Net& net, const request& what, const safetensors::archive& file,
                               std::string& error) {
  if (!what.weights.empty() && std::size_t(models::parameters(net)) > file.bytes()) {
    error = "holds fewer bytes than a model of these sizes has numbers";
    return {};
  }
  auto made = std::make_unique<model_on_cpu<Net, E>>(net, what.threads);
  error = what.weights.empty() ? made->begin(what.seed) : made->load(file);
  if (!error.empty()) return {};
  return made;
}
template <class Net>
std::unique_ptr<model> make_in(const Net& net, const request& what, const safetensors::archive& file,
                               std::string& error) {
  if (what.precision == "fp32") return make_of<float>(net, what, file, error);
  if (what.precision == "bf16") return make_of<bfloat16>(net, what, file, error);
  error = "--precision is fp32 or bf16";
  return {};
}

}  // namespace

std::unique_ptr<model> make(const request& what, std::string& error) {
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
