// SPDX-License-Identifier: Apache-2.0
/// @file  In place of the CUDA runtime: the functions of it that the library's host code calls.
#include "imagined_gpu/gpu.hpp"

#include <cuda.h>  // CUtensorMap

#include <cstring>  // memset
#include <map>      // map

namespace sextant::test {

imagined_gpu& the_gpu() {
  static imagined_gpu gpu;
  return gpu;
}

namespace {

struct known_kernel {
  std::string name;
  int dynamic_bytes = 48 * 1024;  ///< that it may have
};
// Kernels are made known before main(): by whichever file comes first.
std::map<const void*, known_kernel>& kernels() {
  static std::map<const void*, known_kernel> all;
  return all;
}

cudaError_t write_down(const void* kernel, dim3 blocks, dim3 threads, std::size_t shared_bytes, unsigned together = 1) {
  const known_kernel& its = kernels()[kernel];
  launched one{its.name, blocks, threads, shared_bytes};
  const auto fills = [](dim3 of) { return of.x > 0 && of.y > 0 && of.z > 0; };
  one.possible = fills(blocks) && fills(threads) && blocks.x < 1u << 31 && blocks.y < 1u << 16 && blocks.z < 1u << 16 &&
                 threads.x * threads.y * threads.z <= 1024 && shared_bytes <= std::size_t(its.dynamic_bytes) &&
                 blocks.x % together == 0;
  the_gpu().launches.push_back(one);
  return one.possible ? cudaSuccess : cudaErrorInvalidConfiguration;
}

CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType, cuuint32_t rank, void* at, const cuuint64_t* extents,
                      const cuuint64_t* strides, const cuuint32_t* box, const cuuint32_t*, CUtensorMapInterleave,
                      CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  std::memset(map, 0, sizeof(*map));
  bool fits = at != nullptr && reinterpret_cast<std::uintptr_t>(at) % 16 == 0;
  for (cuuint32_t r = 0; r < rank; ++r)
    fits = fits && extents[r] >= 1 && extents[r] <= cuuint64_t(1) << 32 && box[r] >= 1 && box[r] <= 256;
  for (cuuint32_t r = 0; r + 1 < rank; ++r) fits = fits && strides[r] % 16 == 0 && strides[r] < cuuint64_t(1) << 40;
  return fits ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace
}  // namespace sextant::test

using namespace sextant::test;

extern "C" {

cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  const imagined_gpu& gpu = the_gpu();
  switch (which) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = gpu.major;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = gpu.multiprocessors;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = gpu.shared_of_block;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = gpu.shared_of_multiprocessor;
      break;
    default:
      return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t) { return "an imagined error"; }

/// Kernels have the registers of one that has a body, and its static shared memory if their code is for Hopper.
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* its, const void* kernel) {
  *its = {};
  its->binaryVersion = its->ptxVersion = the_gpu().code;
  its->numRegs = 128, its->sharedSizeBytes = the_gpu().code >= 90 ? 16 : 0, its->maxThreadsPerBlock = 1024;
  its->maxDynamicSharedSizeBytes = kernels()[kernel].dynamic_bytes;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute which, int value) {
  if (which != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value + 16 > the_gpu().shared_of_block)
    return cudaErrorInvalidValue;
  return kernels()[kernel].dynamic_bytes = value, cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* how, const void* kernel, void**) {
  unsigned together = 1;
  for (unsigned i = 0; i < how->numAttrs; ++i)
    if (how->attrs[i].id == cudaLaunchAttributeClusterDimension) together = how->attrs[i].val.clusterDim.x;
  return write_down(kernel, how->gridDim, how->blockDim, how->dynamicSmemBytes, together);
}
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  *function = reinterpret_cast<void*>(&encode_tiled), *found = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

// What nvcc's host code calls before main() and where a kernel is called as a function.
void** __cudaRegisterFatBinary(void*) {
  static void* none = nullptr;
  return &none;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* kernel, char*, const char* name, int, void*, void*, void*, void*,
                            int*) {
  kernels()[kernel].name = name;
}
cudaError_t __cudaGetKernel(cudaKernel_t* handle, const void* kernel) {
  return *handle = static_cast<cudaKernel_t>(const_cast<void*>(kernel)), cudaSuccess;
}
unsigned __cudaPushCallConfiguration(dim3, dim3, std::size_t, void*) { return 1; }
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void*) { return cudaErrorInvalidConfiguration; }
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, std::size_t, void*) {
  return cudaErrorInvalidConfiguration;
}
cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, std::size_t, cudaStream_t) {
  return cudaErrorInvalidConfiguration;
}

}  // extern "C"
