// SPDX-License-Identifier: Apache-2.0
/// @file  A call on a GPU that is captured once.
#pragma once

#include <stdexcept>  // runtime_error

#include "device_memory.hpp"

namespace ablation {

/// A call on a stream, captured once and replayed.
class replayed {
 public:
  template <class Call> replayed(cudaStream_t on, const Call& call) : stream_{on} {
    cudaGraph_t graph = nullptr;
    must(cudaStreamBeginCapture(on, cudaStreamCaptureModeThreadLocal));
    const bool done = call();
    must(cudaStreamEndCapture(on, &graph));
    if (!done) throw std::runtime_error("the call cannot be captured in a graph");
    must(cudaGraphInstantiate(&graph_, graph, 0));
    must(cudaGraphDestroy(graph));
    must(cudaEventCreate(&start_));
    must(cudaEventCreate(&stop_));
  }
  replayed(const replayed&) = delete;
  replayed& operator=(const replayed&) = delete;
  ~replayed() { cudaGraphExecDestroy(graph_), cudaEventDestroy(start_), cudaEventDestroy(stop_); }
  /// Replays it; whatever waits for the stream waits for that.
  void launch() const { must(cudaGraphLaunch(graph_, stream_)); }
  /// Milliseconds of one replay.
  double ms() const {
    float between = 0;
    must(cudaEventRecord(start_, stream_));
    launch();
    must(cudaEventRecord(stop_, stream_));
    must(cudaEventSynchronize(stop_));
    must(cudaEventElapsedTime(&between, start_, stop_));
    return double(between);
  }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

}  // namespace ablation
