// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the normaliser: z in the registers of one warp or two, and as rows for the products.
#pragma once

#include <sextant/cuda/chunked_wgmma/channels.cuh>
#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>

namespace sextant::gpu::wgmma {

/// z of the block's heads, all keys in one warp or half of them in each of two. What a chunk adds to it is a product of a
/// warp, 16 keys by 8 columns, its weights being sums of two numbers of 16 bits, as exact as the products need: one column
/// for each of the two, again and again for the heads, so that of every four lanes each can take what it has z of: a head
/// and some of the warp's tiles of 16 keys. For q_i . z it becomes two rows of 16-bit numbers for each head, swizzled as
/// tiles of keys are.
template <class Plan> struct normaliser {
  using token = typename Plan::token;
  static constexpr int tiles = Plan::keys / 16 / Plan::normaliser_warps;  ///< of a warp
  static constexpr int sharers = 4 / Plan::heads,
                       its_tiles = tiles > sharers ? tiles / sharers : 1;  ///< of a head's tiles

  int warp, lane;
  float z[std::size_t(its_tiles)][2];

  __device__ normaliser(int its_warp, int its_lane) : warp{its_warp}, lane{its_lane}, z{} {}

  __device__ __forceinline__ int head() const { return lane % Plan::heads; }
  __device__ __forceinline__ int share() const { return lane % 4 / Plan::heads; }
  __device__ __forceinline__ bool holds() const { return share() * its_tiles < tiles; }
  __device__ __forceinline__ int key_of(int tile, int half) const {
    return 16 * (tiles * warp + its_tiles * share() + tile) + 8 * half + lane / 4;
  }
  /// visit(key, z) for all that the lane holds.
  template <class Visit> __device__ __forceinline__ void each(const Visit& visit) {
    if (!holds()) return;
#pragma unroll
    for (int i = 0; i < 2 * its_tiles; ++i) visit(key_of(i / 2, i % 2), z[i / 2][i % 2]);
  }
  __device__ __forceinline__ void multiply(float by) {
    each([&](int, float& its) { its *= by; });
  }
  /// z / split_step as rows 2 h and 2 h + 1 of the tile of 8 rows that products read.
  __device__ __forceinline__ void show(std::uint16_t* rows) {
    each([&](int key, float its) {
      const uint2 pair = split_pair<token>(its * (1.0f / split_step<token>), 0.0f);
      const int row = 2 * head();
      std::uint16_t* const at = rows + key / 64 * 512 + row * 64 + key % 8;
      at[(key % 64 / 8 ^ row) * 8] = std::uint16_t(pair.x);
      at[64 + (key % 64 / 8 ^ (row + 1)) * 8] = std::uint16_t(pair.y);
    });
  }
  /// z after the chunk whose keys and gates lie in a stage and whose first row is token `first`.
  template <class Call>
  __device__ __forceinline__ void advance(const Call& call, chunked_memory<Plan>& memory, int stage, int first) {
    std::uint32_t weights[4][2];
    const int column = lane / 4;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int pair = 4 * i + lane % 4;
      if constexpr (Plan::gated) {
        const uint2 both = memory.gates[stage][column / 2 % Plan::gate_sets].key_weight[pair];
        weights[i / 2][i % 2] = column % 2 == 0 ? both.x : both.y;
      } else {
        const int t = column % 2 == 0 ? first + 2 * pair : call.tokens;  // whole numbers need no second one
        weights[i / 2][i % 2] =
            detail::round_pair<token>(t < call.tokens ? 1.0f : 0.0f, t + 1 < call.tokens ? 1.0f : 0.0f);
      }
    }
    float whole = 1.0f;
    if constexpr (Plan::decays) whole = memory.gates[stage][head() % Plan::gate_sets].all[0].whole;
    constexpr int unrolled = Plan::normaliser_unrolled;
#pragma unroll unrolled
    for (int s = 0; s < tiles / its_tiles; ++s) {
#pragma unroll
      for (int j = 0; j < its_tiles; ++j) {
        const int tile = tiles * warp + its_tiles * s + j;
        constexpr int chains = Plan::turns && !Plan::gated ? 2 : 1;  // of products that wait for each other
        float parts[chains][4] = {}, (&sums)[4] = parts[0];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          std::uint32_t of_keys[4];
          const std::uint16_t* keys = memory.k[stage][tile / 4];
          if constexpr (Plan::turns) keys = memory.plain_k[tile / 4];
          load_channels_of(of_keys, ptx::shared_address(keys), i, tile % 4, lane);
          ptx::multiply_add<token>(parts[i % chains], of_keys, weights[i][0], weights[i][1]);
        }
        if constexpr (chains == 2)
#pragma unroll
          for (int i = 0; i < 4; ++i) sums[i] += parts[1][i];
        if (share() != s) continue;
#pragma unroll
        for (int half = 0; half < 2; ++half)
          z[j][half] = fmaf(whole, z[j][half], fmaf(sums[2 * half + 1], 1.0f / split_step<token>, sums[2 * half]));
      }
    }
  }
};

}  // namespace sextant::gpu::wgmma
