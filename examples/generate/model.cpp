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

/// The sizes of the model whose weights a file holds, and whether it is Mamba-2.
std::string find_sizes(const safetensors::archive& file, models::language_sizes& s, bool& is_mamba2) {
  const auto extent = [&](const std::string& name, std::size_t axis) -> index_t {
    const auto found = file.find(name);
    return found && axis < found->shape.size() ? found->shape[axis] : 0;
  };
  s.transformers = !file.find("backbone.embedding.weight");
  const std::string table = s.transformers ? "backbone.embeddings.weight" : "backbone.embedding.weight";
  s.vocabulary = extent(table, 0), s.model = extent(table, 1);
  if (s.vocabulary == 0 || s.model == 0) return "has no backbone.embedding.weight: not a Mamba language model";
  s.layers = 0;
  while (file.find("backbone.layers." + std::to_string(s.layers) + ".mixer.in_proj.weight")) ++s.layers;
  const std::string first = "backbone.layers.0.mixer.";
  is_mamba2 = bool(file.find(first + "dt_bias"));
  const index_t inner = extent(first + "out_proj.weight", 1);
  s.expand = inner / s.model;
  s.width = extent(first + "conv1d.weight", 2);
  if (is_mamba2) {
    const index_t heads = extent(first + "A_log", 0);
    s.head = heads > 0 ? inner / heads : 0;
    s.state = 128;  // keys and groups only stand multiplied in a file
    s.groups = (extent(first + "conv1d.weight", 0) - inner) / (2 * s.state);
  } else {
    s.state = extent(first + "A_log", 1);
    s.rank = extent(first + "dt_proj.weight", 1);
  }
  s.experts = extent("backbone.layers.0.moe.router.weight", 0);
  s.expert_hidden = extent("backbone.layers.0.moe.experts.w1", 1);
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
    error = find_sizes(*file, s, is_mamba2);
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
