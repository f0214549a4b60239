// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: the kernel, sums over all tokens and then every token's answer.
#pragma once

#include <sextant/cuda/global_mma/shortcut.cuh>
#include <sextant/cuda/global_mma/sums.cuh>
#include <sextant/cuda/tile/activation.cuh>

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

/// Adds the shortcut per channel to the 8 answers that a lane has of a token, multiplies them by the output gate and stores them.
template <class Traits> struct answer_rows {
  using token = typename Traits::token;
  static constexpr int count = packet<token>::count;

  const device_call<float>& c;
  std::byte *y, *v, *gate;  ///< the lane's first piece of the sequence's first token
  const float* weights;     ///< its channels' weights or biases
  int left;                 ///< channels from there on

  __device__ __forceinline__ answer_rows(const device_call<float>& call, const warp_place& at, const float* of_unit)
      : c{call}, v{nullptr}, gate{nullptr}, weights{of_unit + count * at.r}, left{at.channels - count * at.r} {
    y = at.row_of<Traits>(c.y, at.h, at.first_channel + count * at.r);
    if constexpr (Traits::learned) v = at.row_of<Traits>(c.v, at.h, at.first_channel + count * at.r);
    if constexpr (Traits::output_gate) gate = at.row_of<Traits>(c.output_gate, at.h, at.first_channel + count * at.r);
  }
  /// Answers of token t: rows `row`, `row` + 1 of the columns of Y.
  __device__ __forceinline__ void store(const float (&Y)[4][4], int row, int t) const {
#pragma unroll
    for (int first = 0; first < 8; first += count) {
      const int channel = first * 4;  // of float, the second piece is the fourth behind the first
      if (channel >= left) continue;
      float numbers[count];
#pragma unroll
      for (int j = 0; j < count; ++j) numbers[j] = Y[(first + j) / 2][2 * row + j % 2];
      if constexpr (Traits::learned) {
        float its[count];
        widen(load_packet(at_token(v, c.v.time, t) + channel), its);
#pragma unroll
        for (int j = 0; j < count; ++j) numbers[j] = fmaf(weights[channel + j], its[j], numbers[j]);
      }
      if constexpr (Traits::local)
#pragma unroll
        for (int j = 0; j < count; ++j) numbers[j] += weights[channel + j];
      if constexpr (Traits::output_gate) {
        float its[count];
        widen(load_packet(at_token(gate, c.output_gate.time, t) + channel), its);
#pragma unroll
        for (int j = 0; j < count; ++j) numbers[j] *= silu<Traits::exact>(its[j]);
      }
      store_packet(at_token(y, c.y.time, t) + channel, narrowed<token>(numbers));
    }
  }

 private:
  static __device__ __forceinline__ token* at_token(std::byte* first, index_t step, int t) {
    return reinterpret_cast<token*>(row_of_token(first, step, t));
  }
};

/// Answers the tokens of a block's tiles, from the last round to the first: of the values that a convolution reads again those
/// read last are in L2. A lane has tokens g and g + 8 of a tile, with a convolution 4 g .. 4 g + 3.
template <class Traits>
__device__ __forceinline__ void answer_tiles(const typename Traits::design_type& design, const device_call<float>& c,
                                             const tile_plan& p, const warp_place& at, unsigned char* shared) {
  using products = tile_products<Traits>;
  constexpr int pairs = Traits::tokens / 16;
  const warp_feed<Traits> feed(c, p, at, shared);
  const float* const S = reinterpret_cast<const float*>(shared + p.totals);
  const float* const weights = reinterpret_cast<const float*>(shared + p.weights);
  const lane_rotations turn(reinterpret_cast<const float*>(shared + p.table), c, p, at, 4 * at.r);
  const uint4* const factors = reinterpret_cast<const uint4*>(shared + p.factors) + at.lane;
  float z[8];
  const auto load_z = [&] {
#pragma unroll
    for (int j = 0; j < 8; ++j) z[j] = Traits::normalises ? S[unit_keys * row_stride + 8 * at.r + j] : 0.0f;
  };
  load_z();
  value_window<Traits> window(c, p, at, shared);
#pragma unroll 1
  for (int step = at.rounds; step < 2 * at.rounds; ++step) {
    const int round = 2 * at.rounds - 1 - step;
    if (Traits::local && step == at.rounds) ptx::await_copies<0>();
    else ptx::await_copies<Traits::stages - 2>();
    if constexpr (Traits::local) __syncthreads();
    else __syncwarp();
    feed.template send<false>(step + Traits::stages - 1);
    if constexpr (Traits::local) window.go_to(round);
    ptx::commit_copies();
    if (!at.has_tile<Traits>(p, round)) continue;
    const unsigned char* const tile = feed.tile(step);
    const int first = at.token_of<Traits>(p, round);
    // The convolution has no registers for addresses from round to round.
    warp_place here = at;
    if constexpr (Traits::local) asm volatile("" : "+r"(here.lane));
    here.g = here.lane / 4, here.r = here.lane % 4;
    const auto row_of = [&](int i) { return Traits::local ? 4 * here.g + i / 2 + i % 2 * 2 : here.g + 8 * i; };
    float Y[pairs][4][4] = {};
#pragma unroll
    for (int pair = 0; pair < pairs; ++pair) {
      if constexpr (Traits::local) load_z();  // the convolution takes its registers
      float x[2][8], factor[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = row_of(2 * pair + i);
        products::load_row(x[i], tile, here, row);
        float qz = 0;
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          x[i][j] = mapped<Traits>(design.feature_map, x[i][j]);
          if (Traits::normalises) qz = fmaf(x[i][j], z[j], qz);
        }
        if constexpr (Traits::turns) {
          const float4* const by = turn.of(first + row);
          turn_pairs(x[i], 0, by[0]);
          turn_pairs(x[i], 4, by[1]);
        }
        factor[i] = factor_of_answer<Traits>(c, qz, float(at.length));
      }
      products::answer(Y[pair], x, factors);
#pragma unroll
      for (int j = 0; j < 16; ++j) Y[pair][j / 4][j % 4] *= factor[j % 4 / 2];
    }
    if constexpr (Traits::local) window.add(Y, first, weights, shared + p.taps);
    const answer_rows<Traits> rows(c, at, weights);
#pragma unroll
    for (int i = 0; i < 2 * pairs; ++i)
      if (first + row_of(i) < at.length) rows.store(Y[i / 2], i % 2, first + row_of(i));
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
    add_warps<traits>(p, warp_place::of<traits>(c, p), of_lane, reinterpret_cast<float4*>(shared + p.values), sums);
  }
  const auto at = warp_place::of<traits>(c, p);
  if constexpr (traits::local) {
    if (at.rounds > 0) value_window<traits>(c, p, at, shared).begin();
    ptx::commit_copies();
  }
  total_cluster<traits>(c, p, at, sums, totals);
  tile_products<traits>::store_factors(p, at, totals, reinterpret_cast<uint4*>(shared + p.factors));
  if constexpr (traits::local) {
    __syncthreads();
    store_taps<traits>(c, p, at, reinterpret_cast<const float*>(shared + p.weights), shared + p.taps);
  }
  __syncthreads();
  answer_tiles<traits>(design, c, p, at, shared);
  if (p.block_bits > 0) ptx::await_cluster();
}

}  // namespace sextant::gpu::pooling
