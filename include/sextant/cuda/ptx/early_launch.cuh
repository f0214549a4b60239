// SPDX-License-Identifier: Apache-2.0
/// @file  Launches that begin while the one before them on the stream still runs (sm_90), see launch_early().
#pragma once

namespace sextant::gpu::ptx {

/// Lets a launch behind this one begin, if it is an early one, where multiprocessors are free: once all blocks have called
/// this or ended.
__device__ __forceinline__ void let_next_launch_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
/// Waits until the launch before this one has ended, if this is an early one; what it wrote is seen.
__device__ __forceinline__ void wait_for_launch_before() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// Both: for short kernels, which spare the time in which launches begin. All threads, before they read or write memory and
/// before any of them leaves: the launch behind relies on this one not having ended before the one before it.
__device__ __forceinline__ void begin_early() {
  let_next_launch_begin();
  wait_for_launch_before();
}

/// Asks for 128 bytes of global memory to be brought into L2.
__device__ __forceinline__ void prefetch_line(const void* from) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
}

}  // namespace sextant::gpu::ptx
