// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the answers: what queries take of the state that enters their chunk, and of the chunk's tokens.
#pragma once

#include <sextant/cuda/ptx/mbarrier.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>
#include <sextant/cuda/second_order/tiles.cuh>
#include <sextant/cuda/second_order/window.cuh>
#include <sextant/cuda/tile/activation.cuh>

namespace sextant::gpu::second {

/// A warpgroup's 64 queries. First the state, tile by tile: the factor q_m q_n of a step is a row's q_m times 16 of its q_n.
/// Then the window's tokens, 64 at a time, (q . k)^2 times v, decayed until the first of these queries; last the queries' own
/// 64.
template <class Token, class Parts> struct answer_rows {
  const device_call<float>& c;
  const Parts& parts;
  const division& d;
  const answer_memory memory;
  const int n, h, slice, group, warp, lane;
  const int first, chunk, begin, tiles;  // the block's first query, its chunk, the window's first token and tiles
  const int diagonal;                    // the tile of these queries
  float Y[32], divisor[2];

  __device__ answer_rows(const device_call<float>& call, const Parts& its_parts, const division& its,
                         unsigned char* shared, int head, int its_slice, int its_first)
      : c{call},
        parts{its_parts},
        d{its},
        memory{shared, int(blockDim.x) / 128,
               (min(its.tokens, its_first + int(blockDim.x) / 2) - its.begin(its_first / its.chunk) + tile - 1) / tile},
        n{head / int(call.heads)},
        h{head % int(call.heads)},
        slice{its_slice},
        group{__shfl_sync(~0u, int(threadIdx.x) / 128, 0)},
        warp{int(threadIdx.x) / 32 % 4},
        lane{int(threadIdx.x) % 32},
        first{its_first},
        chunk{its_first / its.chunk},
        begin{its.begin(chunk)},
        tiles{memory.tiles},
        diagonal{(its_first - begin) / tile + group} {}

  __device__ __forceinline__ bool forgets() const { return !parts.forget.is_one; }
  __device__ __forceinline__ bool admits() const { return !parts.input.is_one; }
  __device__ __forceinline__ bool exist() const { return diagonal < tiles; }      ///< whether there are such queries
  __device__ __forceinline__ bool asks() const { return chunk > 0 || d.enters; }  ///< whether a state enters
  __device__ __forceinline__ int row() const {
    return 16 * warp + lane / 4;
  }  // of the first sums; the other's is row + 8
  __device__ __forceinline__ int column(int i) const { return i / 4 * 8 + lane % 4 * 2 + i % 2; }

  // The block's items of work: a pair of the state's blocks each, the normaliser's tile, then two tiles of tokens each.
  __device__ __forceinline__ int state_items() const { return !asks() ? 0 : c.normalises() ? pairs + 1 : pairs; }
  __device__ __forceinline__ int items() const { return state_items() + (tiles + 1) / 2; }
  __device__ __forceinline__ void load(int i, const token_rows& keys, const token_rows& values) const {
    const std::uint32_t to = memory.stage(i);
    if (i < state_items()) {
      const bool is_z = i == pairs;
      const std::uint16_t* const from = d.state(n * c.heads + h, chunk, is_z ? 0 : slice) + 4 * i * tile_numbers;
      for (int p = int(threadIdx.x); p < (is_z ? 1 : 4) * tile_bytes / 16; p += int(blockDim.x))
        ptx::copy_async<16>(piece_of(to + p / 512 * tile_bytes, p / 8 % 64, p % 8), from + 8 * p);
    } else if (i < items()) {
#pragma unroll
      for (int which = 0; which < 2; ++which) {
        const int j = 2 * (i - state_items()) + which;
        if (j >= tiles) break;
        keys.load(to + 2 * which * tile_bytes, begin + j * tile, d.tokens, int(blockDim.x));
        values.load(to + (2 * which + 1) * tile_bytes, begin + j * tile, d.tokens, int(blockDim.x));
      }
    }
    memory.landed(i).arrive_after_copies();
  }

  // The warpgroups take turns at scores: while those of one are made, the others have arithmetic or sums to do.
  __device__ __forceinline__ void take_turn() const {
    if (memory.groups > 1) ptx::synchronise(1 + group, 256);
  }
  __device__ __forceinline__ void end_turn() const {
    if (memory.groups > 1) ptx::let_pass(1 + (group + 1 == memory.groups ? 0 : group + 1), 256);
  }

  /// Pair i of the state's blocks, four tiles: four products in flight while the next four's factors are made.
  __device__ __forceinline__ void ask_state(int i) {
    std::uint32_t columns[4], rows[4], factor[2][4][4];
    const std::uint32_t queries = memory.queries(group), tiles_of_state = memory.stage(i);
    load_rows(columns, queries, column_block(i), warp, lane);
    load_rows(rows, queries, row_block(i), warp, lane);
#pragma unroll
    for (int t = 0; t < 4; ++t) {
#pragma unroll
      for (int m = 0; m < 4; m += 2) {
        const int from = lane / 4 * 4 + t % 2 * 2 + m / 2;
        const std::uint32_t upper = __shfl_sync(~0u, rows[t / 2 * 2], from),
                            lower = __shfl_sync(~0u, rows[t / 2 * 2 + 1], from);
#pragma unroll
        for (int which = 0; which < 2; ++which)
#pragma unroll
          for (int r = 0; r < 4; ++r)
            factor[t % 2][m + which][r] = multiply_pairs(columns[r], both(r % 2 ? lower : upper, which));
      }
      ptx::begin_products();
#pragma unroll
      for (int m = 0; m < 4; ++m)
        ptx::multiply<Token, true>(Y, factor[t % 2][m],
                                   ptx::rows_across_sum(tiles_of_state, t * tile_bytes + m * 2048, 0), true);
      ptx::commit_products();
      if (t < 3) ptx::wait_products<1>();
    }
    ptx::wait_products<0>();
  }
  /// The divisor's share of the state, q Z q.
  __device__ __forceinline__ void ask_normaliser(int i) {
    std::uint32_t q[4][4];
    float qz[32];
#pragma unroll
    for (int b = 0; b < 4; ++b) load_rows(q[b], memory.queries(group), b, warp, lane);
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b)
      ptx::multiply<Token, true>(qz, q[b], ptx::rows_across_sum(memory.stage(i), 2048 * b, 0), b > 0);
    ptx::commit_products();
    ptx::wait_products<0>();
#pragma unroll
    for (int j = 0; j < 32; j += 2) {
      float x, y;
      detail::widen_pair<Token>(q[j / 8][j / 4 % 2 * 2 + j / 2 % 2], x, y);
      divisor[j / 2 % 2] += qz[j] * x + qz[j + 1] * y;
    }
  }
  /// Multiplies what there is so far: what a state leaves until this tile, and what tiles leave until each query.
  __device__ __forceinline__ void leave(float upper, float lower) {
    divisor[0] *= upper, divisor[1] *= lower;
#pragma unroll
    for (int i = 0; i < 32; ++i) Y[i] *= i / 2 % 2 == 0 ? upper : lower;
  }
  __device__ __forceinline__ void leave_to_tile() {
    if (!forgets()) return;
    const float left = ptx::exp2_approx(float(memory.before(diagonal)));
    leave(left, left);
  }
  __device__ __forceinline__ void leave_to_queries() {
    if (!forgets()) return;
    const float* const cum = memory.cumulated(diagonal) + row();
    leave(ptx::exp2_approx(cum[0]), ptx::exp2_approx(cum[8]));
  }

  /// Scores of tile j, older than the queries' own, become weights until that begins.
  __device__ __forceinline__ void weigh_older(float (&s)[32], int j) {
    if (forgets()) {
      const float gap = ptx::exp2_approx(float(memory.before(diagonal) - memory.before(j + 1)));
      const float* const of_columns = memory.left(j) + lane % 4 * 2;
      weigh(s, [&](int i) {
        const float2 its = *reinterpret_cast<const float2*>(of_columns + 8 * i);
        return make_float2(its.x * gap, its.y * gap);
      });
    } else {
      weigh(s, [](int) { return make_float2(1.0f, 1.0f); });
    }
  }
  /// s = s^2 factor_of(column), their sums to the divisor.
  template <class Factor> __device__ __forceinline__ void weigh(float (&s)[32], const Factor& factor_of) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float2 factor = factor_of(i);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const float score = s[4 * i + r], scaled = score * (r % 2 ? factor.y : factor.x);
        divisor[r / 2] = fmaf(scaled, score, divisor[r / 2]);
        s[4 * i + r] = scaled * score;
      }
    }
  }
  /// The same of the queries' own tile, but for their own tokens.
  __device__ __forceinline__ void weigh_own(float (&s)[32]) {
    const bool forgets = this->forgets(), admits = this->admits();
    const float* const cum = memory.cumulated(diagonal);
    float own[2] = {0.0f, 0.0f};
    const float now[2] = {forgets ? cum[row()] : 0.0f, forgets ? cum[row() + 8] : 0.0f};
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      float x = s[i] * s[i];
      if (forgets) x *= ptx::exp2_approx(now[i / 2 % 2] - cum[column(i)]);
      const int distance = row() + i / 2 % 2 * 8 - column(i);
      if (distance == 0) own[i / 2 % 2] = x;
      s[i] = distance > 0 ? x : 0.0f;
      divisor[i / 2 % 2] += admits ? s[i] : rounded(s[i]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      divisor[i] += own[i];
      own[i] = __shfl_sync(~0u, own[i], lane / 4 * 4 + lane / 8);  // the lane of the row that has it
      memory.own(64 * group + row() + 8 * i) = admits ? own[i] * memory.admitted(diagonal)[row() + 8 * i] : own[i];
    }
  }
  static __device__ __forceinline__ float rounded(float x) {
    return ptx::as_float(ptx::as_stored<Token>(x));
  }
  /// Tile j of tokens, at `keys`.
  __device__ __forceinline__ void add_tokens(std::uint32_t keys, int j) {
    const std::uint32_t values = keys + tile_bytes;
    std::uint32_t q[4][4], weights[4][4];
    float s[32];
#pragma unroll
    for (int b = 0; b < 4; ++b) load_rows(q[b], memory.queries(group), b, warp, lane);
    take_turn();
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b) ptx::multiply<Token, false>(s, q[b], ptx::rows_along_sum(keys, 32 * b), b > 0);
    ptx::commit_products();
    ptx::wait_products<0>();
    end_turn();
    const bool is_own = __all_sync(~0u, j == diagonal);  // a vote, so that the compiler sees that lanes agree
    if (is_own) leave_to_queries(), weigh_own(s);
    else weigh_older(s, j);
    if (admits())
#pragma unroll
      for (int i = 0; i < 32; ++i) s[i] *= memory.admitted(j)[column(i)];
#pragma unroll
    for (int r = 0; r < 16; ++r) weights[r / 4][r % 4] = detail::round_pair<Token>(s[2 * r], s[2 * r + 1]);
    ptx::begin_products();
#pragma unroll
    for (int b = 0; b < 4; ++b)
      ptx::multiply<Token, true>(Y, weights[b], ptx::rows_across_sum(values, 2048 * b, 0), true);
    ptx::commit_products();
    ptx::wait_products<0>();
  }

  __device__ __forceinline__ void store() {
    const float raise = c.key_scale * c.key_scale;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int t = first + 64 * group + row() + 8 * i;
      const float own = memory.own(64 * group + row() + 8 * i);
      float factor = c.scale * raise;
      if (c.normalises()) {
        float sum = divisor[i];
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        factor /= fmaf(sum, raise, c.eps);
      }
      if (t >= d.tokens) continue;
      const index_t at = c.order == order_kind::reversed ? c.tokens - 1 - t : t;
#pragma unroll
      for (int j = 0; j < 32; j += 4) {
        const int v = 64 * slice + column(j);
        if (v >= c.values) continue;
        const auto read = [&](const tensor<float>& from, float& low, float& high) {
          detail::widen_pair<Token>(*reinterpret_cast<const std::uint32_t*>(from.at(n, at, h) + v * from.element), low,
                                    high);
        };
        float low, high;
        read(c.v, low, high);
        float x = fmaf(own, low, Y[j + 2 * i]) * factor, y = fmaf(own, high, Y[j + 2 * i + 1]) * factor;
        if (c.d) {
          const std::byte* const weight = c.d.at(0, 0, h) + v * c.d.value;
          x = fmaf(*reinterpret_cast<const float*>(weight), low, x);
          y = fmaf(*reinterpret_cast<const float*>(weight + c.d.value), high, y);
        }
        if (c.output_gate) {
          read(c.output_gate, low, high);
          x *= silu<true>(low), y *= silu<true>(high);
        }
        *reinterpret_cast<std::uint32_t*>(c.y.at(n, at, h) + v * c.y.element) = detail::round_pair<Token>(x, y);
      }
    }
  }

  __device__ void run() {
    const int key_head = h * int(c.key_heads) / int(c.heads), thread = int(threadIdx.x);
    token_rows(c.q, c, n, key_head, 0, 2 * int(c.keys), thread % 128)
        .load(memory.queries(group), first + 64 * group, d.tokens, 128);
    const token_rows keys(c.k, c, n, key_head, 0, 2 * int(c.keys), thread);
    const token_rows values(c.v, c, n, h, 64 * slice, 2 * min(64, int(c.values) - 64 * slice), thread);
    if (thread == 0) memory.init_barriers(), ptx::publish_mbarriers();
    __syncthreads();
    load(0, keys, values);
    if (forgets() || admits()) {
      memory.compute_gates(gates_of_head<Token, Parts>(c, parts, n, h), begin, d.tokens, lane);
      __syncthreads();
      if (threadIdx.x < 32) memory.add_totals(lane);
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 32; ++i) Y[i] = 0.0f;
    divisor[0] = divisor[1] = 0.0f;
    if (group + 1 == memory.groups) end_turn();
#pragma unroll 1
    for (int i = 0; i < items(); ++i) {
      if (i + 1 < items()) {
        if (i >= 2) memory.released(i + 1).wait((i + 1) / answer_stages - 1);
        load(i + 1, keys, values);
      }
      memory.landed(i).wait(i / answer_stages);
      ptx::publish_to_async_proxy();
      const int at = i - state_items();
      if (at < 0) {
        if (exist()) {
          if (i < pairs) ask_state(i);
          else ask_normaliser(i);
          if (at == -1) leave_to_tile();
        }
      } else {
#pragma unroll 1
        for (int j = 2 * at; j < 2 * at + 2 && j < tiles; ++j) {
          if (exist() && j <= diagonal) add_tokens(memory.stage(i) + (j - 2 * at) * 2 * tile_bytes, j);
          else take_turn(), end_turn();
        }
      }
      __syncwarp();
      if (lane == 0) memory.released(i).arrive();
    }
    if (exist()) store();
  }
};

/// y of blocks of 64 queries for each warpgroup, by block, slice and head; the blocks with most to do come first.
template <class Token, class Parts>
__global__ void __launch_bounds__(128 * most_groups, 1)
    answers_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ Parts parts,
                   const __grid_constant__ division d) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char shared[];
  unsigned char* const memory = shared + (-ptx::shared_address(shared) & 1023u);
  const int rows = int(blockDim.x) / 2, blocks = (d.tokens + rows - 1) / rows;
  const int heads = int(c.sequences * c.heads), head = int(blockIdx.x) % heads, of_head = int(blockIdx.x) / heads;
  const int slice = of_head % d.slices;
  answer_rows<Token, Parts>(c, parts, d, memory, head, slice, (blocks - 1 - of_head / d.slices) * rows).run();
#else
  (void)c, (void)parts, (void)d;
#endif
}

}  // namespace sextant::gpu::second
