// SPDX-License-Identifier: Apache-2.0
/// @file  Language models on a GPU in bfloat16: prefill of long prompts, and decode, one token of each sequence to a call.
#include <algorithm>  // min
#include <memory>     // make_shared, unique_ptr

#include <sextant/models/language.hpp>

#include "network_call.cuh"
#include "roofline.hpp"

namespace sextant::bench {

/// A model's seeded weights, made when they are first asked for and kept for all its benchmarks.
template <class Net> struct seeded {
  Net net;
  decltype(std::declval<Net>().template weights<bfloat16>()) w{};
  std::unique_ptr<device_bytes> memory{};

  void make() {
    if (memory) return;
    w = net.template weights<bfloat16>();
    memory = std::make_unique<device_bytes>(begun(w));
  }
};

/// What such a call must do at least: read the weights once, of experts those of as many as there are tokens, and the states, which
/// it writes as well; the products of all tokens, and of the logits of the last ones; Mamba-1's exponentials.
template <class Net> work least_of(const Net& net, double weight_bytes, double state_bytes, index_t B, index_t T) {
  const models::language_sizes& s = net.sizes;
  work least;
  least.bytes = weight_bytes + 2 * state_bytes;
  const index_t idle = s.experts - std::min(s.experts, B * T);
  least.bytes -= double(s.layers * idle * 2 * s.model * s.expert_hidden) * sizeof(bfloat16);
  const double of_logits = double(s.model * s.vocabulary);
  least.flops = 2 * ((double(macs(net).products) - of_logits) * double(B * T) + of_logits * double(B));
  if (models::detail::is_mamba<typename Net::design_type>)
    least.exps = double(B * T) * double(s.layers * s.expand * s.model * (s.state > 0 ? s.state : 16));
  return least;
}

/// A model on B sequences of T tokens that continue from their states; T = 1: decode. A replay of decode is 16 tokens of each
/// sequence.
template <class Net> void time_language(benchmark::State& state, seeded<Net>& model, index_t B, index_t T) {
  using E = bfloat16;
  all_products& its = all_products::get();
  model.make();
  const Net& net = model.net;
  const index_t V = net.sizes.vocabulary;
  const device_bytes ids(std::size_t(B * T) * sizeof(std::int32_t)), logits(std::size_t(B * V) * sizeof(E)),
      past(models::state_bytes<E>(net, B)),
      memory(models::workspace_bytes<E>(net, gpu::block_stream({}, its.table), B, T));
  std::vector<std::int32_t> tokens(std::size_t(B * T));
  unsigned random = 1;
  for (std::int32_t& e : tokens) e = std::int32_t((random = random * 1664525u + 1013904223u) >> 8) % std::int32_t(V);
  must(cudaMemcpy(ids.data(), tokens.data(), ids.size(), cudaMemcpyHostToDevice));
  const auto call = [&](const gpu::block_stream& on) {
    return forward(net, on, model.w, {reinterpret_cast<const std::int32_t*>(ids.data()), {B, T}},
                   {reinterpret_cast<E*>(logits.data()), {B, V}}, {past.data()});
  };
  // What tuning leaves in the state is of no use.
  const double ms =
      time_call(state, memory, T == 1 ? 16 : 1, call, [&past] { must(cudaMemset(past.data(), 0, past.size())); });
  state.counters["tokens_per_s"] = 1e3 * double(B * T) / ms;
  const work least = least_of(net, double(model.memory->size()), double(past.size()), B, T);
  const resource_times floor = times_of(least, h200(least.bytes));
  state.counters["floor_ms"] = floor.floor_ms();
  state.counters["of_floor"] = floor.floor_ms() / ms;
  state.SetLabel(std::string("bound by ") + floor.binds());
  state.counters["memory_mb"] = double(model.memory->size() + past.size() + memory.size() + its.memory.size()) * 1e-6;
}

template <class Net> void add_language(const char* name, const Net& net) {
  const auto model = std::make_shared<seeded<Net>>(seeded<Net>{net});
  const index_t sizes[][2] = {{1, 1}, {128, 1}, {1, 2048}, {8, 2048}};
  for (const auto& [B, T] : sizes)
    add_timed(std::string(name) + "/bf16/B" + std::to_string(B) + "/T" + std::to_string(T),
              [model, b = B, t = T](benchmark::State& state) { time_language(state, *model, b, t); });
}

static const bool registered = [] {
  auto moe = models::moe_mamba;
  moe.sizes.capacity_factor = 0;
  add_language("mamba_130m", models::mamba_130m);
  add_language("mamba2_130m", models::mamba2_130m);
  add_language("moe_mamba", moe);
  return true;
}();

}  // namespace sextant::bench
