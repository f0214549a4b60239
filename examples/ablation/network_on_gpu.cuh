// SPDX-License-Identifier: Apache-2.0
/// @file  The networks on a GPU, for tokens of any type.
#pragma once

#include <stdexcept>  // runtime_error
#include <string>     // string

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/blocks/initialise.hpp>
#include <sextant/cuda/forward.cuh>
#include <sextant/design/name.hpp>

#include "gpu_machine.cuh"
#include "machine_weights.hpp"
#include "measure.hpp"
#include "network_gpu.hpp"
#include "replayed.cuh"
#include "tokens.hpp"

namespace ablation {

template <class E, class Net>
void run_network_on_gpu(const gpu_machine& gpu, const Net& net, const network_request& what,
                        std::span<const float> picture, network_result& r) {
  using namespace sextant;
  const index_t B = index_t(what.batch), side = picture_side, classes = net.sizes.classes;
  auto weights = net.template weights<E>();
  device_memory of_weights;
  if (const std::string error = begin_weights(gpu, weights, of_weights, network_seed); !error.empty())
    throw std::runtime_error(error);

  std::vector<E> pictures;
  for (index_t b = 0; b < B; ++b)
    for (const float x : picture) pictures.push_back(E(x));
  std::vector<E> logits(std::size_t(B * classes));
  const device_memory in(pictures.size() * sizeof(E)), out(logits.size() * sizeof(E));
  gpu.send(in.data(), pictures.data(), in.size());
  const device_memory scratch(models::workspace_bytes<E>(net, gpu.on(), B, side, side));
  const auto on = gpu.on(scratch);
  status done;
  const auto call = [&] {
    done = forward(net, on, weights, blocks::image<const E>(reinterpret_cast<const E*>(in.data()), {B, side, side, 3}),
                   blocks::rows<E>(reinterpret_cast<E*>(out.data()), {B, classes}));
    return bool(done);
  };
  if (!call()) throw std::runtime_error(done.what);
  gpu.wait();
  const replayed replay(gpu.stream(), call);
  std::vector<double> times;
  (void)replay.ms();
  for (int i = 0; i < what.repeat; ++i) times.push_back(replay.ms());
  gpu.fetch(logits.data(), out.data(), out.size());
  r.design = name(net.design);
  r.params = models::parameters(net);
  r.macs = models::macs(net, side, side).total();
  r.workspace_mb = double(scratch.size()) / 1e6;
  r.median_ms = median(times);
  r.images_per_s = double(B) / r.median_ms * 1e3;
  for (index_t c = 0; c < classes; ++c) r.scores.push_back(double(logits[std::size_t(c)]));
}

/// run_networks() on the GPU.
template <class E>
network_results run_networks_of(const network_request& what, std::span<const float> picture,
                                const std::function<void(const char*)>& say) {
  network_results all;
  double baseline_speed = 0;
  try {
    const gpu_machine gpu;
    for_each_network([&](const network_row& row, const auto& net) {
      const bool wanted = what.wanted[std::size_t(&row - network_rows)], is_baseline = &row == network_rows;
      if (!all.error.empty() || (!wanted && !is_baseline)) return;
      say(row.name);
      network_result r;
      r.row = &row;
      try {
        run_network_on_gpu<E>(gpu, net, what, picture, r);
      } catch (const std::exception& e) {
        all.error = std::string(row.name) + ": " + e.what();
        return;
      }
      if (is_baseline) baseline_speed = r.images_per_s;
      r.relative_speed = baseline_speed > 0 ? r.images_per_s / baseline_speed : 0;
      if (wanted) all.rows.push_back(r);
    });
  } catch (const std::exception& e) {
    all.error = e.what();
  }
  return all;
}

}  // namespace ablation
