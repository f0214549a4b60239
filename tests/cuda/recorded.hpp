// SPDX-License-Identifier: Apache-2.0
/// @file  A call in a CUDA graph. Any compiler may include it.
#pragma once

#include <doctest/doctest.h>

#include "cuda/device_memory.hpp"

namespace sextant::test {

/// What a call of a library's function puts on a stream, as a graph.
class recorded {
 public:
  /// call() answers whether it succeeded, which it has to.
  template <class Call> recorded(cudaStream_t stream, const Call& call) : stream_{stream} {
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    CHECK(bool(call()));
    must(cudaStreamEndCapture(stream, &graph_));
    must(cudaGraphInstantiate(&runnable_, graph_, 0));
  }
  recorded(const recorded&) = delete;
  recorded& operator=(const recorded&) = delete;
  ~recorded() {
    cudaGraphExecDestroy(runnable_);
    cudaGraphDestroy(graph_);
  }
  /// Runs it on its stream, and waits.
  void run() const {
    must(cudaGraphLaunch(runnable_, stream_));
    must(cudaStreamSynchronize(stream_));
  }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t runnable_ = nullptr;
};

}  // namespace sextant::test
