// SPDX-License-Identifier: Apache-2.0
#include "which_gpu.hpp"

#include <cuda_runtime_api.h>

std::string ablation::why_no_gpu() {
  int count = 0;
  const cudaError_t answer = cudaGetDeviceCount(&count);
  if (answer == cudaSuccess && count > 0) return "";
  return std::string("no GPU: ") + cudaGetErrorString(answer == cudaSuccess ? cudaErrorNoDevice : answer);
}

std::string ablation::gpu_name() {
  int device = 0;
  cudaDeviceProp properties{};
  if (cudaGetDevice(&device) != cudaSuccess || cudaGetDeviceProperties(&properties, device) != cudaSuccess) return "?";
  return std::string(properties.name) + ", " + std::to_string(properties.multiProcessorCount) + " multiprocessors";
}
