// SPDX-License-Identifier: Apache-2.0
/// @file  The networks on a GPU, for tokens of any type.
#pragma once

#include <cublasLt.h>

#include <memory>     // align, make_unique
#include <stdexcept>  // runtime_error

#include <sextant/blocks/cuda/operations.cuh>
#include <sextant/blocks/initialise.hpp>
#include <sextant/cuda/forward.cuh>
#include <sextant/design/name.hpp>

#include "device_copy.cuh"
#include "measure.hpp"
#include "network_gpu.hpp"
#include "tokens.hpp"

namespace ablation {

/// What all networks share on the GPU: a stream, cuBLASLt's handle, and its memory.
struct gpu_machine {
  static constexpr std::size_t scratch_bytes = std::size_t(32) << 20;

  cudaStream_t stream = nullptr;
  cublasLtHandle_t handle = nullptr;
  device_memory scratch{scratch_bytes};

  gpu_machine() {
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    if (cublasLtCreate(&handle) != CUBLAS_STATUS_SUCCESS) throw std::runtime_error("cuBLASLt cannot be started");
  }
  gpu_machine(const gpu_machine&) = delete;
  gpu_machine& operator=(const gpu_machine&) = delete;
  ~gpu_machine() {
    if (handle != nullptr) cublasLtDestroy(handle);
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
};

/// A call on a stream, captured once and replayed.
class replayed {
 public:
  template <class Call> replayed(cudaStream_t on, const Call& call) : stream_{on} {
    cudaGraph_t graph = nullptr;
    must(cudaStreamBeginCapture(on, cudaStreamCaptureModeThreadLocal));
    const bool done = call();
    must(cudaStreamEndCapture(on, &graph));
    if (!done) throw std::runtime_error("the network cannot be captured in a graph");
    must(cudaGraphInstantiate(&graph_, graph, 0));
    must(cudaGraphDestroy(graph));
    must(cudaEventCreate(&start_));
    must(cudaEventCreate(&stop_));
  }
  replayed(const replayed&) = delete;
  replayed& operator=(const replayed&) = delete;
  ~replayed() { cudaGraphExecDestroy(graph_), cudaEventDestroy(start_), cudaEventDestroy(stop_); }
  /// Milliseconds of one replay.
  double operator()() const {
    float ms = 0;
    must(cudaEventRecord(start_, stream_));
    must(cudaGraphLaunch(graph_, stream_));
    must(cudaEventRecord(stop_, stream_));
    must(cudaEventSynchronize(stop_));
    must(cudaEventElapsedTime(&ms, start_, stop_));
    return double(ms);
  }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

template <class E, class Net>
void run_network_on_gpu(gpu_machine& gpu, const Net& net, const network_request& what, std::span<const float> picture,
                        network_result& r) {
  using namespace sextant;
  const index_t B = index_t(what.batch), side = picture_side, classes = net.sizes.classes;
  auto weights = net.template weights<E>();
  const std::size_t bytes = blocks::bytes(weights);
  std::vector<std::byte> host(bytes + blocks::tensor_alignment);
  void* first = host.data();
  std::size_t room = host.size();
  std::byte* const at = static_cast<std::byte*>(std::align(blocks::tensor_alignment, bytes, first, room));
  if (const status begun = blocks::initialise(weights, {at, bytes}, network_seed); !begun)
    throw std::runtime_error(begun.what);
  const device_memory of_weights(bytes);
  must(cudaMemcpy(of_weights.data(), at, bytes, cudaMemcpyHostToDevice));
  blocks::bind(weights, of_weights.data());

  std::vector<E> pictures;
  for (index_t b = 0; b < B; ++b)
    for (const float x : picture) pictures.push_back(E(x));
  std::vector<E> logits(std::size_t(B * classes));
  const device_memory in(pictures.size() * sizeof(E)), out(logits.size() * sizeof(E));
  must(cudaMemcpy(in.data(), pictures.data(), pictures.size() * sizeof(E), cudaMemcpyHostToDevice));
  const auto products =
      std::make_unique<gpu::matrix_products>(gpu.handle, workspace(gpu.scratch.data(), gpu_machine::scratch_bytes));
  const std::size_t scratch_bytes = models::workspace_bytes<E>(net, gpu::block_stream({}, *products), B, side, side);
  const device_memory scratch(scratch_bytes);
  const gpu::block_stream on({.memory = {scratch.data(), scratch_bytes}, .handle = gpu.stream}, *products);
  status done;
  const auto call = [&] {
    done = forward(net, on, weights, blocks::image<const E>(reinterpret_cast<const E*>(in.data()), {B, side, side, 3}),
                   blocks::rows<E>(reinterpret_cast<E*>(out.data()), {B, classes}));
    return bool(done);
  };
  must(cudaDeviceSynchronize());  // the copies are another stream's work
  if (!call()) throw std::runtime_error(done.what);
  must(cudaStreamSynchronize(gpu.stream));
  const replayed replay(gpu.stream, call);
  std::vector<double> times;
  (void)replay();
  for (int i = 0; i < what.repeat; ++i) times.push_back(replay());
  must(cudaMemcpy(logits.data(), out.data(), logits.size() * sizeof(E), cudaMemcpyDeviceToHost));
  r.design = name(net.design);
  r.params = models::parameters(net);
  r.macs = models::macs(net, side, side).total();
  r.workspace_mb = double(scratch_bytes) / 1e6;
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
    gpu_machine gpu;
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
