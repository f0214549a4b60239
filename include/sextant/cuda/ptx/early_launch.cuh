// SPDX-License-Identifier: Apache-2.0
/// @file  Launches that begin while the one before them on the stream still runs (sm_90), see launch_early().
#pragma once

namespace sextant::gpu::ptx {

/// Lets a launch behind this one begin, if it is an early one, where multiprocessors are free: once all blocks have called
/// this or ended.
__device__ __forceinline__ void let_next_launch_begin() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
/// Waits until the launch before this one has ended, if this is an early one; what it wrote is seen.
__device__ __forceinline__ void wait_for_launch_before() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

}  // namespace sextant::gpu::ptx
