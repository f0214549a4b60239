// SPDX-License-Identifier: Apache-2.0
/// @file  Memory of the device that a call may scribble on.
#pragma once

#include <cuda_runtime_api.h>  // cudaMalloc, cudaFree

#include <sextant/cuda/launch.cuh>

namespace evaluate {

/// Calls run(stream) with a workspace of so many bytes and waits for what it has enqueued. Answers what went wrong, in
/// the kernel too.
template <class Run> sextant::status with_workspace(std::size_t bytes, const Run& run) {
  void* memory = nullptr;
  if (bytes > 0)
    if (const auto there = sextant::gpu::as_status(cudaMalloc(&memory, bytes)); !there) return there;
  sextant::status done = run(sextant::gpu::stream{.memory = {static_cast<std::byte*>(memory), bytes}});
  const sextant::status ran = sextant::gpu::as_status(cudaDeviceSynchronize());
  cudaFree(memory);
  return done ? ran : done;
}

}  // namespace evaluate
