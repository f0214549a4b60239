// SPDX-License-Identifier: Apache-2.0
/// @file  Moving registers between the warpgroups of a block (sm_90a).
#pragma once

namespace sextant::gpu::ptx {

/// Gives registers back, so that each thread of the warpgroup keeps `Count`, a multiple of 8 from 24 to 256. All of its
/// warps call it, each warpgroup in its own branch of one if-else, in a kernel whose launch bounds cap the registers.
template <int Count> __device__ __forceinline__ void shrink_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
/// Takes registers that others gave back; waits until they have.
template <int Count> __device__ __forceinline__ void grow_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

}  // namespace sextant::gpu::ptx
