// SPDX-License-Identifier: Apache-2.0
/// @file  Whole networks on a GPU in bfloat16: MILA-T, the ablation's baseline and its row with a forget gate; pictures a second.
#include <benchmark/benchmark.h>

#include <string>     // string, to_string
#include <vector>     // vector

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/blocks/initialise.hpp>
#include <sextant/cuda/forward.cuh>
#include <sextant/models/vision.hpp>

#include "gpu_name.cuh"
#include "replay.cuh"

namespace sextant::bench {

/// Memory of the device, freed at the end.
class device_bytes {
 public:
  explicit device_bytes(std::size_t bytes) : bytes_{bytes} { must(cudaMalloc(&data_, bytes)); }
  device_bytes(const device_bytes&) = delete;
  device_bytes& operator=(const device_bytes&) = delete;
  ~device_bytes() { cudaFree(data_); }
  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::size_t size() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

/// cuBLASLt for all networks; 16 MB suffice it.
struct all_products {
  device_bytes memory{std::size_t(16) << 20};
  cublasLtHandle_t handle = nullptr;
  gpu::matrix_products table{(cublasLtCreate(&handle), handle), {memory.data(), memory.size()}};
  static all_products& get() {
    static all_products its;
    return its;
  }
};

/// One network with seeded weights on B pictures of side x side, its products tuned, replayed from a graph.
template <class Design>
void time_network(benchmark::State& state, const models::vision<Design>& net, index_t B, index_t side) {
  using E = bfloat16;
  try {
    all_products& its = all_products::get();
    auto w = net.template weights<E>();
    std::vector<std::byte> host(blocks::bytes(w) + blocks::tensor_alignment);
    const std::size_t first =
        blocks::tensor_alignment - reinterpret_cast<std::uintptr_t>(host.data()) % blocks::tensor_alignment;
    if (const status done = blocks::initialise(w, std::span(host).subspan(first), 7); !done)
      throw std::runtime_error(done.what);
    const device_bytes weights(blocks::bytes(w)), picture(std::size_t(B * side * side * 3) * sizeof(E)),
        logits(std::size_t(B * net.sizes.classes) * sizeof(E)),
        memory(models::workspace_bytes<E>(net, gpu::block_stream({}, its.table), B, side, side));
    must(cudaMemcpy(weights.data(), host.data() + first, weights.size(), cudaMemcpyHostToDevice));
    blocks::bind(w, weights.data());
    std::vector<E> pixels(picture.size() / sizeof(E));
    unsigned random = 1;
    for (E& e : pixels) e = E(float(int((random = random * 1664525u + 1013904223u) >> 8) - (1 << 23)) * 0x1p-22f);
    must(cudaMemcpy(picture.data(), pixels.data(), picture.size(), cudaMemcpyHostToDevice));
    const auto one = [&](int, cudaStream_t on) {
      const gpu::block_stream its_stream({.memory = {memory.data(), memory.size()}, .handle = on}, its.table);
      const status done = forward(
          net, its_stream, w, blocks::image<const E>(reinterpret_cast<const E*>(picture.data()), {B, side, side, 3}),
          blocks::rows<E>(reinterpret_cast<E*>(logits.data()), {B, net.sizes.classes}));
      if (!done) throw std::runtime_error(done.what);
    };
    its.table.tune(true);
    one(0, nullptr);
    its.table.tune(false);
    must(cudaDeviceSynchronize());
    const replay many(1, one);
    std::vector<double> times;
    for (auto _ : state) {
      times = many.sorted_ms(3, 25);
      state.SetIterationTime(times[times.size() / 2] * 1e-3);
    }
    state.counters["images"] = 1e3 * double(B) / times[times.size() / 2];
    state.counters["best_ms"] = times.front();
    state.counters["memory_mb"] =
        double(weights.size() + picture.size() + logits.size() + memory.size() + its.memory.size()) * 1e-6;
    state.counters["flops"] = 2.0 * double(B * macs(net, side, side).total());
  } catch (const std::runtime_error& error) {
    state.SkipWithError(error.what());
    (void)cudaGetLastError();
  }
}

template <class Design>
void add_network(const char* name, const models::vision<Design>& net, index_t B, index_t side = 224) {
  benchmark::RegisterBenchmark((std::string(name) + "/bf16/B" + std::to_string(B) + "/" + std::to_string(side)).c_str(),
                               [=](benchmark::State& state) { time_network(state, net, B, side); })
      ->Unit(benchmark::kMillisecond)
      ->UseManualTime()
      ->Iterations(1);
}

static const bool registered = [] {
  const auto forget_gate = models::linear_swin_t.with(forget::selective{}, order::causal{}, norm::sum_undecayed{});
  for (const index_t B : {1, 128}) {
    add_network("mila_t", models::mila_t, B);
    add_network("linear_swin_t", models::linear_swin_t, B);
    add_network("linear_swin_t + forget gate", forget_gate, B);
  }
  for (const index_t side : {448, 1024, 2048}) add_network("mila_t", models::mila_t, 1, side);
  return true;
}();

}  // namespace sextant::bench
