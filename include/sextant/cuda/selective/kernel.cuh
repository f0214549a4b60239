// SPDX-License-Identifier: Apache-2.0
/// @file  The kernel: a block walks through the tokens of 32 channels of a head, round after round.
#pragma once

#include <sextant/cuda/selective/feed.cuh>
#include <sextant/cuda/selective/key_rows.cuh>
#include <sextant/cuda/selective/segments.cuh>
#include <sextant/cuda/selective/token.cuh>

namespace sextant::gpu::lanes {

/// While round r is multiplied, y of round r - 1 is finished, round r + 1 is prepared (what is one number per token and
/// channel, once; phi of the keys, once for all 32 channels) and rounds r + 2 and r + 3 are on their way. One barrier a round.
template <class Design, class Precision, int Keys> struct block_walk {
  using layout = block_layout<Design, Precision, Keys>;
  using token = typename layout::token;
  using arrivals = typename layout::arrivals;
  using arithmetic = std::conditional_t<layout::exact, by_multiply_adds<layout>, by_products<layout>>;
  using preparing_type = channel_gates<layout, 2>;
  using finishing_type = channel_gates<layout, arithmetic::pack>;
  static constexpr int round = layout::round, stages = layout::stages, tiles = Keys / 16;

  struct memory {
    arrivals ring[stages];
    rows_of_keys<layout> rows;
    alignas(16) float table[layout::warps][2][round * layout::warp_channels * arithmetic::entry];  ///< w and the gate's number
  };
  /// y of a round, to be finished in the next.
  struct pending {
    float y[arithmetic::pack * arithmetic::finished] = {};
    typename finishing_type::last last[arithmetic::finished];
    token* to;  ///< where that y goes
  };

  const Design& design;
  memory& m;
  const float scale;
  const int thread = int(threadIdx.x), warp = thread / 32, lane = thread % 32, g = lane / 4, q = lane % 4;
  warp_states<layout> states;
  key_sums<layout> sums;

  /// Prepares this lane's share of round r, token g and two channels of its warp, in one half of the table.
  __device__ __forceinline__ void prepare(const preparing_type& gates, int r, int half) const {
    float number[2], w[2];
    gates.prepare(m.ring[r % stages], g, number, w);
    float* const to = m.table[warp][half] + (g * layout::warp_channels + 2 * q) * arithmetic::entry;
#pragma unroll
    for (int i = 0; i < 2; ++i) arithmetic::write(to + i * arithmetic::entry, w[i], number[i]);
  }
  /// Finishes the round before, whose factors lie in one half, and of whose tokens `count` exist.
  __device__ __forceinline__ void finish(const finishing_type& gates, const arithmetic& of, pending& p, int half, int count,
                                         bool inside, index_t step) const {
#pragma unroll
    for (int i = 0; i < arithmetic::finished; ++i) {
      const int t = of.token_of(i);
      float factor = scale;
      if constexpr (layout::normalises) factor = m.rows.factor[half][t];
      const auto y = gates.finish(p.y + i, factor, p.last[i]);
      if (inside && t < count) store_together(p.to + i * 4 * step, y);
    }
    p.to += round * step;
  }

  /// Round r, of whose tokens `count` exist: all 8 where Whole, and then r is even or odd as Parity says.
  template <bool Whole, int Parity>
  __device__ __forceinline__ void walk(const preparing_type& preparing, const finishing_type& finishing, arithmetic& of,
                                       const key_mapping<layout>& mapping, token_feed<layout>& feed, pending& p, int r, int count,
                                       bool inside, index_t step) {
    const int here = Whole ? Parity : r % 2, behind_it = 1 - here;
    const float* const rows = m.rows.of[here];
    const float* const table = m.table[warp][here];
    feed.send(r + stages - 1);
    const auto keys_behind = mapping.load(m.ring[(r + 1) % stages]);
    finish(finishing, of, p, behind_it, r > 0 ? round : 0, inside, step);
    prepare(preparing, r + 1, behind_it);
    mapping.store(keys_behind, m.rows.of[behind_it]);
    if constexpr (layout::normalises)
      if (warp == 0) sums.add(rows, m.rows.factor[here], count, mapping.K, lane, scale, float(design.norm.eps));

    of.begin_round(rows);
    typename arithmetic::operands now, behind;
    float F[tiles][4], F_behind[tiles][4];
    of.load(table, rows, 0, now);
    states.decays(design.forget_gate, now.number, F, 0);
#pragma unroll
    for (int t = 0; t < round; ++t) {
      // F of the next token is on its way while this one is multiplied
      if (t + 1 < round) {
        of.load(table, rows, t + 1, behind);
        states.decays(design.forget_gate, behind.number, F_behind, t + 1);
      }
      if (Whole || t < count) of.update(states.S, F, now, t, p.y);
      of.end_token(t, p.y);
      now = behind;
#pragma unroll
      for (int u = 0; u < tiles; ++u)
#pragma unroll
        for (int i = 0; i < 4; ++i) F[u][i] = F_behind[u][i];
    }

#pragma unroll
    for (int i = 0; i < arithmetic::finished; ++i) p.last[i] = finishing.read_last(m.ring[r % stages], of.token_of(i));
    feed.store_numbers(r + stages - 1);
    ptx::await_copies<1>();
    __syncthreads();
  }

  /// The gate's logarithm at token t of the block's sequence, in the order of time, per unit of its rate.
  template <class Sequence> __device__ __forceinline__ float step_at(const Sequence& x, const block_place& at, int t, index_t channel, float bias) const {
    const index_t place = at.template start<layout::reversed>() + (layout::reversed ? -t : t);
    float number = 0;
    if constexpr (layout::forget_of_channel) number = ptx::as_float(x.forget(at.batch(), place, at.h, channel));
    else if constexpr (layout::forget_of_head) number = ptx::as_float(x.forget(at.batch(), place, at.h));
    else if constexpr (layout::step_of_channel) number = softplus<layout::exact>(ptx::as_float(x.dt(at.batch(), place, at.h, channel)) + bias);
    else if constexpr (layout::step_of_head) number = softplus<layout::exact>(ptx::as_float(x.dt(at.batch(), place, at.h)) + bias);
    return sextant::detail::call_log(design.forget_gate, number, 1.0f);
  }

  /// Where the state that a segment of this block's sequence and head ends with lies; of segment -1, the initial one.
  template <class Sequence> static __device__ __forceinline__ index_t slot(const Sequence& x, const block_place& at, const segmentation& cut, int segment) {
    return index_t(at.n * int(x.v.template extent<axis::head>()) + at.h) * cut.count + segment + 1;
  }
  template <class Sequence>
  __device__ __forceinline__ void store_states(const Sequence& x, const block_place& at, const segmentation& cut, int segment,
                                                 const arithmetic& of, index_t channel) const {
    const index_t V = x.v.template extent<axis::value>(), K = x.k.template extent<axis::key>();
#pragma unroll
    for (int i = 0; i < tiles * 4; ++i)
      if (const int key = i / 4 * 16 + of.key_of(i % 4); key < K && channel < V)
        cut.ends[(slot(x, at, cut, segment) * K + key) * V + channel] = states.S[i / 4][i % 4];
  }
  /// Leaves the segment's tokens, of the first pass those that are not forgotten; and makes the state the one before them.
  template <class Sequence>
  __device__ __forceinline__ void begin_segment(const Sequence& x, block_place& at, const segmentation& cut, int segment,
                                                const arithmetic& of, bool there, index_t channel) {
    const index_t V = x.v.template extent<axis::value>(), K = x.k.template extent<axis::key>();
    const index_t from = index_t(segment) * cut.tokens, left = at.length - from;
    if (cut.first_pass) {
      at.template keep<layout::reversed>(from, cut.tokens);
      float rates[tiles * 4], bias = 0;
#pragma unroll
      for (int i = 0; i < tiles * 4; ++i) {
        const int key = i / 4 * 16 + of.key_of(i % 4);
        rates[i] = forget_of_design<layout>::rate(x, at.h, channel, key < K ? key : 0);
      }
      if constexpr (layout::step_of_channel) bias = x.bias ? float(x.bias(at.h, channel)) : 0.0f;
      if constexpr (layout::step_of_head) bias = x.bias ? float(x.bias(at.h)) : 0.0f;
      float span;
      const int begin = tokens_to_forget(rates, cut.tokens, lane, [&](int t) { return step_at(x, at, t, channel, bias); }, span);
      if (q == 0 && there) cut.spans[slot(x, at, cut, segment) * V + channel] = span;
      // the initial state may lie where the final one will: the second pass finds a copy
      if (segment == 0) store_states(x, at, cut, -1, of, there ? channel : V);
#pragma unroll
      for (int i = 0; i < tiles * 4; ++i) states.S[i / 4][i % 4] = 0;
      at.template keep<layout::reversed>(begin, cut.tokens - begin);
      return;
    }
    at.template keep<layout::reversed>(from, left < cut.tokens ? left : cut.tokens);
    float sum[tiles * 4] = {}, product[tiles * 4];
#pragma unroll
    for (float& one : product) one = 1;
    for (int j = segment - 1; j >= -1; --j) {
      const index_t place = slot(x, at, cut, j);
#pragma unroll
      for (int i = 0; i < tiles * 4; ++i) {
        const int key = i / 4 * 16 + of.key_of(i % 4);
        if (key >= K) continue;
        sum[i] = fmaf(product[i], cut.ends[(place * K + key) * V + channel], sum[i]);
      }
      if (j < 0) break;
      const float span = cut.spans[place * V + channel];
      if (span == __int_as_float(0x7f800000)) break;
#pragma unroll
      for (int i = 0; i < tiles * 4; ++i) product[i] *= ptx::exp2_approx(states.rate[i / 4][i % 4] * span);
    }
#pragma unroll
    for (int i = 0; i < tiles * 4; ++i) states.S[i / 4][i % 4] = sum[i];
  }
  template <class Sequence> __device__ __forceinline__ void run(const Sequence& x, block_place at, const segmentation& cut, int segment) {
    const int V = int(x.v.template extent<axis::value>()), K = int(x.k.template extent<axis::key>());
    const int begin = at.block * layout::channels, channel = begin + warp * layout::warp_channels + g;
    const bool there = channel < V;
    const forget_of_design<layout> gate{design.forget_gate};
    arithmetic of(lane);
#pragma unroll
    for (int u = 0; u < tiles; ++u)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = 16 * u + of.key_of(i);
        const bool known = there && key < K;
        float rate = known ? gate.rate(x, at.h, channel, key) : 0.0f;
        if constexpr (layout::decay == decay_kind::fixed) rate = gate(0.0f, rate);
        states.rate[u][i] = rate;
        states.S[u][i] = x.initial_state.S && known ? float(x.initial_state.S(at.n, at.h, key, channel)) : 0.0f;
      }
    if constexpr (can_be_cut<layout>)
      if (cut.count > 1) begin_segment(x, at, cut, segment, of, there, there ? channel : 0);
    const int to_finish = warp * layout::warp_channels + of.channel();
    const bool inside = begin + to_finish < V && !cut.first_pass;
    const preparing_type preparing(design, x, at.h, begin, warp * layout::warp_channels + 2 * q, V);
    const finishing_type finishing(design, x, at.h, begin, to_finish, V);
    const key_mapping<layout> mapping(design, K, thread);
    if constexpr (layout::normalises) sums.begin(x.initial_state, at.n, at.h, K, lane);

    if (K < Keys) {  // keys beyond K: zeros that no copy overwrites
      for (int i = thread; i < int(sizeof(m.ring) / 16); i += layout::threads) reinterpret_cast<uint4*>(m.ring)[i] = uint4{};
      __syncthreads();
    }
    token_feed<layout> feed(x, at, m.ring, thread);
#pragma unroll
    for (int i = 0; i < stages - 1; ++i) feed.send(i), feed.store_numbers(i);
    ptx::await_copies<1>();
    __syncthreads();
    mapping.store(mapping.load(m.ring[0]), m.rows.of[0]);
    prepare(preparing, 0, 0);
    __syncthreads();

    const int tokens = int(at.length);
    const index_t stride = x.y.template stride<axis::time>(), step = layout::reversed ? -stride : stride;
    pending p;
    p.to = x.y.data() + at.batch() * x.y.template stride<axis::batch>() + at.template start<layout::reversed>() * stride +
           at.h * x.y.template stride<axis::head>() + begin + to_finish + (of.token_of(0) - round) * step;  // round -1
    int r = 0;
#pragma unroll 1
    for (; r < tokens / (2 * round) * 2; r += 2) {
      walk<true, 0>(preparing, finishing, of, mapping, feed, p, r, round, inside, step);
      walk<true, 1>(preparing, finishing, of, mapping, feed, p, r + 1, round, inside, step);
    }
    int left = tokens - r * round;
#pragma unroll 1
    for (; left > 0; ++r, left -= round) walk<false, 0>(preparing, finishing, of, mapping, feed, p, r, left < round ? left : round, inside, step);
    if (r > 0) finish(finishing, of, p, (r - 1) % 2, left + round, inside, step);
    ptx::await_copies<0>();

    if (cut.first_pass) return store_states(x, at, cut, segment, of, there ? channel : V);
    if (x.final_state.S && there && segment + 1 == cut.count)
#pragma unroll
      for (int u = 0; u < tiles; ++u)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (const int key = 16 * u + of.key_of(i); key < K)
            x.final_state.S(at.n, at.h, key, channel) = typename Precision::state(states.S[u][i]);
    if constexpr (layout::normalises)
      if (at.block == 0 && warp == 0) sums.end(x.final_state, at.n, at.h, K, lane);
  }
};

/// A block computes 32 channels of a segment of a head of a sequence.
template <class Design, class Precision, int Keys>
__global__ void __launch_bounds__(128, Keys <= 16 ? 4 : 2) selective_kernel(const Design design, const sequence_of<Design, Precision> x,
                                                                         const segmentation cut) {
  using walk = block_walk<Design, Precision, Keys>;
  extern __shared__ uint4 memory_of_block[];
  const int segments = cut.first_pass ? cut.count - 1 : cut.count;
  walk{design, *reinterpret_cast<typename walk::memory*>(memory_of_block), float(design.scale(x.k.template extent<axis::key>()))}
      .run(x, block_place(x, int(blockIdx.x) / segments), cut, int(blockIdx.x) % segments);
}

}  // namespace sextant::gpu::lanes
