// SPDX-License-Identifier: Apache-2.0
/// @file  The body of run_networks() on the CPU, which each precision instantiates in a file of its own.
#pragma once

#include <chrono>   // steady_clock
#include <cstddef>  // byte, size_t

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/initialise.hpp>
#include <sextant/cpu/instantiate.hpp>
#include <sextant/design/name.hpp>
#include <sextant/sextant.hpp>

#include "measure.hpp"
#include "network_run.hpp"
#include "tokens.hpp"

namespace ablation {

/// Memory that begins at a multiple of the alignment of weights.
struct aligned_bytes {
  std::vector<std::byte> memory;
  explicit aligned_bytes(std::size_t size) : memory(size + sextant::blocks::tensor_alignment) {}
  std::span<std::byte> span() {
    constexpr std::size_t step = sextant::blocks::tensor_alignment;
    const std::size_t past = reinterpret_cast<std::size_t>(memory.data()) % step, before = past > 0 ? step - past : 0;
    return std::span(memory).subspan(before, memory.size() - step);
  }
};

template <class E, class Net>
std::string run_network(const Net& net, const network_request& what, std::span<const float> picture,
                        network_result& r) {
  using namespace sextant;
  const index_t B = what.repeat > 0 ? index_t(what.batch) : 1, side = picture_side;
  auto weights = net.template weights<E>();
  aligned_bytes memory(blocks::bytes(weights));
  if (const status begun = blocks::initialise(weights, memory.span(), network_seed); !begun) return begun.what;
  std::vector<E> pictures;
  for (index_t b = 0; b < B; ++b)
    for (const float x : picture) pictures.push_back(E(x));
  std::vector<E> logits(std::size_t(B * net.sizes.classes));

  cpu::parallel on{{}, what.where == place::cpu_serial ? 1 : 0};
  std::vector<std::byte> scratch(models::workspace_bytes<E>(net, on, B, side, side));
  on.memory = scratch;
  const auto call = [&] {
    return forward(net, on, weights, blocks::image<const E>(pictures.data(), {B, side, side, 3}),
                   blocks::rows<E>(logits.data(), {B, net.sizes.classes}));
  };
  status done = call();
  std::vector<double> times;
  for (int i = 0; i < what.repeat && done; ++i) {
    const auto start = std::chrono::steady_clock::now();
    done = call();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  if (!done) return done.what;
  r.design = name(net.design);
  r.params = models::parameters(net);
  r.macs = models::macs(net, side, side).total();
  r.workspace_mb = double(scratch.size()) / 1e6;
  for (index_t c = 0; c < net.sizes.classes; ++c) r.scores.push_back(double(logits[std::size_t(c)]));
  if (!times.empty()) r.median_ms = median(times), r.images_per_s = double(B) / r.median_ms * 1e3;
  return {};
}

template <class Precision>
network_results run_networks(const network_request& what, std::span<const float> picture,
                             const std::function<void(const char*)>& say) {
  network_results all;
  double baseline_speed = 0;
  for_each_network([&](const network_row& row, const auto& net) {
    const bool wanted = what.wanted[std::size_t(&row - network_rows)], is_baseline = &row == network_rows;
    if (!all.error.empty() || (!wanted && !(is_baseline && what.repeat > 0))) return;
    say(row.name);
    network_result r;
    r.row = &row;
    if (const std::string why = run_network<typename Precision::token>(net, what, picture, r); !why.empty()) {
      all.error = std::string(row.name) + ": " + why;
      return;
    }
    if (is_baseline) baseline_speed = r.images_per_s;
    r.relative_speed = baseline_speed > 0 ? r.images_per_s / baseline_speed : 0;
    if (wanted) all.rows.push_back(r);
  });
  return all;
}

}  // namespace ablation
