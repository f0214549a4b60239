// SPDX-License-Identifier: Apache-2.0
/// @file  The networks, each compiled once for the CPU.
#include "networks.hpp"

#include <cmath>        // exp, log1p, sqrt
#include <memory>       // align
#include <type_traits>  // remove_cvref_t

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/initialise.hpp>
#include <sextant/interop/checkpoint.hpp>
#include <sextant/models/vim.hpp>
#include <sextant/models/vision.hpp>
#include <sextant/models/vmamba.hpp>
#include <sextant/sextant.hpp>

namespace {

using namespace sextant;
using classify::answer;
using classify::picture_side;

/// visit(name, network) for every network.
template <class Visit> void each_model(const Visit& visit) {
  constexpr auto swin = models::linear_swin_t;
  visit("mila_t", models::mila_t);
  visit("mila_s", models::mila_s);
  visit("mila_b", models::mila_b);
  visit("linear_swin_t", swin);
  visit("forget_gate", swin.with(forget::selective{}, order::causal{}, norm::sum_undecayed{}));
  visit("vim_t", models::vim_t);
  visit("vim_s", models::vim_s);
  visit("vmamba_t", models::vmamba_t);
}

/// The mean over tokens, keys and channels of exp(a softplus(dt + bias)), for what enters a block.
template <class Block> float mean_gate(const cpu::parallel& on, const Block& block, const blocks::rows<float>& x) {
  const auto& w = block.attention;
  const index_t n = x.extent(0), C = x.extent(1), R = w.sizes.rank, K = w.sizes.keys, V = w.sizes.values();
  std::vector<float> u(std::size_t(n * C)), low(std::size_t(n * R)), dt(std::size_t(n * C));
  std::vector<std::byte> scratch(linear_bytes(on, n, w.dt_down) + linear_bytes(on, n, w.dt_up));
  cpu::parallel lent = on;
  lent.memory = scratch;
  const blocks::rows<float> normed(u.data(), {n, C}), of_low(low.data(), {n, R}), steps(dt.data(), {n, C});
  if (!layer_norm(lent, x, block.norm1, normed) || !linear(lent, normed, w.dt_down, of_low) ||
      !linear(lent, of_low, w.dt_up, steps))
    return NAN;
  double sum = 0;
  for (index_t t = 0; t < n; ++t)
    for (index_t c = 0; c < C; ++c) {
      const double delta = std::log1p(std::exp(double(steps(t, c)) + double(w.dt_bias.value(c / V, c % V))));
      for (index_t k = 0; k < K; ++k) sum += std::exp(delta * double(w.a.value(c / V, c % V, k)));
    }
  return float(sum / double(n * C * K));
}

/// Scores of a network on the four-stage skeleton, its last tokens' norms and its gates.
template <class Design>
status scores(const models::vision<Design>& net, cpu::parallel on, const models::vision_weights<Design, float>& w,
              const blocks::image<const float>& picture, answer& found) {
  std::vector<std::byte> scratch(models::workspace_bytes<float>(net, on, 1, picture_side, picture_side));
  cpu::parallel lent = on;
  lent.memory = scratch;
  const auto observe = [&](int stage, index_t block, const blocks::rows<float>& x, const blocks::picture_sizes& p) {
    const auto& layers = w.layers.stage[stage].layers;
    if constexpr (std::is_same_v<typename Design::forget_type, forget::selective>)
      if (block + 1 < layers.size()) found.gates.push_back(mean_gate(on, layers[block + 1], x));
    if (stage == 3 && block + 1 == layers.size()) {
      found.height = p.height, found.width = p.width;
      for (index_t t = 0; t < p.tokens(); ++t) {
        double square = 0;
        for (index_t c = 0; c < x.extent(1); ++c) square += double(x(t, c)) * double(x(t, c));
        found.norms.push_back(float(std::sqrt(square)));
      }
    }
    return status{};
  };
  return forward(net, lent, w, picture, {found.scores.data(), {1, net.sizes.classes}}, observe);
}
status scores(const models::vim& net, cpu::parallel on, const models::vim_weights<float>& w,
              const blocks::image<const float>& picture, answer& found) {
  std::vector<std::byte> scratch(models::workspace_bytes<float>(net, on, 1));
  on.memory = scratch;
  return forward(net, on, w, picture, {found.scores.data(), {1, net.sizes.classes}});
}
status scores(const models::vmamba& net, cpu::parallel on, const models::vmamba_weights<float>& w,
              const blocks::image<const float>& picture, answer& found) {
  std::vector<std::byte> scratch(models::workspace_bytes<float>(net, on, 1, picture_side, picture_side));
  on.memory = scratch;
  return forward(net, on, w, picture, {found.scores.data(), {1, net.sizes.classes}});
}

}  // namespace

std::vector<std::string> classify::models() {
  std::vector<std::string> names;
  each_model([&](const char* name, const auto&) { names.push_back(name); });
  return names;
}

classify::answer classify::run(const request& what, std::span<const float> picture) {
  answer found;
  each_model([&](const char* name, const auto& net) {
    if (what.model != name) return;
    auto weights = net.template weights<float>();
    const std::size_t bytes = blocks::bytes(weights);
    std::vector<std::byte> memory(bytes + blocks::tensor_alignment);
    void* first = memory.data();
    std::size_t room = memory.size();
    const std::span<std::byte> aligned(
        static_cast<std::byte*>(std::align(blocks::tensor_alignment, bytes, first, room)), bytes);
    if (what.weights.empty()) {
      if (const status begun = blocks::initialise(weights, aligned, 2024); !begun) found.error = begun.what;
    } else {
      found.error = blocks::load(weights, aligned, what.weights);
    }
    if (!found.error.empty()) return;
    found.scores.resize(std::size_t(net.sizes.classes));
    const blocks::image<const float> view(picture.data(), {1, picture_side, picture_side, 3});
    const status done = scores(net, cpu::parallel{{}, what.threads}, weights, view, found);
    if (!done) found.error = done.what;
  });
  return found;
}
