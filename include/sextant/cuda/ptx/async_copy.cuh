// SPDX-License-Identifier: Apache-2.0
/// @file  Copies from global to shared memory that pass by the registers (cp.async, sm_80), in groups that a thread awaits.
#pragma once

#include <cstdint>  // uint32_t

namespace sextant::gpu::ptx {

/// The address of shared memory as its own instructions take it.
__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// Begins to copy 4, 8 or 16 bytes; both addresses are multiples of Bytes. 16 bytes go by the L1 cache; fewer go through
/// it, where a neighbouring warp finds the rest of the sector.
template <int Bytes> __device__ __forceinline__ void copy_async(std::uint32_t to, const void* from) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  if constexpr (Bytes == 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
  else asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(from), "n"(Bytes) : "memory");
}
/// Begins to copy 16 bytes, or writes 16 bytes of zeros.
__device__ __forceinline__ void copy_async_or_zeros(std::uint32_t to, const void* from, bool copies) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(copies ? 16 : 0) : "memory");
}
/// Begins to copy so many of 16 bytes, and writes zeros for the rest.
__device__ __forceinline__ void copy_async_some(std::uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
/// Ends a group of this thread's copies; a group may be empty.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until all but the youngest `Pending` groups of this thread have arrived.
template <int Pending> __device__ __forceinline__ void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

}  // namespace sextant::gpu::ptx
