// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: the kernel, sums over all tokens and then every token's answer.
#pragma once

#include <sextant/cuda/global_mma/convolution.cuh>
#include <sextant/cuda/global_mma/rows.cuh>
#include <sextant/cuda/global_mma/sums.cuh>

namespace sextant::gpu::pooling {

/// What a lane's answers are multiplied by, from its share of q z: scale over the divisor.
template <class Traits>
__device__ __forceinline__ float factor_of_answer(const device_call<float>& c, float qz, float length) {
  if constexpr (!Traits::normalises) return c.scale;
  qz += __shfl_xor_sync(~0u, qz, 1);
  qz += __shfl_xor_sync(~0u, qz, 2);
  const float divisor = qz + (c.norm == norm_kind::mean ? length * c.eps : c.eps);
  return Traits::exact ? c.scale / divisor : __fdividef(c.scale, divisor);
}

/// Answers the tokens of a block's tiles, from the last round to the first: of the values that a convolution reads again those
/// read last are in L2.
template <class Traits, bool TwoRows>
__device__ __forceinline__ void answer_tiles(const typename Traits::design_type& design, const device_call<float>& c,
                                             const tile_plan& p, const warp_place& at, unsigned char* shared) {
  using products = tile_products<Traits>;
  using added = convolution<Traits>;
  constexpr int pairs = Traits::tokens / 16;
  const warp_feed<Traits> feed(c, p, at, shared);
  const float* const S = reinterpret_cast<const float*>(shared + p.totals);
  const float* const weights = reinterpret_cast<const float*>(shared + p.weights);
  const lane_rotations turn(reinterpret_cast<const float*>(shared + p.table), c, p, at, 4 * at.r);
  const unsigned char* const taps_at = shared + p.taps;
  const uint4* const factors = reinterpret_cast<const uint4*>(shared + p.factors) + at.lane;
  float z[8];
  const auto load_z = [&] {
    for (int j = 0; j < 8; j += 4) {
      const float4 four =
          Traits::normalises ? *reinterpret_cast<const float4*>(S + unit_keys * row_stride + 8 * at.r + j) : float4{};
      z[j] = four.x, z[j + 1] = four.y, z[j + 2] = four.z, z[j + 3] = four.w;
    }
  };
  load_z();
  value_window<Traits, TwoRows> window(c, p, at, shared);
  unsigned spoiled = 0;
  if constexpr (Traits::in_pairs) spoiled = added::known(taps_at).spoiled;
#pragma unroll 1
  for (int step = at.rounds; step < 2 * at.rounds; ++step) {
    const int round = 2 * at.rounds - 1 - step;
    ptx::await_copies<Traits::stages - 2>();
    if (Traits::local && (step == at.rounds || window.moves())) __syncthreads();
    else __syncwarp();
    feed.template send<false>(step + Traits::stages - 1);
    if constexpr (Traits::local) window.go_to(round);
    ptx::commit_copies();
    if constexpr (Traits::in_pairs)
      if (spoiled != 0 && (step == at.rounds || window.moves())) {
        window.clear(spoiled);
        __syncthreads();
      }
    if (!at.has_tile<Traits>(p, round)) continue;
    const unsigned char* const tile = feed.tile(step);
    const int first = at.token_of<Traits>(p, round);
    const tile_tokens<TwoRows> tokens(c, p, at, first);
    // The convolution has no registers for addresses from round to round.
    warp_place here = at;
    if constexpr (Traits::four_in_a_row) asm volatile("" : "+r"(here.lane));
    here.g = here.lane / 4, here.r = here.lane % 4;
    const auto row_of = [&](int i) { return Traits::four_in_a_row ? 4 * here.g + i / 2 + i % 2 * 2 : here.g + 8 * i; };
    float Y[pairs][4][4] = {};
    // Of bfloat16 a convolution's bias comes with the factor of the answer; in half precision its weights are scaled.
    constexpr bool scaled = Traits::in_pairs && !std::is_same_v<typename Traits::token, bfloat16>;
    float2 bias[4] = {};
    if constexpr (Traits::in_pairs) {
#pragma unroll
      for (int n = 0; n < 4; ++n) bias[n] = *reinterpret_cast<const float2*>(weights + 8 * n + 2 * here.r);
    }
    float scale = 1.0f;
    if constexpr (scaled) scale = added::known(taps_at).scale;
    if constexpr (Traits::local) load_z();  // the convolution takes its registers
    float x[pairs][2][8], factor[pairs][2];
    float4 by[2];
    const float4* its_turns = nullptr;
#pragma unroll
    for (int j = 0; j < 2 * pairs; ++j) {
      const int i = TwoRows ? j % 2 * 2 + j / 2 : j;  // of two rows a pixel, and the one below it
      float(&its)[8] = x[i / 2][i % 2];
      const int row = row_of(i);
      products::load_row(its, tile, here, row);
      float qz = 0;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        its[j] = mapped<Traits>(design.feature_map, its[j]);
        if (Traits::normalises) qz = fmaf(its[j], z[j], qz);
      }
      if constexpr (Traits::turns) {
        if (!TwoRows || i < 2) {
          its_turns = TwoRows ? turn.at(tokens.upper(row).where) : turn.of(first + row);
          by[0] = its_turns[0], by[1] = its_turns[1];
        } else if (turn.rows) by[0] = its_turns[pair_stride / 4], by[1] = its_turns[pair_stride / 4 + 1];
        turn_pairs(its, 0, by[0]);
        turn_pairs(its, 4, by[1]);
      }
      factor[i / 2][i % 2] = factor_of_answer<Traits>(c, qz, float(at.length)) * scale;
    }
    products::answer(Y, x, factors);
#pragma unroll
    for (int j = 0; j < 16 * pairs; ++j) {
      float& its = Y[j / 16][j / 4 % 4][j % 4];
      const float by = factor[j / 16][j % 4 / 2];
      if constexpr (Traits::in_pairs && !scaled)
        its = fmaf(its, by, j % 2 == 0 ? bias[j / 4 % 4].x : bias[j / 4 % 4].y);
      else its *= by;
    }
    if constexpr (Traits::in_pairs) {
      const paired_rows<Traits> rows{c, here, ptx::shared_address(tile)};
      __syncwarp();  // all lanes have read their queries
      rows.send_gate(tokens);
      if constexpr (TwoRows) added::add(Y, window, here, tokens, round, taps_at);
      else added::add(Y, window, here, first, taps_at);
      if constexpr (scaled) {
#pragma unroll
        for (int j = 0; j < 16 * pairs; ++j) {
          float& its = Y[j / 16][j / 4 % 4][j % 4];
          its = fmaf(its, 1.0f / scale, j % 2 == 0 ? bias[j / 4 % 4].x : bias[j / 4 % 4].y);
        }
      }
      rows.await_gate();
#pragma unroll
      for (int pair = 0; pair < pairs; ++pair) rows.put(Y[pair], row_of(2 * pair));
      rows.store(tokens);
    } else {
      if constexpr (Traits::local) added::add(Y, window, here, first, taps_at, weights);
      const answer_rows<Traits> rows(c, at, weights);
#pragma unroll
      for (int i = 0; i < 2 * pairs; ++i)
        if (first + row_of(i) < at.length) rows.store(Y[i / 2], i % 2, first + row_of(i));
    }
  }
}

/// The whole call: the blocks of a cluster sum their tokens' keys and values, add up each other's sums, and answer their tokens.
/// Each warp's copies run ahead of it from the first tile to the last, also past the barriers in between.
template <class Design, class Token>
__global__ void __launch_bounds__(256, tile_traits<Design, Token>::blocks_at_once)
    global_mma_kernel(const __grid_constant__ Design design, const __grid_constant__ device_call<float> c,
                      const __grid_constant__ tile_plan p) {
  using traits = tile_traits<Design, Token>;
  extern __shared__ __align__(128) unsigned char shared[];
  if (int(blockIdx.z) * sequences_of_row + int(blockIdx.y) >= c.sequences) return;
  float *const sums = reinterpret_cast<float*>(shared + p.sums), *const totals =
                                                                     reinterpret_cast<float*>(shared + p.totals);
  {
    lane_sums of_lane;
    {
      const auto at = warp_place::of<traits>(c, p);
      const warp_feed<traits> feed(c, p, at, shared);
      float* const weights = reinterpret_cast<float*>(shared + p.weights);
      if constexpr (traits::weights > 0) send_weights<traits>(c, p, at, weights);
#pragma unroll
      for (int i = 0; i + 1 < traits::stages; ++i) {
        feed.template send<true>(i);
        ptx::commit_copies();
      }
      float* const table = reinterpret_cast<float*>(shared + p.table);
      if constexpr (traits::turns) fill_rotations<traits>(c, p, at, table);
      __syncthreads();
      pool_tiles<traits>(design, c, p, at, feed, table, of_lane);
    }
    add_warps<traits>(p, warp_place::of<traits>(c, p), of_lane, shared, sums);
  }
  const auto at = warp_place::of<traits>(c, p);
  if constexpr (traits::local) {
    if (at.rounds > 0) {
      if (traits::in_pairs && p.two_rows) value_window<traits, traits::in_pairs>(c, p, at, shared).begin();
      else value_window<traits, false>(c, p, at, shared).begin();
    }
    ptx::commit_copies();
  }
  total_cluster<traits>(c, p, at, sums, totals);
  tile_products<traits>::store_factors(p, at, totals, reinterpret_cast<uint4*>(shared + p.factors));
  if constexpr (traits::local) {
    const unsigned spoiled = convolution<traits>::spoiled_channels(totals, at);
    __syncthreads();
    convolution<traits>::store_factors(c, p, at, reinterpret_cast<const float*>(shared + p.weights), spoiled,
                                       shared + p.taps);
  }
  __syncthreads();
  if (traits::in_pairs && p.two_rows) answer_tiles<traits, traits::in_pairs>(design, c, p, at, shared);
  else answer_tiles<traits, false>(design, c, p, at, shared);
  if (p.block_bits > 0) ptx::await_cluster();
}

}  // namespace sextant::gpu::pooling
