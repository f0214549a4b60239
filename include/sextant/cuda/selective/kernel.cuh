// SPDX-License-Identifier: Apache-2.0
/// @file  The kernel: a warp walks through the tokens of some channels of a head, round after round.
#pragma once

#include <sextant/cuda/selective/feed.cuh>
#include <sextant/cuda/selective/key_rows.cuh>
#include <sextant/cuda/selective/segments.cuh>
#include <sextant/cuda/selective/token.cuh>

namespace sextant::gpu::lanes {

/// While the first half of round r is multiplied, y of round r - 1 is finished and round r + 1 is prepared: what is one number
/// per token and channel, once, by one lane; phi of the keys, once for all channels. Rounds r + 2 and r + 3 are on their
/// way. While a token is multiplied, the rows of the next one and its F are on theirs, if few states leave registers for them.
template <class Design, class Precision, int Keys, int Lanes> struct warp_walk {
  using layout = warp_layout<Design, Precision, Keys, Lanes>;
  using token = typename layout::token;
  using arrivals = typename layout::arrivals;
  static constexpr int round = layout::round, stages = layout::stages, states = layout::states,
                       channels = layout::channels;
  static constexpr int finished = round / Lanes;  ///< tokens of a round whose y a lane finishes
  static constexpr int prepared =
      round * channels / (2 * 32);  ///< tokens of a round that a lane prepares two channels of
  static constexpr int pairs = channels / 2;
  static constexpr bool cuttable = Keys == 16 && Lanes == 2 && can_be_cut<layout>;
  using preparing_type = channel_gates<layout, 2>;
  using finishing_type = channel_gates<layout, 1>;
  static constexpr bool ahead = states <= 8;  ///< whether there are registers for the next token's rows and F
  using rows_type = std::conditional_t<ahead, kept_rows<states>, rows_in_memory<states>>;

  /// What is known of a round before it is multiplied.
  struct preparation {
    alignas(
        16) array<float, round * layout::row> rows;     ///< phi(k), phi(q), and F where it is the same for all channels
    alignas(16) array<float2, round * channels> table;  ///< what the forget gate reads or is, and w = I v
    alignas(16) array<float, round> factor;             ///< of y, where the design divides
  };
  struct memory {
    array<arrivals, stages> ring;
    preparation of[2];  ///< even rounds, odd rounds
  };
  /// What is on its way from token to token and from round to round.
  struct pipeline {
    rows_type rows;                      ///< of the token at work
    array<float, ahead ? states : 1> F;  ///< likewise, where there are registers for it
    float w, number;                     ///< likewise: I v, and what the forget gate reads or is
    float2 behind;                       ///< the table's entry of the token after it
    array<float, finished> y;            ///< of the round before, to be finished
    array<typename finishing_type::last, finished> last;
    token* to;   ///< where those go
    float span;  ///< in a first pass: of the tokens up to here
  };

  const Design& design;
  memory& m;
  const float scale;
  const int lane = int(threadIdx.x), c = lane % channels, q = lane / channels;
  lane_states<layout> own;
  key_sums<layout> sums;

  __device__ __forceinline__ void prepare(const preparing_type& gates, int r, array<float4, prepared>& to) const {
#pragma unroll
    for (int i = 0; i < prepared; ++i) {
      float number[2], w[2];
      gates.prepare(m.ring[r % stages], lane / pairs + i * (32 / pairs), number, w);
      to[i] = make_float4(number[0], w[0], number[1], w[1]);
    }
  }
  __device__ __forceinline__ void store(const array<float4, prepared>& from, preparation& to) const {
#pragma unroll
    for (int i = 0; i < prepared; ++i)
      *reinterpret_cast<float4*>(to.table + (lane / pairs + i * (32 / pairs)) * channels + lane % pairs * 2) = from[i];
  }
  /// Finishes the round before, whose factors lie in `from`, and of whose tokens `count` exist: all 8 where Whole.
  template <bool Whole>
  __device__ __forceinline__ void finish(const finishing_type& gates, pipeline& p, const preparation& from, int count,
                                         bool inside, index_t step) const {
#pragma unroll
    for (int i = 0; i < finished; ++i) {
      const int t = i * Lanes + q;
      float factor = scale;
      if constexpr (layout::normalises) factor = from.factor[t];
      const auto y = gates.finish(p.y + i, factor, p.last[i]);
      if (inside && (Whole || t < count)) store_together(p.to + i * Lanes * step, y);
    }
    p.to += round * step;
  }
  /// Makes a token the one at work, whose row is given and whose entry of the table is known; and reads the entry behind it. `t`
  /// says which of its exponentials are polynomials.
  __device__ __forceinline__ void turn_to(const float* row, int t, const float2* entries_behind, pipeline& p) const {
    p.rows.template load<Keys>(row + q * states);
    p.number = p.behind.x, p.w = p.behind.y;
    if constexpr (layout::decay == decay_kind::row) {
#pragma unroll
      for (int i = 0; i < states; i += 4) {
        const auto F = load_together<4>(row + 2 * Keys + q * states + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) p.F[i + j] = F.at[j];
      }
    } else if constexpr (ahead) own.decays(design.forget_gate, p.number, p.F, t);
    p.behind = entries_behind[c];
  }

  /// Round r, of whose tokens `count` exist: all 8 where Whole. Without Outputs the state alone is computed, and the span.
  template <bool Whole, bool Outputs>
  __device__ __forceinline__ void walk(const preparing_type& preparing, const finishing_type& finishing,
                                       const key_mapping<layout>& mapping, token_feed<layout>& feed, pipeline& p, int r,
                                       int count, bool inside, index_t step) {
    preparation &here = m.of[r % 2], &after = m.of[(r + 1) % 2];
    feed.send(r + stages - 1);
    const auto keys_after = mapping.load(m.ring[(r + 1) % stages]);
    array<float4, prepared> table_after;
    prepare(preparing, r + 1, table_after);
    if constexpr (Outputs) finish<true>(finishing, p, after, round, inside && r > 0, step);
    if constexpr (Outputs && layout::normalises)
      sums.add(here.rows, here.factor, count, lane, scale, float(design.norm.eps));

    array<float, round> part;
#pragma unroll
    for (int t = 0; t < round; ++t) {
      if (t == round / 2) {
        mapping.store(keys_after, after.rows);
        store(table_after, after);
        __syncwarp();
      }
      const rows_type row = p.rows;
      const float w = p.w, number = p.number;
      array<float, states> F;
      if constexpr (ahead)
#pragma unroll
        for (int i = 0; i < states; ++i) F[i] = p.F[i];
      else own.decays(design.forget_gate, number, F, t);
      const int next = (t + 1) % round, behind = (t + 2) % round;
      turn_to((t + 1 < round ? here : after).rows + next * layout::row, next,
              (t + 2 < round ? here : after).table + behind * channels, p);
      if constexpr (!Outputs) p.span += sextant::detail::call_log(design.forget_gate, number, 1.0f);
      part[t] = 0;
      if (Whole || t < count) part[t] = own.template update<Outputs>(F, row, w);
    }

    if constexpr (Outputs)
#pragma unroll
      for (int i = 0; i < finished; ++i) {
        p.y[i] = own.sum_over_lanes(part + i * Lanes, q);
        p.last[i] = finishing.read_last(m.ring[r % stages], i * Lanes + q);
      }
    feed.store_numbers(r + stages - 1);
    ptx::await_copies<1>();
    __syncwarp();
  }

  /// The gate's logarithm at token t of the block's sequence, in the order of time, per unit of its rate.
  template <class Sequence>
  __device__ __forceinline__ float step_at(const Sequence& x, const block_place& at, int t, index_t channel,
                                           float bias) const {
    const index_t place = at.template start<layout::reversed>() + (layout::reversed ? -t : t);
    float number = 0;
    if constexpr (layout::forget_of_channel) number = ptx::as_float(x.forget(at.batch(), place, at.h, channel));
    else if constexpr (layout::forget_of_head) number = ptx::as_float(x.forget(at.batch(), place, at.h));
    else if constexpr (layout::step_of_channel)
      number = softplus<layout::exact>(ptx::as_float(x.dt(at.batch(), place, at.h, channel)) + bias);
    else if constexpr (layout::step_of_head)
      number = softplus<layout::exact>(ptx::as_float(x.dt(at.batch(), place, at.h)) + bias);
    return sextant::detail::call_log(design.forget_gate, number, 1.0f);
  }

  /// Where the state that a segment of this block's sequence and head ends with lies; of segment -1, the initial one.
  template <class Sequence>
  static __device__ __forceinline__ index_t slot(const Sequence& x, const block_place& at, const segmentation& cut,
                                                 int segment) {
    return index_t(at.n * int(x.v.template extent<axis::head>()) + at.h) * cut.count + segment + 1;
  }
  template <class Sequence>
  __device__ __forceinline__ void store_states(const Sequence& x, const block_place& at, const segmentation& cut,
                                               int segment, index_t channel) const {
    const index_t V = x.v.template extent<axis::value>(), K = x.k.template extent<axis::key>();
#pragma unroll
    for (int i = 0; i < states; ++i)
      if (const int key = q * states + i; key < K && channel < V)
        cut.ends[(slot(x, at, cut, segment) * K + key) * V + channel] = own.S[i];
  }
  /// Leaves the segment's tokens, of the first pass those that are not forgotten; and makes the state the one before them.
  /// Answers the span of those left out.
  template <class Sequence>
  __device__ __forceinline__ float begin_segment(const Sequence& x, block_place& at, const segmentation& cut,
                                                 int segment, bool there, index_t channel) {
    const index_t V = x.v.template extent<axis::value>(), K = x.k.template extent<axis::key>();
    const index_t from = index_t(segment) * cut.tokens, left = at.length - from;
    if (cut.first_pass) {
      at.template keep<layout::reversed>(from, cut.tokens);
      array<float, states> rates;
      float bias = 0;
#pragma unroll
      for (int i = 0; i < states; ++i) {
        const int key = q * states + i;
        rates[i] = forget_of_design<layout>::rate(x, at.h, channel, key < K ? key : 0);
      }
      if constexpr (layout::step_of_channel) bias = x.bias ? float(x.bias(at.h, channel)) : 0.0f;
      if constexpr (layout::step_of_head) bias = x.bias ? float(x.bias(at.h)) : 0.0f;
      const auto log_at = [&](int t) { return step_at(x, at, t, channel, bias); };
      const int first = cut.tokens < worth_a_look ? 0 : tokens_to_forget<Lanes, states>(rates, cut.tokens, q, log_at);
      // the initial state may lie where the final one will: the second pass finds a copy
      if (segment == 0) store_states(x, at, cut, -1, there ? channel : V);
#pragma unroll
      for (int i = 0; i < states; ++i) own.S[i] = 0;
      at.template keep<layout::reversed>(first, cut.tokens - first);
      return first > 0 ? infinite_span : 0.0f;
    }
    at.template keep<layout::reversed>(from, left < cut.tokens ? left : cut.tokens);
    array<float, states> sum = {}, product;
#pragma unroll
    for (float& one : product) one = 1;
    for (int j = segment - 1; j >= -1; --j) {
      const index_t place = slot(x, at, cut, j);
#pragma unroll
      for (int i = 0; i < states; ++i) {
        const int key = q * states + i;
        if (key >= K) continue;
        sum[i] = fmaf(product[i], cut.ends[(place * K + key) * V + channel], sum[i]);
      }
      if (j < 0) break;
      const float span = cut.spans[place * V + channel];
      if (span == infinite_span) break;
#pragma unroll
      for (int i = 0; i < states; ++i) product[i] *= ptx::exp2_approx(own.rate[i] * span);
    }
#pragma unroll
    for (int i = 0; i < states; ++i) own.S[i] = sum[i];
    return 0;
  }
  template <class Sequence>
  __device__ __forceinline__ void run(const Sequence& x, block_place at, const segmentation& cut, int segment) {
    const int V = int(x.v.template extent<axis::value>()), K = int(x.k.template extent<axis::key>());
    const int begin = at.block * channels, channel = begin + c;
    const bool there = channel < V;
    const forget_of_design<layout> gate{design.forget_gate};
#pragma unroll
    for (int i = 0; i < states; ++i) {
      const int key = q * states + i;
      const bool known = there && key < K;
      float rate = known ? gate.rate(x, at.h, channel, key) : 0.0f;
      if constexpr (layout::decay == decay_kind::fixed) rate = gate(0.0f, rate);
      own.rate[i] = rate;
      own.S[i] = x.initial_state.S && known ? float(x.initial_state.S(at.n, at.h, key, channel)) : 0.0f;
    }
    float span = 0;
    if constexpr (cuttable)
      if (cut.count > 1) span = begin_segment(x, at, cut, segment, there, there ? channel : 0);
    const preparing_type preparing(design, x, at.h, begin, lane % pairs * 2, V);
    const finishing_type finishing(design, x, at.h, begin, c, V);
    const key_mapping<layout> mapping(design, x, at.h, lane);
    if constexpr (layout::normalises) sums.begin(x.initial_state, at.n, at.h, K, lane);

    if (K < Keys) {  // keys beyond K: zeros that no copy overwrites
      for (int i = lane; i < int(sizeof(m.ring) / 16); i += 32) reinterpret_cast<uint4*>(m.ring)[i] = uint4{};
      __syncwarp();
    }
    token_feed<layout> feed(x, at, m.ring, lane);
#pragma unroll
    for (int i = 0; i < stages - 1; ++i) feed.send(i), feed.store_numbers(i);
    ptx::await_copies<1>();
    __syncwarp();
    mapping.store(mapping.load(m.ring[0]), m.of[0].rows);
    array<float4, prepared> table;
    prepare(preparing, 0, table);
    store(table, m.of[0]);
    __syncwarp();

    const int tokens = int(at.length);
    const index_t stride = x.y.template stride<axis::time>(), step = layout::reversed ? -stride : stride;
    pipeline p{};
    p.to = x.y.data() + at.batch() * x.y.template stride<axis::batch>() +
           at.template start<layout::reversed>() * stride + at.h * x.y.template stride<axis::head>() + channel +
           (q - round) * step;  // round -1
    p.behind = m.of[0].table[c], p.span = span;
    turn_to(m.of[0].rows, 0, m.of[0].table + channels, p);
    int r = 0;
    if constexpr (cuttable)
      if (cut.first_pass) {
#pragma unroll 1
        for (; r < tokens / round; ++r)
          walk<true, false>(preparing, finishing, mapping, feed, p, r, round, there, step);
        ptx::await_copies<0>();
        if (there && q == 0) cut.spans[slot(x, at, cut, segment) * V + channel] = p.span;
        return store_states(x, at, cut, segment, there ? channel : V);
      }
#pragma unroll 1
    for (; r < tokens / round; ++r) walk<true, true>(preparing, finishing, mapping, feed, p, r, round, there, step);
    const int left = tokens - r * round;
    if (left > 0) walk<false, true>(preparing, finishing, mapping, feed, p, r, left, there, step), ++r;
    if (r > 0) finish<false>(finishing, p, m.of[(r - 1) % 2], left > 0 ? left : round, there, step);
    ptx::await_copies<0>();

    if (x.final_state.S && there && segment + 1 == cut.count)
#pragma unroll
      for (int i = 0; i < states; ++i)
        if (const int key = q * states + i; key < K)
          x.final_state.S(at.n, at.h, key, channel) = typename Precision::state(own.S[i]);
    if constexpr (layout::normalises)
      if (at.block == 0) sums.end(x.final_state, at.n, at.h, K, lane);
  }
};

/// A block is a warp: 32 / Lanes channels of a segment of a head of a sequence.
template <class Design, class Precision, int Keys, int Lanes>
__global__ void __launch_bounds__(32, Lanes == 2 || Keys > 16 ? 8 : 16)
    selective_kernel(const Design design, const sequence_of<Design, Precision> x, const segmentation cut) {
  using walk = warp_walk<Design, Precision, Keys, Lanes>;
  extern __shared__ uint4 memory_of_warp[];
  const int segments = cut.first_pass ? cut.count - 1 : cut.count;
  walk{design, *reinterpret_cast<typename walk::memory*>(memory_of_warp),
       float(design.scale(x.k.template extent<axis::key>()))}
      .run(x, block_place(x, int(blockIdx.x) / segments), cut, int(blockIdx.x) % segments);
}

}  // namespace sextant::gpu::lanes
