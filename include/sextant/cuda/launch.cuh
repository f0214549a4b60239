// SPDX-License-Identifier: Apache-2.0
/// @file  Launching a kernel: its answer as a status, and what the device is.
#pragma once

#include <cstddef>  // size_t

#include <cuda_runtime.h>  // cudaLaunchKernelExC and its attributes

#include <sextant/cuda/stream.cuh>
#include <sextant/status.hpp>

namespace sextant::gpu {

/// The driver's answer, in its own words where it is a refusal.
inline status as_status(cudaError_t answer) {
  return answer == cudaSuccess ? status{} : status{errc::launch, cudaGetErrorString(answer)};
}

/// An attribute of the current device; 0 where there is none.
[[gnu::noinline]] inline int device_attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&value, which, device) != cudaSuccess) return 0;
  return value;
}

/// Bytes of shared memory that one block of the current device may have.
[[gnu::noinline]] inline std::size_t shared_bytes_of_block() {
  return std::size_t(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

/// How a launch differs from others: in clusters of so many blocks in x (1: none), or as launch_early() (sm_90).
struct launch_manner {
  unsigned together = 1;
  bool early = false;
};

/// Lets a kernel have so many bytes of dynamic shared memory. A kernel has 48 KB with its static ones unless more is asked
/// for; what is asked for holds for all threads of the host, so all that a block may have is asked for: then no thread takes
/// from another's launch what that one asked for.
[[gnu::noinline]] inline cudaError_t allow_shared(const void* kernel, std::size_t bytes) {
  constexpr std::size_t unasked = 48 * 1024;
  cudaFuncAttributes its{};
  if (const cudaError_t known = cudaFuncGetAttributes(&its, kernel); known != cudaSuccess) return known;
  const std::size_t all = bytes + its.sharedSizeBytes;
  if (all <= unasked || int(bytes) <= its.maxDynamicSharedSizeBytes) return cudaSuccess;
  const std::size_t most = shared_bytes_of_block();
  if (all > most) return cudaErrorInvalidValue;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(most - its.sharedSizeBytes));
}

/// Whether the current device runs code of a kernel that knows early launches.
[[gnu::noinline]] inline bool knows_early_launches(const void* kernel) {
  cudaFuncAttributes its{};
  return CUDART_VERSION >= 12030 &&  // before, no graph takes such an edge
         cudaFuncGetAttributes(&its, kernel) == cudaSuccess && its.binaryVersion >= 90 && its.ptxVersion >= 90;
}

/// Launches kernel<<<blocks, threads, shared_bytes>>> on the stream with the arguments at these addresses, allowing it the
/// shared memory first.
[[gnu::noinline]] inline status launch_at(const void* kernel, launch_manner manner, dim3 blocks, dim3 threads,
                                          std::size_t shared_bytes, cudaStream_t on, const void* const* arguments) {
  if (shared_bytes > 16 * 1024)  // no kernel has 32 KB of static ones
    if (const cudaError_t allowed = allow_shared(kernel, shared_bytes); allowed != cudaSuccess)
      return as_status(allowed);
  cudaLaunchConfig_t how{};
  how.gridDim = blocks;
  how.blockDim = threads;
  how.dynamicSmemBytes = shared_bytes;
  how.stream = on;
  cudaLaunchAttribute attributes[2]{};
  how.attrs = attributes;
  if (manner.together > 1) {
    cudaLaunchAttribute& cluster = attributes[how.numAttrs++];
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = manner.together;
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  }
  if (manner.early && knows_early_launches(kernel)) {
    cudaLaunchAttribute& early = attributes[how.numAttrs++];
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
  }
  return as_status(cudaLaunchKernelExC(&how, kernel, const_cast<void**>(arguments)));
}
/// The same with arguments that become the kernel's parameters.
template <class... Parameters, class... Arguments>
status launch_in(launch_manner manner, void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
                 std::size_t shared_bytes, cudaStream_t on, const Arguments&... arguments) {
  const auto go = [&](const Parameters&... its) {
    const void* const at[] = {&its...};
    return launch_at(reinterpret_cast<const void*>(kernel), manner, blocks, threads, shared_bytes, on, at);
  };
  return go(static_cast<const Parameters&>(arguments)...);
}
/// The same in clusters of `together` blocks.
template <class... Parameters, class... Arguments>
status launch_clusters(unsigned together, void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
                       std::size_t shared_bytes, cudaStream_t on, const Arguments&... arguments) {
  return launch_in({.together = together}, kernel, blocks, threads, shared_bytes, on, arguments...);
}
/// The same early: it may begin while the launch before it on the stream still runs, once that one lets it, and itself waits
/// for what that one writes, see ptx/early_launch.cuh. As others where the kernel's code is of before sm_90.
template <class... Parameters, class... Arguments>
status launch_early(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, std::size_t shared_bytes, cudaStream_t on,
                    const Arguments&... arguments) {
  return launch_in({.early = true}, kernel, blocks, threads, shared_bytes, on, arguments...);
}
/// The same as others.
template <class... Parameters, class... Arguments>
status launch(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, std::size_t shared_bytes, cudaStream_t on,
              const Arguments&... arguments) {
  return launch_in({}, kernel, blocks, threads, shared_bytes, on, arguments...);
}

}  // namespace sextant::gpu
