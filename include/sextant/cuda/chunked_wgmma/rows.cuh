// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, what queries and keys go through before the products: the map, and the sums of the normaliser.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/mbarrier.cuh>
#include <sextant/cuda/tile/approximate.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::wgmma {

/// phi of one number; exponentials are the special function unit's, whose error is far below a rounding to 16 bits.
template <class Map> __device__ __forceinline__ float map_number(const Map& map, float x) {
  return float(map(approximate(x)));
}

/// The query and key rows of a chunk, by the 128 threads of the score warpgroup: a thread has 8 neighbouring keys of every
/// (1024 / Keys)-th row. Each passes through the map in place; the normaliser gets q_i . z of the state before the chunk
/// and, per warp, the sums of key_weight_j k_j.
template <class Plan, class Call>
__device__ __forceinline__ void pass_rows(const Call& call, chunked_memory<Plan>& memory, int stage, int first, int thread) {
  using token = typename Plan::token;
  using numbers = packet<token>;
  constexpr int pieces = Plan::keys / 8, row_step = 128 / pieces;
  const int piece = thread % pieces, slab = piece / 8, first_row = thread / pieces;
  const float key_factor = key_scale<float>(call.design.feature_map, index_t(Plan::keys));
  const auto row_piece = [&](std::uint16_t* tile, int row) {
    return reinterpret_cast<uint4*>(tile + row * 64 + (((piece % 8) ^ (row & 7)) << 3));
  };
  float z[8], sums[8];
  if constexpr (Plan::normalised) {
#pragma unroll
    for (int i = 0; i < 8; ++i) z[i] = memory.z[8 * piece + i], sums[i] = 0.0f;
  }
#pragma unroll 2
  for (int row = first_row; row < 64; row += row_step) {
    float q[8], k[8];
    uint4* const q_at = row_piece(memory.q[stage][slab], row);
    uint4* const k_at = row_piece(memory.k[stage][slab], row);
    numbers q_stored{*q_at}, k_stored{*k_at};
    widen(q_stored, q);
    widen(k_stored, k);
    const bool there = first + row < call.tokens;
    if constexpr (Plan::maps) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        q[i] = map_number(call.design.feature_map, q[i]);
        k[i] = map_number(call.design.feature_map, k[i] * key_factor);
        if (!there) k[i] = 0.0f;  // 0 went in, but a map may make anything of it
      }
      q_stored = narrowed<token>(q), k_stored = narrowed<token>(k);
      *q_at = q_stored.words, *k_at = k_stored.words;
      if constexpr (Plan::normalised) widen(q_stored, q), widen(k_stored, k);  // the normaliser sums what the products do
    }
    if constexpr (Plan::normalised) {
      float qz = 0.0f, weight = 1.0f;
      if constexpr (Plan::gated) weight = memory.gates[stage][0].key_weight[row];
      else weight = there ? 1.0f : 0.0f;
#pragma unroll
      for (int i = 0; i < 8; ++i) qz = fmaf(q[i], z[i], qz), sums[i] = fmaf(weight, k[i], sums[i]);
#pragma unroll
      for (int distance = pieces / 2; distance > 0; distance /= 2) qz += __shfl_xor_sync(~0u, qz, distance);
      if (piece == 0) memory.qz[row] = qz;
    }
  }
  if constexpr (Plan::normalised) {
    // The lanes of a warp that have the same keys.
#pragma unroll
    for (int distance = pieces; distance < 32; distance *= 2)
#pragma unroll
      for (int i = 0; i < 8; ++i) sums[i] += __shfl_xor_sync(~0u, sums[i], distance);
    if (thread % 32 < pieces) {
      float4* const to = reinterpret_cast<float4*>(&memory.z_parts[thread / 32][8 * piece]);
      to[0] = make_float4(sums[0], sums[1], sums[2], sums[3]);
      to[1] = make_float4(sums[4], sums[5], sums[6], sums[7]);
    }
  }
}

/// z of the next chunk; after a barrier behind pass_rows(), and before one ahead of the next.
template <class Plan> __device__ __forceinline__ void advance_normaliser(chunked_memory<Plan>& memory, int stage, int thread) {
  if (thread >= Plan::keys) return;
  float z = memory.z[thread];
  if constexpr (Plan::decays) z *= memory.gates[stage][0].whole;
  memory.z[thread] = z + (memory.z_parts[0][thread] + memory.z_parts[1][thread]) +
                     (memory.z_parts[2][thread] + memory.z_parts[3][thread]);
}

}  // namespace sextant::gpu::wgmma
