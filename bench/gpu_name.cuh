// SPDX-License-Identifier: Apache-2.0
/// @file  Which GPU a program of benchmarks ran on.
#pragma once

#include <benchmark/benchmark.h>
#include <cuda_runtime.h>

namespace sextant::bench {

/// The name of the GPU goes into the results' context.
inline const bool gpu_named = [] {
  cudaDeviceProp gpu{};
  const bool found = cudaGetDeviceProperties(&gpu, 0) == cudaSuccess;
  benchmark::AddCustomContext("gpu", found ? gpu.name : "none");
  (void)cudaGetLastError();
  return found;
}();

}  // namespace sextant::bench
