// SPDX-License-Identifier: Apache-2.0
/// @file  Barriers in shared memory that threads and the copy engine arrive at, and what orders the two (sm_90).
#pragma once

#include <cstddef>  // size_t
#include <cstdint>  // uint32_t, uint64_t

#include <sextant/cuda/ptx/async_copy.cuh>

namespace sextant::gpu::ptx {

/// A barrier of the asynchronous kind. Its phases are counted 0, 1, ...; a phase ends once `arrivals` threads have arrived
/// and all bytes announced for it have landed. Lives in shared memory; one thread calls init(), then
/// publish_mbarriers(), and the block synchronises before anybody uses it.
struct mbarrier {
  std::uint64_t word;

  __device__ __forceinline__ void init(int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&word)), "r"(arrivals));
  }
  /// Arrives; what this thread wrote before is seen by whoever waits for the phase.
  __device__ __forceinline__ void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&word)) : "memory");
  }
  /// Arrives and announces bytes that copies will bring in this phase.
  __device__ __forceinline__ void arrive_and_expect(std::uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&word)), "r"(bytes)
                 : "memory");
  }
  /// Announces bytes that copies will bring in this phase, without arriving.
  __device__ __forceinline__ void expect(std::uint32_t bytes) {
    asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&word)), "r"(bytes)
                 : "memory");
  }
  /// Arrives once all copies that this thread has begun so far (copy_async) have landed, without waiting for them.
  __device__ __forceinline__ void arrive_after_copies() {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(&word)) : "memory");
  }
  /// Returns once phase number `phase` has ended. Only the phase in progress and the one before can be waited for.
  __device__ __forceinline__ void wait(int phase) {
    asm volatile(
        "{\n"
        ".reg .pred ended;\n"
        "again_%=:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
        "@ended bra done_%=;\n"
        "bra again_%=;\n"
        "done_%=:\n"
        "}" ::"r"(shared_address(&word)), "r"(phase & 1) : "memory");
  }
};

/// Makes initialised barriers known to the copy engine.
__device__ __forceinline__ void publish_mbarriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/// Orders ordinary writes to shared memory before what the tensor cores and the copy engine read there. Either every thread
/// that wrote calls it, before the barrier at which the reader's issuer is told, or the issuer does, behind that barrier.
__device__ __forceinline__ void publish_to_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Synchronises `threads` threads of the block at its barrier number `which`, 1..15 (0 is __syncthreads()).
__device__ __forceinline__ void synchronise(int which, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(which), "r"(threads) : "memory");
}
/// Arrives at such a barrier for others to go on, without waiting: one of the `threads` that it takes.
__device__ __forceinline__ void let_pass(int which, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(which), "r"(threads) : "memory");
}

/// Bytes of shared memory that a kernel's one static variable takes. Behind it lies the dynamic memory, which begins in all
/// kernels of a file at multiples of the largest alignment that one of them asks for: 128 bytes in this library.
template <class Variable> inline constexpr std::size_t static_shared_bytes = (sizeof(Variable) + 127) / 128 * 128;

}  // namespace sextant::gpu::ptx
