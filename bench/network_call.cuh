// SPDX-License-Identifier: Apache-2.0
/// @file  A network in a GPU's memory with seeded weights, and its call, tuned once and replayed from a graph.
#pragma once

#include <benchmark/benchmark.h>

#include <string>   // string
#include <utility>  // exchange
#include <vector>   // vector

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/blocks/initialise.hpp>
#include <sextant/cuda/forward.cuh>

#include "gpu_name.cuh"
#include "timed.cuh"

namespace sextant::bench {

/// Memory of the device, freed at the end.
class device_bytes {
 public:
  explicit device_bytes(std::size_t bytes) : bytes_{bytes} { must(cudaMalloc(&data_, bytes)); }
  device_bytes(device_bytes&& other) noexcept : data_{std::exchange(other.data_, nullptr)}, bytes_{other.bytes_} {}
  device_bytes& operator=(device_bytes&&) = delete;
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

/// Binds a network's weights to memory of the device and fills them as the papers' code begins.
template <class Weights> device_bytes begun(Weights& w) {
  std::vector<std::byte> host(blocks::bytes(w) + blocks::tensor_alignment);
  const std::size_t first =
      blocks::tensor_alignment - reinterpret_cast<std::uintptr_t>(host.data()) % blocks::tensor_alignment;
  if (const status done = blocks::initialise(w, std::span(host).subspan(first), 7); !done)
    throw std::runtime_error(done.what);
  device_bytes weights(blocks::bytes(w));
  must(cudaMemcpy(weights.data(), host.data() + first, weights.size(), cudaMemcpyHostToDevice));
  blocks::bind(w, weights.data());
  return weights;
}

/// Times call(backend): its products tuned, then, after begin(), replays of a graph of it, `count` calls to a replay. The median
/// in milliseconds; sets the iteration's time and the counters best_ms and launches.
template <class Call, class Begin>
double time_call(benchmark::State& state, const device_bytes& memory, int count, const Call& call, const Begin& begin) {
  all_products& its = all_products::get();
  const auto one = [&](int, cudaStream_t on) {
    if (const status done =
            call(gpu::block_stream({.memory = {memory.data(), memory.size()}, .handle = on}, its.table));
        !done)
      throw std::runtime_error(done.what);
  };
  its.table.tune(true);
  one(0, nullptr);
  its.table.tune(false);
  begin();
  must(cudaDeviceSynchronize());
  const replay many(count, one);
  std::vector<double> times;
  for (auto _ : state) {
    times = many.sorted_ms(3, 25, 400);
    state.SetIterationTime(times[times.size() / 2] * 1e-3);
  }
  state.counters["best_ms"] = times.front();
  state.counters["launches"] = many.launches();
  return times[times.size() / 2];
}

}  // namespace sextant::bench
