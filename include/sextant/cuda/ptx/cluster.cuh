// SPDX-License-Identifier: Apache-2.0
/// @file  Blocks of one cluster (sm_90): how many they are, and the barrier that they share.
#pragma once

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
