// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the states: sums over tokens of the products of two keys and a value.
#pragma once

#include <sextant/cuda/ptx/mbarrier.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>
#include <sextant/cuda/second_order/gates.cuh>
#include <sextant/cuda/second_order/tiles.cuh>

namespace sextant::gpu::second {

inline constexpr int state_threads = 256, state_stages = 3;

/// Shared memory of a block: tiles of keys and values, the chunk's gates, and 16 rows of a state for each warp.
struct state_memory {
  static constexpr int stride = tile + 8;
  std::uint16_t k[state_stages][2][tile_numbers], v[state_stages][2][tile_numbers];  // 128 tokens at a time
  float rows[state_threads / 32][16 * stride];
  entering_gates gates;
};
inline constexpr std::size_t state_shared_bytes = sizeof(state_memory) + 1024;

/// A warpgroup of a block that sums up a quarter of a state, one tile of each pair of blocks of keys: the five pairs from
/// 5 `group` on, in registers, and 8 of the normaliser's columns. A block walks one segment of one head.
///   S_mn += (k_m w) k_n u: the first factor, k_m w of one warp's m times 16 n, is made in registers from K^T.
template <class Token, class Parts> struct state_walk {
  const device_call<float>& c;
  const division& d;
  state_memory& memory;
  const gates_of_head<Token, Parts> gates;
  const index_t n, h, head;
  const int slice, quarter, segment, group, warp, lane;
  float S[5][32], Z[4];

  __device__ state_walk(const device_call<float>& call, const Parts& parts, const division& its,
                        state_memory& its_memory, int block)
      : c{call},
        d{its},
        memory{its_memory},
        gates{call, parts, index_t(block / 4 / its.slices / its.segments) / call.heads,
              index_t(block / 4 / its.slices / its.segments) % call.heads},
        n{gates.reader.batch},
        h{gates.reader.h},
        head{n * call.heads + h},
        slice{block / 4 % its.slices},
        quarter{block % 4},
        segment{block / 4 / its.slices % its.segments},
        group{__shfl_sync(~0u, int(threadIdx.x) / 128, 0)},
        warp{int(threadIdx.x) / 32 % 4},
        lane{int(threadIdx.x) % 32} {}

  // Sum r of four of group j of eight channels is of these numbers:
  __device__ __forceinline__ int pair(int i) const { return 5 * group + i; }
  __device__ __forceinline__ int row_key(int i) const { return 16 * row_block(pair(i)) + 4 * quarter + warp; }
  __device__ __forceinline__ int channel(int j, int r) const { return 8 * j + 2 * (lane % 4) + r % 2; }
  __device__ __forceinline__ int normaliser_column(int r) const {
    return 16 * quarter + 8 * group + 2 * (lane % 4) + r % 2;
  }
  __device__ __forceinline__ int normaliser_row(int r) const { return 16 * warp + lane / 4 + r / 2 * 8; }
  __device__ bool has_normaliser() const { return c.normalises() && slice == 0; }

  /// The 16 rows of a tile that this warp has, between its registers and its own memory.
  __device__ __forceinline__ float* rows() const { return memory.rows[4 * group + warp]; }
  __device__ __forceinline__ float2* sums_in_rows(int r) const {
    return reinterpret_cast<float2*>(rows() + (lane / 4 + r % 4 / 2 * 8) * state_memory::stride +
                                     channel(r / 4, r % 4));
  }
  __device__ __forceinline__ void put_down(const float (&sums)[32]) const {
    __syncwarp();
#pragma unroll
    for (int r = 0; r < 32; r += 2) *sums_in_rows(r) = make_float2(sums[r], sums[r + 1]);
    __syncwarp();
  }
  __device__ __forceinline__ void take_up(float (&sums)[32]) const {
    __syncwarp();
#pragma unroll
    for (int r = 0; r < 32; r += 2) sums[r] = sums_in_rows(r)->x, sums[r + 1] = sums_in_rows(r)->y;
    __syncwarp();
  }
  /// visit(m, n, eight numbers of their product's row, the first channel, its place among the state's tiles) for all of tile
  /// i that this warp has in its memory, by its lanes; m <= n but where a diagonal is between them.
  template <class Visit> __device__ __forceinline__ void each_eight(int i, const Visit& visit) const {
    const int m = row_key(i), n0 = 16 * column_block(pair(i));
    const bool swaps = row_block(pair(i)) > column_block(pair(i));
#pragma unroll 1
    for (int at = lane; at < 128; at += 32)
      visit(swaps ? n0 + at / 8 : m, swaps ? m : n0 + at / 8, rows() + at / 8 * state_memory::stride + at % 8 * 8,
            64 * slice + at % 8 * 8, (4 * pair(i) + quarter) * tile_numbers + 16 * tile * warp + 8 * at);
  }

  __device__ __forceinline__ void start() {
    const call_state from{c, n, h};
    const bool given = d.segments == 1;
#pragma unroll
    for (int i = 0; i < 5; ++i) {
#pragma unroll
      for (int r = 0; r < 32; ++r) S[i][r] = 0.0f;
      if (!given || !c.S_in) continue;
      each_eight(i, [&](int m, int k, float* to, int v, int) {
        for (int e = 0; e < 8; ++e) to[e] = from.load(c.S_in, m, k, v + e);
      });
      take_up(S[i]);
    }
#pragma unroll
    for (int r = 0; r < 4; ++r)
      Z[r] = given && has_normaliser() ? from.load(c.z_in, normaliser_row(r), normaliser_column(r), 0) : 0.0f;
  }
  /// What the queries of chunk `chunk` ask: rounded, products that count twice twice.
  __device__ __forceinline__ void show(int chunk) const {
    std::uint16_t* const to = d.state(head, chunk, slice);
#pragma unroll
    for (int i = 0; i < 5; ++i) {
      put_down(S[i]);
      each_eight(i, [&](int m, int k, const float* from, int, int at) {
        const float by = times_counted(m, k);
        float x[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) x[e] = by == 0.0f ? 0.0f : from[e] * by;
        *reinterpret_cast<uint4*>(to + at) = narrowed<Token>(x).words;
      });
    }
    if (!has_normaliser()) return;
#pragma unroll
    for (int r = 0; r < 4; r += 2) {
      const float by = times_counted(normaliser_row(r), normaliser_column(r));
      const float next = times_counted(normaliser_row(r), normaliser_column(r + 1));
      *reinterpret_cast<std::uint32_t*>(to + normaliser_tile * tile_numbers + normaliser_row(r) * tile +
                                        normaliser_column(r)) =
          detail::round_pair<Token>(by == 0.0f ? 0.0f : Z[r] * by, next == 0.0f ? 0.0f : Z[r + 1] * next);
    }
  }
  /// The segment's sums for those behind it, or the call's final state.
  __device__ __forceinline__ void finish() const {
    const bool hands_over = d.segments > 1;
    if (!hands_over && d.walked < d.chunks) return show(d.walked);
    const call_state to{c, n, h};
    float* const sums = hands_over ? d.sum(head, segment, slice) : nullptr;
#pragma unroll
    for (int i = 0; i < 5; ++i) {
      put_down(S[i]);
      each_eight(i, [&](int m, int k, const float* from, int v, int at) {
        for (int e = 0; e < 8; ++e)
          if (hands_over) sums[at + e] = from[e];
          else to.store(c.S_out, m, k, v + e, from[e]);
      });
    }
    if (!has_normaliser()) return;
#pragma unroll
    for (int r = 0; r < 4; ++r)
      if (hands_over) sums[normaliser_tile * tile_numbers + normaliser_row(r) * tile + normaliser_column(r)] = Z[r];
      else to.store(c.z_out, normaliser_row(r), normaliser_column(r), 0, Z[r]);
  }
  __device__ __forceinline__ void leave(float left) {
#pragma unroll
    for (int i = 0; i < 5; ++i)
#pragma unroll
      for (int r = 0; r < 32; ++r) S[i][r] *= left;
#pragma unroll
    for (int r = 0; r < 4; ++r) Z[r] *= left;
  }

  /// What the factors of 16 tokens are made of: numbers of the four blocks of columns (2 group, 2 group + 1, those of the last
  /// two pairs), and this warp's k_m w of the first two.
  struct key_pairs {
    std::uint32_t columns[4][4], rows[2][2];
  };
  /// Of this lane's two tokens among eight.
  __device__ __forceinline__ float2 factors(const float* of_tokens, int t) const {
    return *reinterpret_cast<const float2*>(of_tokens + t + 2 * (lane % 4));
  }
  __device__ __forceinline__ key_pairs load_keys(std::uint32_t keys, int step, int t) const {
    const int m = 4 * quarter + warp;  // in its block of 16
    key_pairs k;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      load_columns(k.columns[i], keys, column_block(i < 2 ? pair(i) : pair(i + 1)), step, lane);
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        k.rows[i][half] =
            __shfl_sync(~0u, m < 8 ? k.columns[i][2 * half] : k.columns[i][2 * half + 1], m % 8 * 4 + lane % 4);
        if (weighs())
          k.rows[i][half] =
              multiply_pair<Token>(k.rows[i][half], factors(memory.gates.admitted, t + 16 * step + 8 * half));
      }
    return k;
  }
  /// Begins the products of 16 tokens, the five pairs one after the other: a pair's factor takes the place of the one before
  /// once that is read, while the other four pairs' products run.
  __device__ __forceinline__ void add_products(const key_pairs& k, std::uint32_t (&factor)[5][4], std::uint32_t values,
                                               int step) {
#pragma unroll
    for (int i = 0; i < 5; ++i) {
      if (step > 0) ptx::wait_products<4>();
#pragma unroll
      for (int r = 0; r < 4; ++r)
        factor[i][r] = multiply_pairs(k.columns[i < 2 ? i : i - 1][r], k.rows[i == 2 || i == 4][r / 2]);
      ptx::begin_products();
      ptx::multiply<Token, true>(S[i], factor[i], ptx::rows_across_sum(values, 2048 * step, 0), true);
      ptx::commit_products();
    }
  }
  __device__ __forceinline__ void add_to_normaliser(std::uint32_t keys, int step, int t) {
    std::uint32_t first[4], second[4];
    load_columns(first, keys, warp, step, lane);
    load_columns(second, keys, quarter, step, lane);
    if (gates.forgets)
#pragma unroll
      for (int r = 0; r < 4; ++r)
        first[r] = multiply_pair<Token>(first[r], factors(memory.gates.decay, t + 16 * step + r / 2 * 8));
    ptx::multiply_add<Token>(Z, first, group == 0 ? second[0] : second[1], group == 0 ? second[2] : second[3]);
  }
  /// Tokens t..t+63 of the chunk, or 128 of them: while products run, the next ones' keys are loaded.
  __device__ __forceinline__ void add_tokens(int stage, int t, int tiles) {
    const std::uint32_t keys = ptx::shared_address(memory.k[stage]), values = ptx::shared_address(memory.v[stage]);
    key_pairs k = load_keys(keys, 0, t);
#pragma unroll 1
    for (int i = 0; i < tiles; ++i) {
      std::uint32_t factor[5][4];
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        add_products(k, factor, values + i * tile_bytes, step);
        if (has_normaliser()) add_to_normaliser(keys + i * tile_bytes, step, t + tile * i);
        if (step < 3) k = load_keys(keys + i * tile_bytes, step + 1, t + tile * i);
        else if (i + 1 < tiles) k = load_keys(keys + (i + 1) * tile_bytes, 0, t + tile * (i + 1));
      }
      ptx::wait_products<0>();
    }
  }

  __device__ bool weighs() const { return gates.forgets || gates.admits; }
  __device__ void run() {
    const int thread = int(threadIdx.x), first = segment * d.segment_chunks, behind = d.last_chunk(segment);
    const token_rows keys(c.k, c, n, c.key_head(h), 0, 2 * int(c.keys), thread);
    const token_rows values(c.v, c, n, h, 64 * slice, 2 * min(64, int(c.values) - 64 * slice), thread);
    // Up to 128 tokens of a chunk are an item; they are loaded two items ahead, of the next chunk too.
    int loaded = 0, load_chunk = first, load_t = d.begin(first);
    const auto load = [&] {
      if (load_chunk < behind) {
        const int stage = loaded++ % state_stages, its_end = d.end(load_chunk);
#pragma unroll 1
        for (int i = 0; i < 2 && load_t < its_end; ++i, load_t += tile) {
          keys.load(ptx::shared_address(memory.k[stage][i]), load_t, d.tokens, state_threads);
          values.load(ptx::shared_address(memory.v[stage][i]), load_t, d.tokens, state_threads);
        }
        if (load_t >= its_end) load_t = its_end, ++load_chunk;
      }
      ptx::commit_copies();
    };
    load(), load();
    start();
    int stage = 0;
    for (int chunk = first; chunk < behind; ++chunk) {
      if (d.segments == 1 ? chunk > 0 || d.enters : chunk > first) show(chunk);
      const int its_end = d.end(chunk), its_begin = d.begin(chunk);
      float log = 0.0f;
      if (weighs()) {
        log = memory.gates.compute(gates, its_begin, its_end);
        leave(ptx::exp2_approx(log));
      }
      if (slice == 0 && quarter == 0 && thread == 0) d.logs[head * d.chunks + chunk] = log;
#pragma unroll 1
      for (int t = its_begin; t < its_end; t += 2 * tile) {
        ptx::await_copies<1>();
        ptx::publish_to_async_proxy();
        __syncthreads();
        load();
        add_tokens(stage, t - its_begin, t + tile < its_end ? 2 : 1);
        stage = stage + 1 == state_stages ? 0 : stage + 1;
      }
    }
    finish();
  }
};

/// What enters the chunks of a segment, and what the segment leaves: blocks of 4 quarters of a state, by slice, segment, head.
template <class Token, class Parts>
__global__ void __launch_bounds__(state_threads, 1)
    states_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ Parts parts,
                  const __grid_constant__ division d) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char shared[];
  auto& memory = *reinterpret_cast<state_memory*>(shared + (-ptx::shared_address(shared) & 1023u));
  state_walk<Token, Parts>(c, parts, d, memory, int(blockIdx.x)).run();
#else
  (void)c, (void)parts, (void)d;
#endif
}

}  // namespace sextant::gpu::second
