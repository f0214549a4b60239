// SPDX-License-Identifier: Apache-2.0
/// @file  What a token says to the keys: phi(k), phi(q) and F as floats for all channels of a warp, and the normaliser.
#pragma once

#include <sextant/cuda/selective/gates.cuh>
#include <sextant/cuda/tile/approximate.cuh>

namespace sextant::gpu::lanes {

/// Maps a round's k and q, each lane its share: the first 16 lanes k, the others q; and evaluates forget gates of keys.
template <class Layout> struct key_mapping {
  using token = typename Layout::token;
  using design = typename Layout::design;
  using arrivals = typename Layout::arrivals;
  static constexpr int keys = Layout::keys, half = 16;
  static constexpr int share = Layout::round * keys / half;  ///< numbers of a lane, neighbours
  static constexpr int at_once = share * int(sizeof(token)) > 16 ? 16 / int(sizeof(token)) : share;

  static constexpr int F_share = Layout::forget_of_key ? Layout::round * keys / 32 : 1;  ///< likewise

  const design& d;
  const int K, lane;
  const float k_scale;
  array<float, F_share> rate;  ///< of the forget gate, for this lane's keys

  template <class Sequence>
  __device__ __forceinline__ key_mapping(const design& its_design, const Sequence& x, index_t h, int its_lane)
      : d{its_design},
        K{int(x.k.template extent<axis::key>())},
        lane{its_lane},
        k_scale{key_scale<float>(d.feature_map, K)} {
    if constexpr (Layout::forget_of_key)
#pragma unroll
      for (int i = 0; i < F_share; ++i) {
        const int key = (lane * F_share + i) % keys;
        rate[i] = forget_of_design<Layout>::rate(x, h, 0, key < K ? key : 0);
      }
  }

  /// phi of one number: for tokens of 16 bits by instructions that are good to 2^-22.
  __device__ __forceinline__ float mapped(float x) const {
    if constexpr (!Layout::exact && requires { float(d.feature_map(approximate(x))); })
      return float(d.feature_map(approximate(x)));
    else return d.feature_map(x);
  }
  /// This lane's numbers of a round, as they are stored.
  struct share_of_round {
    array<together<token, at_once>, share / at_once> part;
    together<token, F_share> F;
  };
  __device__ __forceinline__ share_of_round load(const arrivals& from) const {
    share_of_round s;
    const token* const raw = from.keys[lane >= half ? 1 : 0] + lane % half * share;
#pragma unroll
    for (int i = 0; i < share / at_once; ++i) s.part[i] = load_together<at_once>(raw + i * at_once);
    if constexpr (Layout::forget_of_key) s.F = load_together<F_share>(from.forget_keys.at + lane * F_share);
    return s;
  }
  /// Those, mapped, where they belong among the rows `to`.
  __device__ __forceinline__ void store(const share_of_round& s, float* to) const {
    const bool of_q = lane >= half;
    const int number = lane % half * share, t = number / keys, key = number % keys;
    float* const row = to + t * Layout::row + (of_q ? keys : 0) + key;
    const float scale_before = of_q ? 1.0f : k_scale;
#pragma unroll
    for (int i = 0; i < share; i += at_once) {
      array<float, at_once> numbers;
      widen(s.part[i / at_once], numbers);
#pragma unroll
      for (int j = 0; j < at_once; ++j)
        if constexpr (!Layout::plain_map) numbers[j] = key + i + j < K ? mapped(numbers[j] * scale_before) : 0.0f;
#pragma unroll
      for (int j = 0; j < at_once; j += 4)
        store_together(row + i + j, together<float, 4>{{numbers[j], numbers[j + 1], numbers[j + 2], numbers[j + 3]}});
    }
    if constexpr (Layout::forget_of_key) {
      static_assert(F_share == 4);
      array<float, F_share> F;
      widen(s.F, F);
#pragma unroll
      for (int i = 0; i < F_share; ++i) F[i] = forget_of_design<Layout>{d.forget_gate}(F[i], rate[i]);
      const int first = lane * F_share;
      store_together(to + first / keys * Layout::row + 2 * keys + first % keys,
                     together<float, 4>{{F[0], F[1], F[2], F[3]}});
    }
  }
};

/// z of norm::sum_undecayed. With 16 keys, lanes l and l + 16 both keep that of key l and answer for 4 of 8 tokens each; with
/// more, lane l keeps those of keys l and l + 32.
template <class Layout> struct key_sums {
  static constexpr int across = Layout::keys < 32 ? Layout::keys : 32, each = Layout::keys / across;
  static constexpr int tokens = Layout::round * across / 32;  ///< that a lane answers for
  array<float, each> z;

  template <class State>
  __device__ __forceinline__ void begin(const State& initial, index_t n, index_t h, int K, int lane) {
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int key = i * 32 + lane % across;
      z[i] = initial.z && key < K ? float(initial.z(n, h, key)) : 0.0f;
    }
  }
  /// z over a round whose rows lie in `rows`, `count` tokens of it, and the factor of each.
  __device__ __forceinline__ void add(const float* rows, float* factor, int count, int lane, float scale, float eps) {
    array<float, tokens> qz = {};
    const int first = lane / across * tokens;
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int key = i * 32 + lane % across;
#pragma unroll
      for (int t = 0; t < Layout::round; ++t) {
        z[i] += t < count ? rows[t * Layout::row + key] : 0.0f;
        if (t / tokens * tokens == first)
          qz[t % tokens] = fmaf(rows[t * Layout::row + Layout::keys + key], z[i], qz[t % tokens]);
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
    if (lane % across < tokens) {
      // step s kept bit s of the token in bit s of the lane
      factor[first + lane % tokens] = scale / (qz[0] + eps);
    }
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
