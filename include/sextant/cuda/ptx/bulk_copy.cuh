// SPDX-License-Identifier: Apache-2.0
/// @file  The bulk tensor copy engine (TMA): boxes of a tensor of four dimensions, to and from shared memory (sm_90).
#pragma once

#include <cuda.h>  // CUtensorMap

#include <sextant/cuda/ptx/mbarrier.cuh>

namespace sextant::gpu::ptx {

/// Fetches the tensor map ahead of its first use.
__device__ __forceinline__ void prefetch(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
/// Copies the map's box at (x0, x1, x2, x3), x0 the contiguous dimension, to shared memory and counts its bytes on
/// `landed`. What lies outside the tensor reads as 0 and counts too; coordinates may be negative. One thread calls it.
__device__ __forceinline__ void load_box(std::uint32_t to, const CUtensorMap& map, mbarrier& landed, int x0, int x1, int x2,
                                         int x3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to),
      "l"(&map), "r"(shared_address(&landed.word)), "r"(x0), "r"(x1), "r"(x2), "r"(x3) : "memory");
}
__device__ __forceinline__ void load_box(void* to, const CUtensorMap& map, mbarrier& landed, int x0, int x1, int x2, int x3) {
  load_box(shared_address(to), map, landed, x0, x1, x2, x3);
}
/// Copies a box from shared memory to the tensor; what lies outside the tensor is not written. Ends with the group that
/// the same thread commits next.
__device__ __forceinline__ void store_box(const CUtensorMap& map, const void* from, int x0, int x1, int x2, int x3) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(&map),
               "r"(shared_address(from)), "r"(x0), "r"(x1), "r"(x2), "r"(x3) : "memory");
}
/// Copies bytes that lie one after the other, a multiple of 16 at such addresses, to shared memory, and counts them on `landed`.
/// One thread calls it.
__device__ __forceinline__ void load_bytes(std::uint32_t to, const void* from, std::uint32_t bytes, mbarrier& landed) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(&landed.word)) : "memory");
}
/// The same from shared memory. Ends with the group that the same thread commits next.
__device__ __forceinline__ void store_bytes(void* to, std::uint32_t from, std::uint32_t bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(__cvta_generic_to_global(to)),
               "r"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/// Returns once all but the last `Pending` groups of this thread's stores have read shared memory.
template <int Pending> __device__ __forceinline__ void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Pending) : "memory");
}

}  // namespace sextant::gpu::ptx
