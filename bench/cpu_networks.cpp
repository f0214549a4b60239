// SPDX-License-Identifier: Apache-2.0
/// @file  Whole networks on the CPU in float: MILA-T and the ablation's baseline on one picture. bench/cpu_networks.py times
/// PyTorch's in the same run, call by call as here.
#include <benchmark/benchmark.h>

#include <algorithm>  // sort
#include <chrono>     // steady_clock
#include <cstdint>    // uintptr_t
#include <span>       // span
#include <string>     // string, to_string
#include <vector>     // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/initialise.hpp>
#include <sextant/models/vision.hpp>
#include <sextant/sextant.hpp>

namespace sextant::bench {

/// One network with seeded weights on B pictures of side x side; counters have the best and the median call, in milliseconds.
template <class Design>
void time_network(benchmark::State& state, const models::vision<Design>& net, index_t B, index_t side) {
  auto w = net.template weights<float>();
  std::vector<std::byte> weights(blocks::bytes(w) + blocks::tensor_alignment);
  const std::size_t first =
      blocks::tensor_alignment - reinterpret_cast<std::uintptr_t>(weights.data()) % blocks::tensor_alignment;
  if (const status done = blocks::initialise(w, std::span(weights).subspan(first), 7); !done)
    return state.SkipWithError(done.what);
  std::vector<float> picture(std::size_t(B * side * side * 3)), logits(std::size_t(B * net.sizes.classes));
  unsigned random = 1;
  for (float& x : picture) x = float(int((random = random * 1664525u + 1013904223u) >> 8) - (1 << 23)) * 0x1p-22f;
  cpu::parallel on;
  std::vector<std::byte> memory(models::workspace_bytes<float>(net, on, B, side, side));
  on.memory = memory;
  std::vector<double> times;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    if (const status done =
            forward(net, on, w, {picture.data(), {B, side, side, 3}}, {logits.data(), {B, net.sizes.classes}});
        !done)
      return state.SkipWithError(done.what);
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  state.counters["best_ms"] = times.front();
  state.counters["median_ms"] = times[times.size() / 2];
  state.counters["workspace"] = double(memory.size());
  state.counters["flops"] = benchmark::Counter(2.0 * double(B * macs(net, side, side).total()),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

template <class Design> void add_network(const char* name, const models::vision<Design>& net, index_t B, index_t side) {
  benchmark::RegisterBenchmark((std::string(name) + "/fp32/B" + std::to_string(B) + "/" + std::to_string(side)).c_str(),
                               [=](benchmark::State& state) { time_network(state, net, B, side); })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

static const bool registered = [] {
  add_network("mila_t", models::mila_t, 1, 224);
  add_network("linear_swin_t", models::linear_swin_t, 1, 224);
  return true;
}();

}  // namespace sextant::bench
