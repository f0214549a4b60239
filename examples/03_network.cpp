// SPDX-License-Identifier: Apache-2.0
/// @file  A whole network: MILA-T, an ablation of it in one line, their counts at compile time, and scores on the CPU.
#include <cstdio>  // printf, puts
#include <memory>  // align
#include <vector>  // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/initialise.hpp>
#include <sextant/models/vision.hpp>
#include <sextant/sextant.hpp>

namespace sx = sextant;

constexpr auto network = sx::models::mila_t;
constexpr auto without_lepe = network.with(sx::shortcut::none{});  // an ablation of the whole network
static_assert(parameters(network) == 24'392'200);
static_assert(parameters(network) - parameters(without_lepe) == 10 * (2 * 64 + 4 * 128 + 8 * 256 + 4 * 512));

int main() {
  constexpr sx::index_t B = 1, side = 224;
  auto weights = network.weights<float>();
  std::vector<std::byte> memory(sx::blocks::bytes(weights) + sx::blocks::tensor_alignment);
  void* first = memory.data();
  std::size_t room = memory.size();
  std::align(sx::blocks::tensor_alignment, sx::blocks::bytes(weights), first, room);
  if (!sx::blocks::initialise(weights, {static_cast<std::byte*>(first), room}, 2024)) return 1;

  std::vector<float> picture(B * side * side * 3, 0.5f), logits(1000);
  sx::cpu::parallel on;
  std::vector<std::byte> scratch(sx::models::workspace_bytes<float>(network, on, B, side, side));
  on.memory = scratch;
  const sx::status done =
      forward(network, on, weights, {picture.data(), {B, side, side, 3}}, {logits.data(), {B, 1000}});
  if (!done) return std::puts(done.what), 1;
  const auto work = macs(network, side, side);
  std::printf("%lld parameters, %lld multiply-adds, %.1f MB of workspace; the first score is %.3f\n",
              static_cast<long long>(parameters(network)), static_cast<long long>(work.total()),
              double(scratch.size()) / 1e6, double(logits[0]));
}
