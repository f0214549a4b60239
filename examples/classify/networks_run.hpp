// SPDX-License-Identifier: Apache-2.0
/// @file  The networks on any machine (ablation::cpu_machine, ablation::gpu_machine), whose operations and mixers are included.
#pragma once

#include <cmath>        // exp, log1p, sqrt
#include <exception>    // exception
#include <span>         // span
#include <stdexcept>    // runtime_error
#include <type_traits>  // is_same_v, remove_const_t

#include <sextant/blocks/initialise.hpp>
#include <sextant/interop/checkpoint.hpp>

#include "../ablation/machine_weights.hpp"
#include "models.hpp"
#include "networks.hpp"

namespace classify {

/// Numbers that lie one behind another on a machine, as floats.
template <class Machine, class E>
std::vector<float> fetched(const Machine& machine, const E* from, sextant::index_t count) {
  std::vector<std::remove_const_t<E>> numbers(static_cast<std::size_t>(count));
  machine.fetch(numbers.data(), from, numbers.size() * sizeof(E));
  return {numbers.begin(), numbers.end()};
}

/// The mean over tokens, keys and channels of exp(a softplus(dt + bias)), for what enters a block.
template <class Machine, class Block, class E>
float mean_gate(const Machine& machine, const Block& block, const sextant::blocks::rows<E>& x) {
  using sextant::index_t;
  const auto& w = block.attention;
  const index_t n = x.extent(0), C = x.extent(1), R = w.sizes.rank, K = w.sizes.keys;
  const auto u = machine.take(std::size_t(n * C) * sizeof(E)), low = machine.take(std::size_t(n * R) * sizeof(E));
  const auto dt = machine.take(u.size());
  const auto scratch = machine.take(linear_bytes(machine.on(), n, w.dt_down) + linear_bytes(machine.on(), n, w.dt_up));
  const auto on = machine.on(scratch);
  const auto rows = [n](const auto& of, index_t columns) {
    return sextant::blocks::rows<E>(reinterpret_cast<E*>(of.data()), {n, columns});
  };
  if (!layer_norm(on, x, block.norm1, rows(u, C)) || !linear(on, rows(u, C), w.dt_down, rows(low, R)) ||
      !linear(on, rows(low, R), w.dt_up, rows(dt, C)))
    return NAN;
  const std::vector<float> steps = fetched(machine, rows(dt, C).data(), n * C);
  const std::vector<float> bias = fetched(machine, w.dt_bias.value.data(), C);
  const std::vector<float> rate = fetched(machine, w.a.value.data(), C * K);  // [channel, key]
  double sum = 0;
  for (index_t t = 0; t < n; ++t)
    for (index_t c = 0; c < C; ++c) {
      const double delta = std::log1p(std::exp(double(steps[std::size_t(t * C + c)]) + double(bias[std::size_t(c)])));
      for (index_t k = 0; k < K; ++k) sum += std::exp(delta * double(rate[std::size_t(c * K + k)]));
    }
  return float(sum / double(n * C * K));
}

/// Bytes of workspace of a network for one picture.
template <class E, class Net, class On> std::size_t scratch_bytes(const Net& net, const On& on) {
  if constexpr (std::is_same_v<Net, sextant::models::vim>) return sextant::models::workspace_bytes<E>(net, on, 1);
  else return sextant::models::workspace_bytes<E>(net, on, 1, picture_side, picture_side);
}

/// Scores of a network on the four-stage skeleton, its last tokens' norms and its gates.
template <class Machine, class Design, class On, class E>
sextant::status scores(const Machine& machine, const sextant::models::vision<Design>& net, const On& on,
                       const sextant::models::vision_weights<Design, E>& w,
                       const sextant::blocks::image<const E>& picture, const sextant::blocks::rows<E>& logits,
                       answer& found) {
  using namespace sextant;
  const auto observe = [&](int stage, index_t block, const blocks::rows<E>& x, const blocks::picture_sizes& p) {
    const auto& layers = w.layers.stage[stage].layers;
    if constexpr (std::is_same_v<typename Design::forget_type, forget::selective>)
      if (block + 1 < layers.size()) found.gates.push_back(mean_gate(machine, layers[block + 1], x));
    if (stage == 3 && block + 1 == layers.size()) {
      const index_t C = x.extent(1);
      const std::vector<float> last = fetched(machine, x.data(), p.tokens() * C);
      found.height = p.height, found.width = p.width;
      for (index_t t = 0; t < p.tokens(); ++t) {
        double square = 0;
        for (index_t c = 0; c < C; ++c)
          square += double(last[std::size_t(t * C + c)]) * double(last[std::size_t(t * C + c)]);
        found.norms.push_back(float(std::sqrt(square)));
      }
    }
    return status{};
  };
  return forward(net, on, w, picture, logits, observe);
}
/// Scores of any other network.
template <class Machine, class Net, class On, class Weights, class E>
sextant::status scores(const Machine&, const Net& net, const On& on, const Weights& w,
                       const sextant::blocks::image<const E>& picture, const sextant::blocks::rows<E>& logits,
                       answer&) {
  return forward(net, on, w, picture, logits);
}

/// One network; what fails throws, or is the answer's error.
template <class E, class Machine, class Net>
void run_network(const Machine& machine, const Net& net, const request& what, std::span<const float> picture,
                 answer& found) {
  using namespace sextant;
  auto weights = net.template weights<E>();
  typename Machine::memory kept;
  found.error = what.weights.empty()
                    ? ablation::begin_weights(machine, weights, kept, 2024)
                    : ablation::fill_weights(machine, weights, kept, [&](std::span<std::byte> memory) {
                        return blocks::load(weights, memory, what.weights);
                      });
  if (!found.error.empty()) return;
  const std::vector<E> pixels(picture.begin(), picture.end());
  const auto in = machine.take(pixels.size() * sizeof(E)),
             out = machine.take(std::size_t(net.sizes.classes) * sizeof(E));
  machine.send(in.data(), pixels.data(), in.size());
  const auto scratch = machine.take(scratch_bytes<E>(net, machine.on()));
  const blocks::image<const E> view(reinterpret_cast<const E*>(in.data()), {1, picture_side, picture_side, 3});
  const blocks::rows<E> logits(reinterpret_cast<E*>(out.data()), {1, net.sizes.classes});
  const status done = scores(machine, net, machine.on(scratch), weights, view, logits, found);
  if (!done) found.error = done.what;
  else found.scores = fetched(machine, logits.data(), net.sizes.classes);
}

/// run() with tokens of type E.
template <class E, class Machine>
answer run_on(const Machine& machine, const request& what, std::span<const float> picture) {
  answer found;
  each_model([&](const char* name, const auto& net) {
    if (what.model == name) run_network<E>(machine, net, what, picture, found);
  });
  return found;
}

}  // namespace classify
