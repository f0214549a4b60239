// SPDX-License-Identifier: Apache-2.0
/// @file  A GPU as the examples' networks run on it: a stream, cuBLASLt, memory, and the ways there and back.
#pragma once

#include <cublasLt.h>

#include <memory>     // make_unique, unique_ptr
#include <stdexcept>  // runtime_error

#include <sextant/blocks/cuda/products.cuh>
#include <sextant/status.hpp>

#include "device_memory.hpp"
#include "replayed.cuh"

namespace ablation {

/// A GPU. What fails throws a std::runtime_error.
class gpu_machine {
 public:
  using memory = device_memory;

  gpu_machine() {
    must(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    if (cublasLtCreate(&handle_) != CUBLAS_STATUS_SUCCESS) throw std::runtime_error("cuBLASLt cannot be started");
    products_ =
        std::make_unique<sextant::gpu::matrix_products>(handle_, sextant::workspace(scratch_.data(), scratch_.size()));
  }
  gpu_machine(const gpu_machine&) = delete;
  gpu_machine& operator=(const gpu_machine&) = delete;
  ~gpu_machine() {
    if (handle_ != nullptr) cublasLtDestroy(handle_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  cudaStream_t stream() const { return stream_; }
  /// The backend with no workspace, or with this one.
  sextant::gpu::block_stream on() const { return {{.handle = stream_}, *products_}; }
  sextant::gpu::block_stream on(const memory& workspace) const {
    return {{.memory = {workspace.data(), workspace.size()}, .handle = stream_}, *products_};
  }
  /// Memory full of zeros.
  memory take(std::size_t bytes) const {
    memory taken(bytes);
    must(cudaMemsetAsync(taken.data(), 0, bytes, stream_));
    return taken;
  }
  /// Copies to the GPU, and back; both are over when they return, and so is what the stream did before.
  void send(void* to, const void* from, std::size_t bytes) const {
    must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
    wait();
  }
  void fetch(void* to, const void* from, std::size_t bytes) const {
    must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_));
    wait();
  }
  void wait() const { must(cudaStreamSynchronize(stream_)); }

  /// A call that is made again and again, always on the same memory: from the second time on replayed from a graph.
  class again {
   public:
    template <class Call> sextant::status operator()(const gpu_machine& on, const Call& call) {
      if (!called_) {
        const sextant::status done = call();
        called_ = bool(done);
        return done;
      }
      if (!graph_) graph_ = std::make_unique<replayed>(on.stream(), [&] { return bool(call()); });
      graph_->launch();
      return {};
    }

   private:
    bool called_ = false;
    std::unique_ptr<replayed> graph_;
  };

 private:
  cudaStream_t stream_ = nullptr;
  cublasLtHandle_t handle_ = nullptr;
  memory scratch_{std::size_t(32) << 20};  // cuBLASLt's
  std::unique_ptr<sextant::gpu::matrix_products> products_;
};

}  // namespace ablation
