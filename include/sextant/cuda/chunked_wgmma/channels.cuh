// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, tiles of tokens as factors whose rows are what a token has 64 of, channels or keys.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>

namespace sextant::gpu::wgmma {

/// Tokens 16 i to 16 i + 15 of a tile of 64 tokens by 64 channels, as a factor whose rows are channels 16 j to 16 j + 15.
__device__ __forceinline__ void load_channels_of(std::uint32_t (&to)[4], std::uint32_t tile, int i, int j, int lane) {
  ptx::load_transposed(to, piece_of(tile, 16 * i + lane / 16 * 8 + lane % 8, 2 * j + (lane / 8 & 1)));
}
/// All its tokens: 16 in every four registers.
__device__ __forceinline__ void load_channels(std::uint32_t (&to)[16], std::uint32_t tile, int j, int lane) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    std::uint32_t four[4];
    load_channels_of(four, tile, i, j, lane);
#pragma unroll
    for (int n = 0; n < 4; ++n) to[4 * i + n] = four[n];
  }
}

}  // namespace sextant::gpu::wgmma
