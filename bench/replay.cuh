// SPDX-License-Identifier: Apache-2.0
/// @file  Calls of a CUDA graph, timed by two events around their replay.
#pragma once

#include <algorithm>  // sort
#include <cstddef>    // size_t
#include <stdexcept>  // runtime_error
#include <vector>     // vector

#include <cuda_runtime.h>

namespace sextant::bench {

/// Throws the driver's sentence where CUDA fails.
inline void must(cudaError_t answer) {
  if (answer != cudaSuccess) throw std::runtime_error(cudaGetErrorString(answer));
}

/// call(i, stream) for i = 0, 1, ..., count - 1, captured once; what the host does for a call is not in its time.
class replay {
 public:
  template <class Call> replay(int count, const Call& call) : count_{count} {
    must(cudaStreamCreateWithFlags(&made_.stream, cudaStreamNonBlocking));
    must(cudaEventCreate(&made_.start));
    must(cudaEventCreate(&made_.stop));
    must(cudaStreamBeginCapture(made_.stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < count; ++i) call(i, made_.stream);
    must(cudaStreamEndCapture(made_.stream, &made_.graph));
    must(cudaGraphInstantiate(&made_.runnable, made_.graph, 0));
    must(cudaGraphUpload(made_.runnable, made_.stream));
    must(cudaGraphGetNodes(made_.graph, nullptr, &nodes_));
  }
  /// What one call put into the graph: kernels, copies and fills.
  double launches() const { return double(nodes_) / count_; }
  /// Milliseconds of one call, the mean of one replay.
  double ms() const {
    float all = 0;
    must(cudaEventRecord(made_.start, made_.stream));
    must(cudaGraphLaunch(made_.runnable, made_.stream));
    must(cudaEventRecord(made_.stop, made_.stream));
    must(cudaEventSynchronize(made_.stop));
    must(cudaEventElapsedTime(&all, made_.start, made_.stop));
    return double(all) / count_;
  }
  /// The times of several replays, sorted, after some that warm up: at most so many, and 3 or more of them while all
  /// together take less than most_ms.
  std::vector<double> sorted_ms(int warm_up, int most, double most_ms = 1e9) const {
    for (int i = 0; i < warm_up; ++i) (void)ms();
    std::vector<double> times;
    for (double spent = 0; int(times.size()) < most && (times.size() < 3 || spent < most_ms);) {
      times.push_back(ms());
      spent += times.back() * count_;
    }
    std::sort(times.begin(), times.end());
    return times;
  }

 private:
  /// What CUDA made, let go of also where a call throws while it is captured.
  struct handles {
    cudaStream_t stream = nullptr;
    cudaEvent_t start = nullptr, stop = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t runnable = nullptr;

    handles() = default;
    handles(const handles&) = delete;
    handles& operator=(const handles&) = delete;
    ~handles() {
      if (runnable != nullptr) cudaGraphExecDestroy(runnable);
      if (graph != nullptr) cudaGraphDestroy(graph);
      if (start != nullptr) cudaEventDestroy(start);
      if (stop != nullptr) cudaEventDestroy(stop);
      if (stream != nullptr) cudaStreamDestroy(stream);
    }
  };
  int count_;
  std::size_t nodes_ = 0;
  handles made_;
};

}  // namespace sextant::bench
