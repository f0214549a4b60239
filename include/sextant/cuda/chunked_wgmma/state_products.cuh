// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the products of a state warpgroup and what becomes their factors.
#pragma once

#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>

namespace sextant::gpu::wgmma {

template <std::size_t Count> __device__ __forceinline__ void multiply_state(float (&S)[Count], float by) {
#pragma unroll
  for (float& s : S) s *= by;
}
/// S as a factor of products.
template <class Token, std::size_t Count>
__device__ __forceinline__ void round_state(std::uint32_t (&rounded)[Count], const float (&S)[2 * Count]) {
#pragma unroll
  for (std::size_t i = 0; i < Count; ++i) rounded[i] = detail::round_pair<Token>(S[2 * i], S[2 * i + 1]);
}
/// Has the compiler make numbers here and not later.
template <std::size_t Count> __device__ __forceinline__ void hold(std::uint32_t (&numbers)[Count]) {
#pragma unroll
  for (std::uint32_t& number : numbers) asm volatile("" : "+r"(number));
}
/// A lane's factors of what enters the state.
__device__ __forceinline__ void load_entering(uint4 (&factors)[4], const chunk_gates& gates, int lane) {
#pragma unroll
  for (int n = 0; n < 4; ++n) factors[n] = *reinterpret_cast<const uint4*>(gates.entering + 8 * n + 2 * (lane % 4));
}
/// v times them.
template <class Token>
__device__ __forceinline__ void scale_channels(std::uint32_t (&entering)[16], const std::uint32_t (&V)[16],
                                               const uint4 (&factors)[4]) {
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const uint4& four = factors[i / 4];
    entering[i] = scale_pair<Token>(V[i], i % 4 < 2 ? uint2{four.x, four.y} : uint2{four.z, four.w});
  }
}

/// Y = S^T Q^T, begun.
template <class Plan>
__device__ __forceinline__ void ask_state(float (&Y)[32], const std::uint32_t (&rounded)[Plan::keys / 4],
                                          std::uint32_t queries) {
  ptx::begin_products();
#pragma unroll
  for (int i = 0; i < Plan::keys / 16; ++i)
    ptx::multiply<typename Plan::token, false>(
        Y, rounded + 4 * i, ptx::rows_along_sum(queries, i / 4 * Plan::tile_bytes + i % 4 * 32), i > 0);
  ptx::commit_products();
}
/// S += V^T K, begun.
template <class Plan>
__device__ __forceinline__ void add_keys(float (&S)[Plan::keys / 2], const std::uint32_t (&V)[16], std::uint32_t keys) {
  ptx::begin_products();
#pragma unroll
  for (int i = 0; i < 4; ++i)
    ptx::multiply<typename Plan::token, true>(S, V + 4 * i, ptx::rows_across_sum(keys, i * 2048, Plan::tile_bytes),
                                              true);
  ptx::commit_products();
}
/// Y += V^T W^T, begun.
template <class Plan>
__device__ __forceinline__ void add_weighed(float (&Y)[32], const std::uint32_t (&V)[16], std::uint32_t weights) {
  ptx::begin_products();
#pragma unroll
  for (int i = 0; i < 4; ++i)
    ptx::multiply<typename Plan::token, false>(Y, V + 4 * i, ptx::rows_along_sum(weights, i * 32), true);
  ptx::commit_products();
}

}  // namespace sextant::gpu::wgmma
