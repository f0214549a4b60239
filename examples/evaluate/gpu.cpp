// SPDX-License-Identifier: Apache-2.0
// The GPU, and a call's numbers on their way to its memory and back. Builds without CUDA have no_gpu.cpp instead.
#include "gpu.hpp"

#include <cuda_runtime_api.h>

#include "refusal.hpp"

namespace evaluate {

namespace {

void must(cudaError_t answer) {
  if (answer != cudaSuccess) throw refusal(std::string("--backend cuda: ") + cudaGetErrorString(answer));
}

/// Copies of a call's numbers in the GPU's memory, as long as this lives.
template <class Precision> class copies {
 public:
  explicit copies(call<Precision>& numbers) : numbers_(numbers) {
    try {
      numbers_.each([](auto& block) {
        if (!block.given) return;
        const std::size_t bytes = block.values.size() * sizeof block.values[0];
        void* memory = nullptr;
        must(cudaMalloc(&memory, bytes > 0 ? bytes : 1));
        block.copy = static_cast<decltype(block.copy)>(memory);
        must(cudaMemcpy(memory, block.values.data(), bytes, cudaMemcpyHostToDevice));
      });
    } catch (...) {
      release();
      throw;
    }
  }
  copies(const copies&) = delete;
  copies& operator=(const copies&) = delete;
  ~copies() { release(); }

  /// The results, back to where the files are written from.
  void fetch() {
    numbers_.each_result([](auto& block) {
      if (!block.given) return;
      must(cudaMemcpy(block.values.data(), block.copy, block.values.size() * sizeof block.values[0],
                      cudaMemcpyDeviceToHost));
    });
  }

 private:
  void release() {
    numbers_.each([](auto& block) {
      cudaFree(block.copy);
      block.copy = nullptr;
    });
  }
  call<Precision>& numbers_;
};

}  // namespace

std::string why_no_gpu() {
  int count = 0;
  const cudaError_t answer = cudaGetDeviceCount(&count);
  if (answer == cudaSuccess && count > 0) return "";
  return std::string("no GPU: ") + cudaGetErrorString(answer == cudaSuccess ? cudaErrorNoDevice : answer);
}

template <class Precision> sextant::status run_on_gpu(const options& asked, call<Precision>& numbers) {
  copies<Precision> there(numbers);
  const sextant::status done = asked.design.empty() ? run_switches(asked, numbers) : run_preset_on_gpu(asked, numbers);
  if (done) there.fetch();
  return done;
}

template sextant::status run_on_gpu(const options&, call<sextant::fp32>&);
template sextant::status run_on_gpu(const options&, call<sextant::fp64>&);
template sextant::status run_on_gpu(const options&, call<sextant::bf16>&);
template sextant::status run_on_gpu(const options&, call<sextant::fp16>&);

}  // namespace evaluate
