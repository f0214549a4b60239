// SPDX-License-Identifier: Apache-2.0
/// @file  Blocks of one cluster (sm_90): how many they are, and the barrier that they share.
#pragma once

#include <cstdint>  // uint32_t

#include <sextant/cuda/ptx/async_copy.cuh>  // shared_address

namespace sextant::gpu::ptx {

/// Blocks of this block's cluster in x; 1 where the launch named no cluster, and on GPUs before sm_90.
__device__ __forceinline__ unsigned cluster_blocks() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  unsigned blocks;
  asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(blocks));
  return blocks;
#else
  return 1;
#endif
}
/// Four floats of the shared memory of block number `block` of the cluster, where this block has `mine`; where there are
/// no clusters, its own.
__device__ __forceinline__ float4 load_of_block(const float* mine, unsigned block) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  float4 four;
  std::uint32_t at;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(shared_address(mine)), "r"(block));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(four.x), "=f"(four.y), "=f"(four.z), "=f"(four.w) : "r"(at) : "memory");
  return four;
#else
  return (void)block, *reinterpret_cast<const float4*>(mine);
#endif
}
/// Says that this warp has come here; what it read and wrote before is done for those who wait. By whole warps.
__device__ __forceinline__ void arrive_at_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
/// Waits until every warp of the cluster has come there.
__device__ __forceinline__ void await_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

}  // namespace sextant::gpu::ptx
