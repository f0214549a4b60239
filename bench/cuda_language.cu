// SPDX-License-Identifier: Apache-2.0
/// @file  Language models on a GPU in bfloat16: prefill of long prompts, and decode, one token of each sequence to a call.
#include <sextant/models/language.hpp>

#include "network_call.cuh"

namespace sextant::bench {

/// A model with seeded weights on B sequences of T tokens that continue from their states; T = 1: decode. A replay of decode is
/// 16 tokens of each sequence.
template <class Net> void time_language(benchmark::State& state, const Net& net, index_t B, index_t T) {
  using E = bfloat16;
  all_products& its = all_products::get();
  auto w = net.template weights<E>();
  const index_t V = net.sizes.vocabulary;
  const device_bytes weights = begun(w), ids(std::size_t(B * T) * sizeof(std::int32_t)),
                     logits(std::size_t(B * V) * sizeof(E)), past(models::state_bytes<E>(net, B)),
                     memory(models::workspace_bytes<E>(net, gpu::block_stream({}, its.table), B, T));
  std::vector<std::int32_t> tokens(std::size_t(B * T));
  unsigned random = 1;
  for (std::int32_t& e : tokens) e = std::int32_t((random = random * 1664525u + 1013904223u) >> 8) % std::int32_t(V);
  must(cudaMemcpy(ids.data(), tokens.data(), ids.size(), cudaMemcpyHostToDevice));
  must(cudaMemset(past.data(), 0, past.size()));
  const int count = T == 1 ? 16 : 1;
  const double ms = time_call(state, memory, count, [&](const gpu::block_stream& on) {
    return forward(net, on, w, {reinterpret_cast<const std::int32_t*>(ids.data()), {B, T}},
                   {reinterpret_cast<E*>(logits.data()), {B, V}}, {past.data()});
  });
  state.counters["tokens_per_s"] = 1e3 * double(B * T) / ms;
  state.counters["memory_mb"] = double(weights.size() + past.size() + memory.size() + its.memory.size()) * 1e-6;
}

template <class Net> void add_language(const char* name, const Net& net, index_t B, index_t T) {
  add_timed(std::string(name) + "/bf16/B" + std::to_string(B) + "/T" + std::to_string(T),
            [=](benchmark::State& state) { time_language(state, net, B, T); });
}

static const bool registered = [] {
  auto moe = models::moe_mamba;
  moe.sizes.capacity_factor = 0;
  const index_t sizes[][2] = {{1, 1}, {128, 1}, {1, 2048}, {8, 2048}};
  for (const auto& [B, T] : sizes) {
    add_language("mamba_130m", models::mamba_130m, B, T);
    add_language("mamba2_130m", models::mamba2_130m, B, T);
    add_language("moe_mamba", moe, B, T);
  }
  return true;
}();

}  // namespace sextant::bench
