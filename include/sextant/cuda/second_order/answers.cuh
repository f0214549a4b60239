// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the answers: what queries take of the state that enters their chunk, and of the chunk's tokens.
#pragma once

#include <sextant/cuda/ptx/early_launch.cuh>
#include <sextant/cuda/ptx/shared_words.cuh>
#include <sextant/cuda/second_order/answer_sums.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::second {

/// A warpgroup's 64 queries. First the state, pair by pair. Then the window's tokens, 64 at a time, (q . k)^2 times v, decayed
/// until the block's first query, and from there on from tile to tile; last the queries' own 64. The scores of a tile are
/// made together with the sums of the one before.
template <class Token> struct answer_rows : answer_sums {
  packet<Token>
      own_values[4];  // of the queries' own tokens: what this lane stores, by half of the channels, eight rows

  using answer_sums::answer_sums;

  /// Scores of tile j, older than the queries' own, become weights until the block's first query or the tile's end.
  __device__ __forceinline__ void weigh_older(float (&s)[32], int j, int parts) {
    if (!d.forgets) {
#pragma unroll
      for (int i = 0; i < 32; ++i) s[i] *= s[i], divisor[i / 2 % 2] += s[i];
      return;
    }
    leave_until(j + 1 - parts, j + 1);
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
  /// What tiles from..behind - 1 leave of the sums so far, from the block's first query on.
  __device__ __forceinline__ void leave_until(int from, int behind) {
#pragma unroll 1
    for (int j = max(from, first_query); j < behind; ++j) {
      const float its = memory.taken(j - first_query, d.admits);
      leave(its, its);
    }
  }
  /// What the queries' own tile leaves until each of them, log2.
  __device__ __forceinline__ void leave_own(float (&now)[2]) {
    const float* const cum = memory.cumulated(group);
#pragma unroll
    for (int i = 0; i < 2; ++i) now[i] = d.forgets ? cum[row() + 8 * i] : 0.0f;
    if (d.forgets) leave(ptx::exp2_approx(now[0]), ptx::exp2_approx(now[1]));
  }
  /// The same of the queries' own tile, but for their own tokens.
  __device__ __forceinline__ void weigh_own(float (&s)[32], float (&own)[2]) {
    const bool forgets = d.forgets, admits = d.admits;
    const float* const cum = memory.cumulated(group);
    float now[2];
    leave_own(now);
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
  /// The weights of a tile, whose scores are s, times its values, and the next tile's scores, unless it is the last.
  template <bool Last = false>
  __device__ __forceinline__ void multiply_tile(const std::uint32_t (&q)[4][4], float (&s)[32], int j,
                                                std::uint32_t values, std::uint32_t next_keys) {
    std::uint32_t weights[4][4];
    round_weights(weights, s, j);
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b)
      ptx::multiply<Token, true>(Y, weights[b], ptx::rows_across_sum(values, 2048 * b, 0), true);
    if constexpr (!Last)
#pragma unroll
      for (int b = 0; b < 4; ++b) ptx::multiply<Token, false>(s, q[b], ptx::rows_along_sum(next_keys, 32 * b), b > 0);
    ptx::commit_products();
    ptx::wait_products<0>();
  }
  /// The tiles of tokens until the queries' own: all, or every second one, from number `part` on. The first item that is left to
  /// others.
  template <int Parts> __device__ __forceinline__ int ask_tokens(float (&own)[2]) {
    constexpr std::uint32_t to_values = 2 * tile_bytes;
    std::uint32_t q[4][4];
    float s[32];
    int item = state_items(), j = Parts == 1 ? 0 : part;
    if (j > diagonal) return item;
    enter(item);
#pragma unroll
    for (int b = 0; b < 4; ++b) load_rows(q[b], memory.queries(group), b, warp, lane);
    const std::uint32_t here = std::uint32_t(tokens.half(j)) * tile_bytes,
                        there = tile_bytes - here;  // halves of an item
    std::uint32_t tiles_at = memory.stage(item), own_at = here;
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b)
      ptx::multiply<Token, false>(s, q[b], ptx::rows_along_sum(tiles_at + here, 32 * b), b > 0);
    ptx::commit_products();
    ptx::wait_products<0>();
#pragma unroll 1
    for (; j < diagonal; j += 2, ++item) {
      weigh_older(s, j, Parts);
      if constexpr (Parts == 1) {
        multiply_tile(q, s, j, tiles_at + here + to_values, tiles_at + there);
        if (j + 1 == diagonal) {
          own_at = there;
          break;
        }
        weigh_older(s, j + 1, Parts);
      }
      if (j + 2 <= diagonal) enter(item + 1);
      const std::uint32_t next_at = memory.stage(item + 1);  // scores of tiles behind the last one are not used
      multiply_tile(q, s, j + 2 - Parts, tiles_at + (Parts == 1 ? there : here) + to_values, next_at + here);
      release(item);
      tiles_at = next_at;
    }
    if (Parts > 1 && j > diagonal) {  // the queries' own tile is another warpgroup's
      float now[2];
      if (d.forgets) leave_until(j - 1, diagonal), leave_own(now);
      return item;
    }
    if (Parts > 1 && d.forgets) leave_until(diagonal - 1, diagonal);
    weigh_own(s, own);
    multiply_tile<true>(q, s, diagonal, tiles_at + own_at + to_values, 0);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      own_values[i].words = ptx::load_four_words(
          piece_of(tiles_at + own_at + to_values, 16 * warp + lane / 4 + i % 2 * 8, i / 2 * 4 + lane % 4));
    release(item);
    return item + 1;
  }
  /// Adds what two warpgroups have of the same queries; that of the queries' own tile has the sum.
  __device__ __forceinline__ void add_parts() {
    const bool has_own = diagonal % d.parts == part;
    __syncthreads();  // nobody reads tiles any more
    if (!has_own) {
#pragma unroll
      for (int i = 0; i < 34; ++i) memory.partial(warpgroup, i) = i < 32 ? Y[i] : divisor[i - 32];
    }
    __syncthreads();
    if (!has_own) return;
#pragma unroll
    for (int i = 0; i < 34; ++i) (i < 32 ? Y[i] : divisor[i - 32]) += memory.partial(warpgroup ^ 1, i);
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
        widen(own_values[2 * half + p], v);
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
    ptx::wait_for_launch_before();
    if (d.gated()) memory.load_gates(d, head(), chunk, begin / tile, first_query);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 32; ++i) Y[i] = 0.0f;
    divisor[0] = divisor[1] = 0.0f;
    float own[2] = {0.0f, 0.0f};
    int left_to_do = 0;  // the first item that these queries do not need
    const auto leave_to_others = [&](int behind) {
#pragma unroll 1
      for (; left_to_do < behind; ++left_to_do) enter(left_to_do), release(left_to_do);
    };
    if (asks() && exist()) {
      memory.landed(0).wait(0);  // brings the queries
#pragma unroll 1
      for (int i = 0; i < pairs; i += 4) ask_pairs<Token>(i);
      enter(pairs), ask_squares<Token>(pairs), release(pairs);
      left_to_do = state_items();
    }
    leave_to_others(state_items());  // before the block meets, as each warpgroup begins its share of the copies
    if (d.gated()) memory.finish_gates(d, first_query);
    if (exist()) {
      if (asks() && d.forgets) {
        const float left = memory.taken(memory.groups, d.admits);
        leave(left, left);
      }
      left_to_do = d.parts == 1 ? ask_tokens<1>(own) : ask_tokens<2>(own);
    }
    leave_to_others(items());
    if (d.parts > 1) add_parts();
    if (exist() && diagonal % d.parts == part) store(own);
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
  const int rows = d.rows(), blocks = (d.tokens + rows - 1) / rows;
  const int heads = int(c.sequences * c.heads), head = int(blockIdx.x) % heads, of_head = int(blockIdx.x) / heads;
  const int slice = of_head % d.slices;
  answer_rows<Token>(c, maps, d, memory, head, slice, (blocks - 1 - of_head / d.slices) * rows).run();
#else
  (void)c, (void)maps, (void)d;
#endif
}

}  // namespace sextant::gpu::second
