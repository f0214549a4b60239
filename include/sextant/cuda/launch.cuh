// SPDX-License-Identifier: Apache-2.0
/// @file  Launching a kernel: its answer as a status, and what the device is.
#pragma once

#include <cuda_runtime.h>  // cudaLaunchKernelExC and its attributes

#include <sextant/cuda/stream.cuh>
#include <sextant/status.hpp>

namespace sextant::gpu {

/// The driver's answer, in its own words where it is a refusal.
inline status as_status(cudaError_t answer) {
  return answer == cudaSuccess ? status{} : status{errc::launch, cudaGetErrorString(answer)};
}

/// An attribute of the current device; 0 where there is none.
inline int device_attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&value, which, device) != cudaSuccess) return 0;
  return value;
}

/// Bytes of shared memory that one block of the current device may have.
inline std::size_t shared_bytes_of_block() {
  return std::size_t(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

/// Launches kernel<<<blocks, threads, shared_bytes>>> on the stream with the arguments at these addresses, allowing it the
/// shared memory first, in clusters of `together` blocks in x (sm_90; 1: none).
[[gnu::noinline]] inline status launch_at(const void* kernel, unsigned together, dim3 blocks, dim3 threads,
                                          std::size_t shared_bytes, cudaStream_t on, const void* const* arguments) {
  if (shared_bytes > 48 * 1024) {
    const cudaError_t allowed =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
    if (allowed != cudaSuccess) return as_status(allowed);
  }
  cudaLaunchConfig_t how{};
  how.gridDim = blocks;
  how.blockDim = threads;
  how.dynamicSmemBytes = shared_bytes;
  how.stream = on;
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = together;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  how.attrs = &cluster;
  how.numAttrs = together > 1 ? 1 : 0;
  return as_status(cudaLaunchKernelExC(&how, kernel, const_cast<void**>(arguments)));
}
/// The same with arguments that become the kernel's parameters.
template <class... Parameters, class... Arguments>
status launch_clusters(unsigned together, void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
                       std::size_t shared_bytes, cudaStream_t on, const Arguments&... arguments) {
  const auto go = [&](const Parameters&... its) {
    const void* const at[] = {&its...};
    return launch_at(reinterpret_cast<const void*>(kernel), together, blocks, threads, shared_bytes, on, at);
  };
  return go(static_cast<const Parameters&>(arguments)...);
}
/// The same without clusters.
template <class... Parameters, class... Arguments>
status launch(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, std::size_t shared_bytes, cudaStream_t on,
              const Arguments&... arguments) {
  return launch_clusters(1, kernel, blocks, threads, shared_bytes, on, arguments...);
}

}  // namespace sextant::gpu
