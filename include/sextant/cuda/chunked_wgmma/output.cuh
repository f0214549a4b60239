// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, y of a chunk in the registers of a state warpgroup: factors of rows, what tokens take of
///        themselves, the output gate, and the way to a tile.
#pragma once

#include <sextant/cuda/chunked_wgmma/channels.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::wgmma {

/// One number for each row of a chunk, stored by place, those that a lane needs: of rows 8 j + 2 (lane % 4) and the next one.
struct row_numbers {
  float2 of_rows[8];

  row_numbers() = default;
  __device__ __forceinline__ row_numbers(const float* from, int lane) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const float4 four = *reinterpret_cast<const float4*>(from + 16 * n + 4 * (lane % 4));
      of_rows[2 * n] = make_float2(four.x, four.y), of_rows[2 * n + 1] = make_float2(four.z, four.w);
    }
  }
};

/// y times a factor for each of its rows.
__device__ __forceinline__ void multiply_rows(float (&Y)[32], const row_numbers& factors) {
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const float2 factor = factors.of_rows[j];
    Y[4 * j] *= factor.x, Y[4 * j + 1] *= factor.y, Y[4 * j + 2] *= factor.x, Y[4 * j + 3] *= factor.y;
  }
}
/// y_i += (d + own_i) v_i, as far as there are such terms. What float16 is widened to for the gates would stay in 32
/// registers until here: its v is loaded from its tile once more.
template <class Plan>
__device__ __forceinline__ void add_own_values(float (&Y)[32], const std::uint32_t (&V)[16], std::uint32_t tile,
                                               const float (&d)[2], const row_numbers& own, int warp, int lane) {
  using token = typename Plan::token;
  if constexpr (Plan::skips || Plan::adds_own) {
    constexpr bool loads = Plan::gated && !std::is_same_v<token, bfloat16>;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      std::uint32_t pairs[4] = {V[4 * i], V[4 * i + 1], V[4 * i + 2], V[4 * i + 3]};
      if constexpr (loads) load_channels_of(pairs, tile, i, warp, lane);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        float2 factor = Plan::adds_own ? own.of_rows[2 * i + j / 2] : make_float2(0.0f, 0.0f);
        if constexpr (Plan::skips) factor.x += d[j & 1], factor.y += d[j & 1];
        float v[2], *const y = Y + 8 * i + 2 * j;
        detail::widen_pair<token>(pairs[j], v[0], v[1]);
        y[0] = fmaf(factor.x, v[0], y[0]), y[1] = fmaf(factor.y, v[1], y[1]);
      }
    }
  }
}
/// y times silu of the output gate in its tile.
template <class Token>
__device__ __forceinline__ void apply_output_gate(float (&Y)[32], std::uint32_t tile, int warp, int lane) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    std::uint32_t gate[4];
    load_channels_of(gate, tile, i, warp, lane);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float g[2];
      detail::widen_pair<Token>(gate[j], g[0], g[1]);
      Y[8 * i + 2 * j] *= silu<false>(g[0]), Y[8 * i + 2 * j + 1] *= silu<false>(g[1]);
    }
  }
}
/// y, rounded, into its tile.
template <class Token>
__device__ __forceinline__ void store_tile(const float (&Y)[32], std::uint32_t tile, int warp, int lane) {
#pragma unroll
  for (int j = 0; j < 8; j += 2)
    ptx::store_transposed(piece_of(tile, 8 * (j + lane / 16) + lane % 8, 2 * warp + (lane / 8 & 1)),
                          detail::round_pair<Token>(Y[4 * j], Y[4 * j + 1]),
                          detail::round_pair<Token>(Y[4 * j + 2], Y[4 * j + 3]),
                          detail::round_pair<Token>(Y[4 * j + 4], Y[4 * j + 5]),
                          detail::round_pair<Token>(Y[4 * j + 6], Y[4 * j + 7]));
}

}  // namespace sextant::gpu::wgmma
