// SPDX-License-Identifier: Apache-2.0
/// @file  What a token says to the keys: phi(k), phi(q) and F as floats for all channels of a warp, and the normaliser.
#pragma once

#include <sextant/cuda/selective/gates.cuh>
#include <sextant/cuda/selective/key_turns.cuh>
#include <sextant/cuda/tile/approximate.cuh>

namespace sextant::gpu::lanes {

/// phi of one number: for tokens of 16 bits by instructions that are good to 2^-22.
template <class Traits> __device__ __forceinline__ float mapped(const typename Traits::design& d, float x) {
  if constexpr (!Traits::exact && requires { float(d.feature_map(approximate(x))); })
    return float(d.feature_map(approximate(x)));
  else return d.feature_map(x);
}

/// Maps and turns a round's k and q, the first half of a block's threads k, the others q, each 4 neighbouring numbers at a time;
/// and evaluates forget gates of keys.
template <class Layout> struct key_mapping {
  using token = typename Layout::token;
  using design = typename Layout::design;
  using arrivals = typename Layout::arrivals;
  static constexpr int keys = Layout::keys, half = Layout::threads / 2, at_once = 4;
  static constexpr int takes = Layout::round * keys / (half * at_once);  ///< times 4 numbers of a thread
  static constexpr int apart = half * at_once / keys;                    ///< tokens between those
  static_assert(half * at_once % keys == 0 && (Layout::gap == 0 || apart == Layout::round / 2));
  using turns_type = std::conditional_t<Layout::turns, key_turns<Layout, takes, apart>, no_turns>;

  const design& d;
  const int K, thread;
  const int key;  ///< the first of the thread's 4, in all rows
  const float k_scale;
  const int t;  ///< the first of its tokens in a round
  const turns_type turns;
  array<float, at_once> rate;  ///< of the forget gate, for these

  template <class Sequence>
  __device__ __forceinline__ key_mapping(const design& its_design, const Sequence& x, const block_place& at,
                                         int its_thread)
      : d{its_design},
        K{int(x.k.template extent<axis::key>())},
        thread{its_thread},
        key{its_thread * at_once % keys},
        k_scale{key_scale<float>(d.feature_map, K)},
        t{its_thread % half * at_once / keys},
        turns{its_design, x, at, key, t} {
    if constexpr (Layout::forget_of_key)
#pragma unroll
      for (int i = 0; i < at_once; ++i) rate[i] = forget_of_design<Layout>::rate(x, at.h, 0, key + i < K ? key + i : 0);
  }

  /// This thread's numbers of a round, as they are stored.
  struct share_of_round {
    array<together<token, at_once>, takes> part;
    together<token, at_once> F;
  };
  __device__ __forceinline__ share_of_round load(const arrivals& from) const {
    share_of_round s;
    const token* const raw = from.tokens + (thread >= half ? Layout::q_at : Layout::k_at) + thread % half * at_once;
#pragma unroll
    for (int i = 0; i < takes; ++i) s.part[i] = load_together<at_once>(raw + i * half * at_once);
    if constexpr (Layout::forget_of_key)
      s.F = load_together<at_once>(from.tokens + Layout::forget_keys_at + thread * at_once);
    return s;
  }
  /// Those of round r, mapped and turned, where they belong among the rows `to`.
  __device__ __forceinline__ void store(const share_of_round& s, float* to, int r) const {
    const bool of_q = thread >= half;
    [[maybe_unused]] array<array<float2, 2>, takes> angles;
    if constexpr (Layout::turns) turns.angles(r, angles);
    float* const row = to + t * Layout::row + (of_q ? keys : 0) + key;
    const float scale_before = of_q ? 1.0f : k_scale;
#pragma unroll
    for (int i = 0; i < takes; ++i) {
      array<float, at_once> numbers;
      widen(s.part[i], numbers);
      if constexpr (!Layout::plain_map)
#pragma unroll
        for (int j = 0; j < at_once; ++j) numbers[j] = mapped<Layout>(d, numbers[j] * scale_before);
      float4 all{numbers[0], numbers[1], numbers[2], numbers[3]};
      float* const its_row = row + Layout::row_at(i * apart);
      if (!Layout::plain_map && key >= K) continue;  // zeros are there
      if constexpr (Layout::keeps_unturned) *reinterpret_cast<float4*>(its_row + Layout::unturned_at) = all;
      if constexpr (Layout::turns) all = turned(all, angles[i][0], angles[i][1]);
      *reinterpret_cast<float4*>(its_row) = all;
    }
    if constexpr (Layout::forget_of_key) {
      static_assert(Layout::round * keys == Layout::threads * at_once);
      array<float, at_once> F;
      widen(s.F, F);
#pragma unroll
      for (int i = 0; i < at_once; ++i) F[i] = forget_of_design<Layout>{d.forget_gate}.shared(F[i], rate[i]);
      store_together(to + Layout::row_at(thread * at_once / keys) + 2 * keys + key,
                     together<float, 4>{{F[0], F[1], F[2], F[3]}});
    }
  }
};

/// z of norm::sum_undecayed. With 16 keys, lanes l and l + 16 both keep that of key l and answer for 4 of 8 tokens each; with
/// more, lane l keeps those of keys l and l + 32. Each of a block's warps keeps all of z and answers for its share of the tokens.
template <class Layout> struct key_sums {
  static constexpr int across = Layout::keys < 32 ? Layout::keys : 32, each = Layout::keys / across;
  static constexpr int tokens = Layout::round * across / Layout::threads;  ///< that a lane answers for
  array<float, each> z;

  template <class State>
  __device__ __forceinline__ void begin(const State& initial, index_t n, index_t h, int K, int lane) {
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int key = i * 32 + lane % across;
      z[i] = initial.z && key < K ? float(initial.z(n, h, key)) : 0.0f;
    }
  }
  /// z over a round whose rows lie in `rows`, `count` tokens of it. Answers the factor of a token that this thread has, if
  /// it has one, for store(): which comes later, so that what else a warp reads need not wait for this.
  __device__ __forceinline__ float add(const float* rows, int count, int thread, float scale, float eps) {
    array<float, tokens> qz = {};
    const int lane = thread % 32, first = thread / across * tokens;
    const float* const its = rows + Layout::unturned_at + lane % across;
    if constexpr (across == 16) {
      // each half of the warp adds up its own tokens' k, and asks the other for what those come to
      const bool later = lane >= 16;
      const float* const half = its + (later ? Layout::row_at(tokens) : 0);
      array<float, tokens> up_to;
#pragma unroll
      for (int t = 0; t < tokens; ++t) {
        const float k = (later ? tokens : 0) + t < count ? half[t * Layout::row] : 0.0f;
        up_to[t] = t == 0 ? k : up_to[t - 1] + k;
      }
      const float others = __shfl_xor_sync(~0u, up_to[tokens - 1], 16), before = z[0] + (later ? others : 0.0f);
#pragma unroll
      for (int t = 0; t < tokens; ++t) qz[t] = half[t * Layout::row + Layout::keys] * (before + up_to[t]);
      z[0] += up_to[tokens - 1] + others;
    } else {
#pragma unroll
      for (int i = 0; i < each; ++i)
#pragma unroll
        for (int t = 0; t < Layout::round; ++t) {
          const float* const row = its + t * Layout::row + i * 32;
          z[i] += t < count ? row[0] : 0.0f;
          if (t / tokens * tokens == first) qz[t % tokens] = fmaf(row[Layout::keys], z[i], qz[t % tokens]);
        }
    }
    // each step halves the tokens that a lane sums for, until each lane is left with one
    int distance = 1;
#pragma unroll
    for (int left = tokens; left > 1; left /= 2, distance *= 2) {
      const bool upper = (lane & distance) != 0;
#pragma unroll
      for (int i = 0; i < left / 2; ++i) {
        const float given = upper ? qz[2 * i] : qz[2 * i + 1], kept = upper ? qz[2 * i + 1] : qz[2 * i];
        qz[i] = kept + __shfl_xor_sync(~0u, given, distance);
      }
    }
#pragma unroll
    for (; distance < across; distance *= 2) qz[0] += __shfl_xor_sync(~0u, qz[0], distance);
    return scale * ptx::reciprocal_approx(qz[0] + eps);
  }
  static __device__ __forceinline__ void store(float its, int thread, float* factor) {
    // step s of add() kept bit s of the token in bit s of the lane
    if (thread % across < tokens) factor[thread / across * tokens + thread % tokens] = its;
  }
  template <class State>
  __device__ __forceinline__ void end(const State& last, index_t n, index_t h, int K, int lane) const {
    if (last.z && lane < across)
#pragma unroll
      for (int i = 0; i < each; ++i)
        if (i * 32 + lane < K) last.z(n, h, i * 32 + lane) = typename Layout::precision::state(z[i]);
  }
};

}  // namespace sextant::gpu::lanes
