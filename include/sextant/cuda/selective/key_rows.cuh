// SPDX-License-Identifier: Apache-2.0
/// @file  What a token says to the keys: phi(k) and phi(q) as floats for all channels of a block, and the normaliser.
#pragma once

#include <sextant/cuda/ptx/mma.cuh>
#include <sextant/cuda/selective/gates.cuh>

namespace sextant::gpu::lanes {

/// Rows of two rounds: phi(k) and phi(q) of each token; and the factor of y, scale / (q z + eps), where the design divides.
template <class Layout> struct rows_of_keys {
  alignas(16) float of[2][Layout::round * Layout::row];
  alignas(16) float factor[2][Layout::normalises ? Layout::round : 1];
};

/// Maps a round's k and q, each thread its share: the first two warps k, the others q.
template <class Layout> struct key_mapping {
  using token = typename Layout::token;
  using design = typename Layout::design;
  using arrivals = typename Layout::arrivals;
  static constexpr int keys = Layout::keys, half = Layout::threads / 2;
  static constexpr int share = Layout::round * keys / half;  ///< numbers of a thread, neighbours
  static constexpr int at_once = share * int(sizeof(token)) > 16 ? 16 / int(sizeof(token)) : share;

  const design& d;
  const int K, thread;
  const float k_scale;

  __device__ __forceinline__ key_mapping(const design& its_design, int its_K, int its_thread)
      : d{its_design}, K{its_K}, thread{its_thread}, k_scale{key_scale<float>(d.feature_map, its_K)} {}

  /// This thread's numbers of a round, as they are stored.
  struct share_of_round {
    together<token, at_once> part[share / at_once];
  };
  __device__ __forceinline__ share_of_round load(const arrivals& from) const {
    share_of_round s;
    const token* const raw = from.keys[thread >= half ? 1 : 0] + thread % half * share;
#pragma unroll
    for (int i = 0; i < share / at_once; ++i) s.part[i] = load_together<at_once>(raw + i * at_once);
    return s;
  }
  /// Those, mapped, where they belong among the rows `to`.
  __device__ __forceinline__ void store(const share_of_round& s, float* to) const {
    const bool of_q = thread >= half;
    const int number = thread % half * share, t = number / keys, key = number % keys;
    float* const row = to + t * Layout::row + (of_q ? keys : 0) + key;
    const float scale_before = of_q ? 1.0f : k_scale;
#pragma unroll
    for (int i = 0; i < share; i += 2) {
      together<float, 2> pair;
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float one = ptx::as_float(s.part[(i + j) / at_once].at[(i + j) % at_once]);
        if constexpr (!Layout::plain_map) {
          one = key + i + j < K ? d.feature_map(one * scale_before) : 0.0f;
          // what has more bits than a factor of a product is rounded to those here, not cut off there
          if constexpr (!Layout::exact) one = ptx::round_to_tf32(one);
        }
        pair.at[j] = one;
      }
      store_together(row + i, pair);
    }
  }
};

/// z of norm::sum_undecayed, by one warp: lane l keeps keys l and l + 32.
template <class Layout> struct key_sums {
  static constexpr int each = (Layout::keys + 31) / 32;
  float z[each];

  template <class State> __device__ __forceinline__ void begin(const State& initial, index_t n, index_t h, int K, int lane) {
#pragma unroll
    for (int i = 0; i < each; ++i) z[i] = initial.z && i * 32 + lane < K ? float(initial.z(n, h, i * 32 + lane)) : 0.0f;
  }
  /// z over a round whose rows lie in `rows`, `count` tokens of it, and the factor of each.
  __device__ __forceinline__ void add(const float* rows, float* factor, int count, int K, int lane, float scale, float eps) {
#pragma unroll
    for (int t = 0; t < Layout::round; ++t) {
      float qz = 0;
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int key = i * 32 + lane;
        if (t < count && key < K) {
          z[i] += rows[t * Layout::row + key];
          qz = fmaf(rows[t * Layout::row + Layout::keys + key], z[i], qz);
        }
      }
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) qz += __shfl_xor_sync(~0u, qz, distance);
      if (lane == 0) factor[t] = scale / (qz + eps);
    }
  }
  template <class State> __device__ __forceinline__ void end(const State& last, index_t n, index_t h, int K, int lane) const {
    if (last.z)
#pragma unroll
      for (int i = 0; i < each; ++i)
        if (i * 32 + lane < K) last.z(n, h, i * 32 + lane) = typename Layout::precision::state(z[i]);
  }
};

}  // namespace sextant::gpu::lanes
