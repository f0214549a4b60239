// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the answers: what queries take of the state that enters their chunk, and of the chunk's tokens.
#pragma once

#include <sextant/cuda/second_order/answer_sums.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::second {

/// A warpgroup's 64 queries. First the state, pair by pair. Then the window's tokens, 64 at a time, (q . k)^2 times v, decayed
/// until the block's first query, and from there on from tile to tile; last the queries' own 64. The scores of a tile are
/// made together with the sums of the one before.
template <class Token> struct answer_rows : answer_sums {
  using answer_sums::answer_sums;

  /// Scores of tile j, older than the queries' own, become weights until the block's first query or the tile's end.
  __device__ __forceinline__ void weigh_older(float (&s)[32], int j) {
    if (!d.forgets) {
#pragma unroll
      for (int i = 0; i < 32; ++i) s[i] *= s[i], divisor[i / 2 % 2] += s[i];
      return;
    }
    if (j >= first_query) {
      const float its = memory.taken(j - first_query, d.admits);
      leave(its, its);
    }
    const float* const of_columns = memory.left(j) + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float2 factor = *reinterpret_cast<const float2*>(of_columns + 8 * i);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const float score = s[4 * i + r];
        s[4 * i + r] = score * score * (r % 2 ? factor.y : factor.x);
        divisor[r / 2] += s[4 * i + r];
      }
    }
  }
  /// The same of the queries' own tile, but for their own tokens.
  __device__ __forceinline__ void weigh_own(float (&s)[32], float (&own)[2]) {
    const bool forgets = d.forgets, admits = d.admits;
    const float* const cum = memory.cumulated(group);
    own[0] = own[1] = 0.0f;
    const float now[2] = {forgets ? cum[row()] : 0.0f, forgets ? cum[row() + 8] : 0.0f};
    if (forgets) leave(ptx::exp2_approx(now[0]), ptx::exp2_approx(now[1]));
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      float x = s[i] * s[i];
      if (forgets) x *= ptx::exp2_approx(now[i / 2 % 2] - cum[column(i)]);
      const int distance = row() + i / 2 % 2 * 8 - column(i);
      if (distance == 0) own[i / 2 % 2] = x;
      s[i] = (tokens.reversed ? distance < 0 : distance > 0) ? x : 0.0f;
      divisor[i / 2 % 2] += admits ? s[i] : rounded(s[i]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      divisor[i] += own[i];
      own[i] = __shfl_sync(~0u, own[i], lane / 4 * 4 + lane / 8);  // the lane of the row that has it
      if (admits) own[i] *= memory.admitted(diagonal)[row() + 8 * i];
    }
  }
  static __device__ __forceinline__ float rounded(float x) { return ptx::as_float(ptx::as_stored<Token>(x)); }
  /// Weights of tile j, as values are multiplied by them.
  __device__ __forceinline__ void round_weights(std::uint32_t (&weights)[4][4], float (&s)[32], int j) const {
    if (d.admits)
#pragma unroll
      for (int i = 0; i < 32; ++i) s[i] *= memory.admitted(j)[column(i)];
#pragma unroll
    for (int r = 0; r < 16; ++r) weights[r / 4][r % 4] = detail::round_pair<Token>(s[2 * r], s[2 * r + 1]);
  }
  /// All tiles of tokens until the queries' own.
  __device__ __forceinline__ void ask_tokens(float (&own)[2]) {
    std::uint32_t q[4][4], weights[4][4];
    float s[32];
    const int first_item = state_items();
    enter(first_item);
#pragma unroll
    for (int b = 0; b < 4; ++b) load_rows(q[b], memory.queries(group), b, warp, lane);
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b) ptx::multiply<Token, false>(s, q[b], ptx::rows_along_sum(keys_of(0), 32 * b), b > 0);
    ptx::commit_products();
    ptx::wait_products<0>();
#pragma unroll 1
    for (int j = 0; j < diagonal; ++j) {
      weigh_older(s, j);
      round_weights(weights, s, j);
      if (j % 2 == 1) enter(first_item + (j + 1) / 2);
      const std::uint32_t values = keys_of(j) + 2 * tile_bytes, keys = keys_of(j + 1);
      ptx::begin_products();
#pragma unroll
      for (int b = 0; b < 4; ++b)
        ptx::multiply<Token, true>(Y, weights[b], ptx::rows_across_sum(values, 2048 * b, 0), true);
#pragma unroll
      for (int b = 0; b < 4; ++b) ptx::multiply<Token, false>(s, q[b], ptx::rows_along_sum(keys, 32 * b), b > 0);
      ptx::commit_products();
      ptx::wait_products<0>();
      if (j % 2 == 1) release(first_item + j / 2);
    }
    weigh_own(s, own);
    round_weights(weights, s, diagonal);
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b)
      ptx::multiply<Token, true>(Y, weights[b], ptx::rows_across_sum(keys_of(diagonal) + 2 * tile_bytes, 2048 * b, 0),
                                 true);
    ptx::commit_products();
    ptx::wait_products<0>();
    release(first_item + diagonal / 2);
  }

  /// y, 32 channels at a time by way of the memory that this warp's queries had, so that it leaves in pieces of 16 bytes: a
  /// lane has every eighth row's piece of eight channels. `own`: the weights of the queries' own tokens, not rounded.
  __device__ __forceinline__ void store(const float (&own)[2]) {
    const float raise = c.key_scale * c.key_scale;
    const index_t first_place = tokens.first_place(first + tile * group) + 16 * warp;
    const auto place_of = [&](int p) { return first_place + lane / 4 + 8 * p; };
    const auto exists = [&](int half, int p) {
      return place_of(p) >= 0 && place_of(p) < d.tokens && channel_of(half) < c.values;
    };
    const auto at = [&](const tensor<float>& x, int half, int p) {
      return reinterpret_cast<Token*>(x.at(tokens.batch, place_of(p), tokens.head)) + channel_of(half);
    };
    packet<Token> values[2][2];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (exists(i / 2, i % 2)) values[i / 2][i % 2] = load_packet(at(c.v, i / 2, i % 2));
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float factor = c.scale * raise;
      if (c.normalises()) {
        float sum = divisor[i];
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        factor /= fmaf(sum, raise, c.eps);
      }
      memory.own(tile * group + row() + 8 * i) = own[i] * factor;
#pragma unroll
      for (int j = 0; j < 32; j += 4) Y[j + 2 * i] *= factor, Y[j + 2 * i + 1] *= factor;
    }
    float4* const rows = reinterpret_cast<float4*>(memory.start + tile_bytes * group + 2048 * warp);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      __syncwarp();
#pragma unroll
      for (int j = 0; j < 16; j += 2)
        reinterpret_cast<float2*>(rows + swizzled(lane / 4 + j / 2 % 2 * 8, 2 * (j / 4) + lane % 4 / 2))[lane % 2] =
            make_float2(Y[16 * half + j], Y[16 * half + j + 1]);
      __syncwarp();
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        if (!exists(half, p)) continue;
        const int its_row = lane / 4 + 8 * p;
        const float4 low = rows[swizzled(its_row, lane % 4 * 2)], high = rows[swizzled(its_row, lane % 4 * 2 + 1)];
        float x[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}, v[8];
        const float weight = memory.own(tile * group + 16 * warp + its_row);
        widen(values[half][p], v);
#pragma unroll
        for (int e = 0; e < 8; ++e) x[e] = fmaf(weight, v[e], x[e]);
        if (c.d) {
          const std::byte* const shortcut = c.d.at(0, 0, tokens.head) + channel_of(half) * c.d.value;
#pragma unroll
          for (int e = 0; e < 8; ++e)
            x[e] = fmaf(*reinterpret_cast<const float*>(shortcut + e * c.d.value), v[e], x[e]);
        }
        if (c.output_gate) {
          widen(load_packet(at(c.output_gate, half, p)), v);
#pragma unroll
          for (int e = 0; e < 8; ++e) x[e] *= silu<true>(v[e]);
        }
        store_packet(at(c.y, half, p), narrowed<Token>(x));
      }
    }
  }
  /// The first of this lane's eight channels of a half.
  __device__ __forceinline__ int channel_of(int half) const { return 64 * slice + 32 * half + lane % 4 * 8; }
  /// Four floats of 32 of a row.
  static __device__ __forceinline__ int swizzled(int row, int piece) { return row * 8 + (piece ^ row % 8); }

  __device__ void run() {
    if (threadIdx.x == 0) load_first();
    __syncwarp();
    if (d.gated()) memory.load_gates(d, head(), chunk, begin / tile, first_query);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 32; ++i) Y[i] = 0.0f;
    divisor[0] = divisor[1] = 0.0f;
    float own[2] = {0.0f, 0.0f};
    int left_to_do = 0;  // the first item that these queries do not need
    if (exist()) {
      if (asks()) {
#pragma unroll 1
        for (int i = 0; i < pairs; ++i) {
          enter(i);
          if (i % 4 == 1) ask_folded<Token>(i);
          else ask_state<Token>(i);
          release(i);
        }
        enter(pairs), ask_squares<Token>(pairs), release(pairs);
        if (d.forgets) {
          const float left = memory.taken(memory.groups, d.admits);
          leave(left, left);
        }
      }
      ask_tokens(own);
      left_to_do = state_items() + diagonal / 2 + 1;
    }
#pragma unroll 1
    for (int i = left_to_do; i < items(); ++i) enter(i), release(i);
    if (exist()) store(own);
  }
};

/// y of blocks of 64 queries for each warpgroup, by block, slice and head; the blocks with most to do come first.
template <class Token>
__global__ void __launch_bounds__(128 * most_groups, 1)
    answers_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ token_maps maps,
                   const __grid_constant__ division d) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char shared[];
  unsigned char* const memory = shared + (-ptx::shared_address(shared) & 1023u);
  const int rows = tile * d.groups, blocks = (d.tokens + rows - 1) / rows;
  const int heads = int(c.sequences * c.heads), head = int(blockIdx.x) % heads, of_head = int(blockIdx.x) / heads;
  const int slice = of_head % d.slices;
  answer_rows<Token>(c, maps, d, memory, d.groups, head, slice, (blocks - 1 - of_head / d.slices) * rows).run();
#else
  (void)c, (void)maps, (void)d;
#endif
}

}  // namespace sextant::gpu::second
