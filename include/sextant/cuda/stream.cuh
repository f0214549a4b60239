// SPDX-License-Identifier: Apache-2.0
/// @file  The GPU backend: a CUDA stream, and the memory of the device that calls on it may scribble on.
#pragma once

#include <cuda_runtime_api.h>  // cudaStream_t

#include <sextant/workspace.hpp>

namespace sextant::gpu {

/// Calls are enqueued on `handle` and return at once; errors that only the kernel can find are the stream's. All tensors,
/// `offsets` included, lie in memory of the device: offsets are not checked there but clamped to [0, T], so that bad ones
/// give useless numbers and touch nothing else. Nothing is allocated, nothing synchronised: every call can be captured in
/// a CUDA graph. The same call on the same GPU gives the same bits every time.
struct stream {
  static constexpr const char* name = "gpu::stream";
  sextant::workspace memory{};  ///< of the device, aligned to 256 bytes, as cudaMalloc gives it
  cudaStream_t handle = nullptr;
};

}  // namespace sextant::gpu
