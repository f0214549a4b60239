// SPDX-License-Identifier: Apache-2.0
/// @file  Calls made one by one from the host, each with an L2 cache that holds nothing of its own.
#pragma once

#include <algorithm>  // sort
#include <cstddef>    // size_t
#include <vector>     // vector

#include <cuda_runtime.h>

#include "replay.cuh"

namespace sextant::bench {

/// Memory written before each call: several times the L2 cache of any GPU of today.
inline constexpr std::size_t overwritten_bytes = 256 << 20;

/// The median milliseconds of calls call(i, stream), i = 0, 1, ..., count - 1, each between two events of its own and behind a
/// fill of 256 MB. The host does not wait for any of them, so what it does for a call shows only where it takes longer than
/// the fill and the call before. Peers' kernels are mostly published with times of this kind; a replay's are shorter.
template <class Call> double cold_ms(int count, const Call& call) {
  struct handles {
    cudaStream_t stream = nullptr;
    void* overwritten = nullptr;
    std::vector<cudaEvent_t> events;

    handles() = default;
    handles(const handles&) = delete;
    handles& operator=(const handles&) = delete;
    ~handles() {
      for (const cudaEvent_t e : events) cudaEventDestroy(e);
      cudaFree(overwritten);
      if (stream != nullptr) cudaStreamDestroy(stream);
    }
  } made;
  must(cudaStreamCreateWithFlags(&made.stream, cudaStreamNonBlocking));
  must(cudaMalloc(&made.overwritten, overwritten_bytes));
  for (int i = 0; i < 2 * count; ++i) {
    made.events.emplace_back();
    must(cudaEventCreate(&made.events.back()));
  }
  for (int i = 0; i < count; ++i) {
    must(cudaMemsetAsync(made.overwritten, 0, overwritten_bytes, made.stream));
    must(cudaEventRecord(made.events[std::size_t(2 * i)], made.stream));
    call(i, made.stream);
    must(cudaEventRecord(made.events[std::size_t(2 * i + 1)], made.stream));
  }
  must(cudaStreamSynchronize(made.stream));
  std::vector<float> times;
  for (std::size_t i = 0; i < made.events.size(); i += 2) {
    times.push_back(0);
    must(cudaEventElapsedTime(&times.back(), made.events[i], made.events[i + 1]));
  }
  std::sort(times.begin(), times.end());
  return double(times[times.size() / 2]);
}

}  // namespace sextant::bench
