// SPDX-License-Identifier: Apache-2.0
/// @file  Whole networks of pictures on a GPU in bfloat16: MILA-T, the ablation's baseline and its row with a forget gate, Vim,
///        VMamba; pictures a second.
#include <sextant/models/vim.hpp>
#include <sextant/models/vision.hpp>
#include <sextant/models/vmamba.hpp>

#include "network_call.cuh"

namespace sextant::bench {

template <class E, class Net, class On>
std::size_t scratch_bytes(const Net& net, const On& on, index_t B, index_t side) {
  if constexpr (std::is_same_v<Net, models::vim>) return models::workspace_bytes<E>(net, on, B);
  else return models::workspace_bytes<E>(net, on, B, side, side);
}
template <class Net> index_t multiply_accumulates(const Net& net, index_t side) {
  if constexpr (std::is_same_v<Net, models::vim>) return macs(net).total();
  else return macs(net, side, side).total();
}

/// One network with seeded weights on B pictures of side x side.
template <class Net> void time_network(benchmark::State& state, const Net& net, index_t B, index_t side) {
  using E = bfloat16;
  all_products& its = all_products::get();
  auto w = net.template weights<E>();
  const device_bytes weights = begun(w), picture(std::size_t(B * side * side * 3) * sizeof(E)),
                     logits(std::size_t(B * net.sizes.classes) * sizeof(E)),
                     memory(scratch_bytes<E>(net, gpu::block_stream({}, its.table), B, side));
  std::vector<E> pixels(picture.size() / sizeof(E));
  unsigned random = 1;
  for (E& e : pixels) e = E(float(int((random = random * 1664525u + 1013904223u) >> 8) - (1 << 23)) * 0x1p-22f);
  must(cudaMemcpy(picture.data(), pixels.data(), picture.size(), cudaMemcpyHostToDevice));
  const auto call = [&](const gpu::block_stream& on) {
    return forward(net, on, w, blocks::image<const E>(reinterpret_cast<const E*>(picture.data()), {B, side, side, 3}),
                   blocks::rows<E>(reinterpret_cast<E*>(logits.data()), {B, net.sizes.classes}));
  };
  const double ms = time_call(state, memory, 1, call, [] {});
  state.counters["images"] = 1e3 * double(B) / ms;
  state.counters["memory_mb"] =
      double(weights.size() + picture.size() + logits.size() + memory.size() + its.memory.size()) * 1e-6;
  state.counters["flops"] = 2.0 * double(B * multiply_accumulates(net, side));
}

template <class Net> void add_network(const char* name, const Net& net, index_t B, index_t side = 224) {
  add_timed(std::string(name) + "/bf16/B" + std::to_string(B) + "/" + std::to_string(side),
            [=](benchmark::State& state) { time_network(state, net, B, side); });
}

static const bool registered = [] {
  const auto forget_gate = models::linear_swin_t.with(forget::selective{}, order::causal{}, norm::sum_undecayed{});
  for (const index_t B : {1, 128}) {
    add_network("mila_t", models::mila_t, B);
    add_network("linear_swin_t", models::linear_swin_t, B);
    add_network("linear_swin_t + forget gate", forget_gate, B);
    add_network("vim_t", models::vim_t, B);
    add_network("vim_s", models::vim_s, B);
    add_network("vmamba_t", models::vmamba_t, B);
  }
  // Long pictures: one, and as many as have the pixels of 128 of 224 x 224.
  struct long_pictures {
    index_t batch, side;
  };
  for (const auto& [B, side] : {long_pictures{32, 448}, {14, 672}, {6, 1024}, {2, 1536}, {1, 2048}}) {
    add_network("mila_t", models::mila_t, 1, side);
    if (B > 1) add_network("mila_t", models::mila_t, B, side);
  }
  return true;
}();

}  // namespace sextant::bench
