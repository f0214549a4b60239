// SPDX-License-Identifier: Apache-2.0
/// @file  Long sequences of few channels: their tokens cut into segments that are computed side by side.
#pragma once

#include <sextant/cuda/selective/token.cuh>

namespace sextant::gpu::lanes {

// Segment j begins with the state that segment j - 1 ends with. A first pass computes segment 0, whose beginning is known, and
// finds what each of the others, but the last, makes of an empty state and by what it multiplies the one it is given; the
// second adds these up, and walks through the tokens of all but segment 0. So both walk through one less than there are.
// The forget gate makes the first pass short: it begins as near to the segment's end as whatever lies before is multiplied
// by less than 2^-40, which forgets it in floats. Only where nothing is forgotten does it walk through whole segments. Where
// segments are so long that this pays, segment 0 is a short one.

/// How a call is cut.
struct segmentation {
  int count = 1;            ///< segments of a sequence
  int first = 0;            ///< tokens of segment 0
  int tokens = 0;           ///< of another; of the last, what is left
  bool first_pass = false;  ///< of all segments but the last, without outputs but for segment 0
  float* ends = nullptr;  ///< [B, H, count - 1, K, V]: the state after segment 0, and what others make of an empty one
  float* spans =
      nullptr;  ///< [B, H, count - 1, V]: sums of the gate's logarithm per unit of its rate; infinity: all is forgotten
};

/// The span of tokens that are all forgotten.
inline constexpr float infinite_span = __builtin_huge_valf();

/// Whether designs can be cut: where one number per token and channel says what all keys forget.
template <class Layout>
inline constexpr bool can_be_cut =
    Layout::decay == decay_kind::state&& forget_of_design<Layout>::scaled_rates && !Layout::normalises;

/// The number of segments for a call of so many warps: one more than fill the GPU with eight to a multiprocessor, none of them
/// shorter than 448 tokens.
inline int segments_for(index_t warps, index_t tokens, int multiprocessors) {
  const index_t wanted = warps == 0 || warps > 4 * multiprocessors ? 1 : 8 * multiprocessors / warps + 1;
  const index_t possible = tokens / 448;
  return int(possible < 2 || wanted < 2 ? 1 : wanted < possible ? wanted : possible);
}

/// Segments shorter than this are walked through from their beginning: a look at them would cost as much.
inline constexpr int worth_a_look = 1536;
/// And where others are looked at, segment 0 has no more tokens than are not forgotten of many of them.
inline constexpr int short_first = 1024;

/// How a sequence of so many tokens is cut into `segments`, or fewer.
inline segmentation cut_into(int segments, index_t tokens) {
  if (segments <= 1) return {};
  const auto share = [](index_t of, index_t among) { return (of + 8 * among - 1) / (8 * among) * 8; };
  index_t first = share(tokens, segments), others = first;
  if (others >= worth_a_look) first = short_first, others = share(tokens - first, segments - 1);
  return {.count = int(1 + (tokens - first + others - 1) / others), .first = int(first), .tokens = int(others)};
}

/// What a lane's two channels read and leave where their sequence is cut.
template <class Layout> struct segment_edges {
  static constexpr int states = Layout::states, lanes = Layout::lanes;
  using two = array<float, 2>;
  using design = typename Layout::design;
  const design& d;
  const segmentation& cut;
  int q, channel;  ///< the lane's share of the keys, the first of its channels
  bool there;      ///< whether that exists

  /// Where the state that a segment of this block's sequence and head ends with lies.
  template <class Sequence>
  __device__ __forceinline__ index_t slot(const Sequence& x, const block_place& at, int segment) const {
    return index_t(at.n * int(x.v.template extent<axis::head>()) + at.h) * (cut.count - 1) + segment;
  }
  template <class Sequence>
  __device__ __forceinline__ void store(const Sequence& x, const block_place& at, int segment,
                                        const lane_states<Layout>& own) const {
    const index_t V = x.v.template extent<axis::value>(), K = x.k.template extent<axis::key>();
#pragma unroll
    for (int i = 0; i < states; ++i)
      if (const int key = q * states + i; key < K && there)
        *reinterpret_cast<float2*>(cut.ends + (slot(x, at, segment) * K + key) * V + channel) =
            make_float2(own.S[0][i], own.S[1][i]);
  }
  template <class Sequence>
  __device__ __forceinline__ void store_span(const Sequence& x, const block_place& at, int segment, bool forgotten,
                                             const two& span) const {
    if (there && q == 0)
      *reinterpret_cast<float2*>(cut.spans + slot(x, at, segment) * x.v.template extent<axis::value>() + channel) =
          forgotten ? make_float2(infinite_span, infinite_span) : make_float2(span[0], span[1]);
  }

  /// Leaves the segment's tokens.
  __device__ __forceinline__ void keep(block_place& at, int segment) const {
    const index_t from = segment == 0 ? 0 : cut.first + index_t(segment - 1) * cut.tokens, left = at.length - from;
    const int most = segment == 0 ? cut.first : cut.tokens;
    at.template keep<Layout::reversed>(from, left < most ? left : most);
  }
  /// Of a first pass: leaves the segment's tokens that are not forgotten, and an empty state. Answers whether there are others.
  template <class Sequence>
  __device__ __forceinline__ bool begin_first_pass(const Sequence& x, block_place& at, int segment,
                                                   lane_states<Layout>& own) const {
    keep(at, segment);
    const int first = cut.tokens < worth_a_look ? 0 : tokens_to_forget(x, at, own);
#pragma unroll
    for (int i = 0; i < states; ++i) own.S[0][i] = own.S[1][i] = 0;
    at.template keep<Layout::reversed>(first, cut.tokens - first);
    return first > 0;
  }
  /// Leaves the segment's tokens; and makes the state the one before them.
  template <class Sequence>
  __device__ __forceinline__ void begin(const Sequence& x, block_place& at, int segment,
                                        lane_states<Layout>& own) const {
    const index_t V = x.v.template extent<axis::value>(), K = x.k.template extent<axis::key>();
    keep(at, segment);
    const int known = there ? channel : 0;
    typename lane_states<Layout>::of_states sum = {}, product;
#pragma unroll
    for (int i = 0; i < states; ++i) product[0][i] = product[1][i] = 1;
    for (int j = segment - 1; j >= 0; --j) {
      const index_t place = slot(x, at, j);
#pragma unroll
      for (int i = 0; i < states; ++i) {
        const int key = q * states + i;
        if (key >= K) continue;
        const float2 end = *reinterpret_cast<const float2*>(cut.ends + (place * K + key) * V + known);
        sum[0][i] = fmaf(product[0][i], end.x, sum[0][i]), sum[1][i] = fmaf(product[1][i], end.y, sum[1][i]);
      }
      if (j == 0) break;
      const float2 span = *reinterpret_cast<const float2*>(cut.spans + place * V + known);
      if (span.x == infinite_span) break;  // of all channels of a warp, or of none
#pragma unroll
      for (int i = 0; i < states; ++i) {
        product[0][i] *= ptx::exp2_approx(own.rate[0][i] * span.x);
        product[1][i] *= ptx::exp2_approx(own.rate[1][i] * span.y);
      }
    }
#pragma unroll
    for (int i = 0; i < states; ++i) own.S[0][i] = sum[0][i], own.S[1][i] = sum[1][i];
  }

 private:
  /// The gate's logarithms at token t of the block's sequence, in the order of time, per unit of their rates.
  template <class Sequence>
  __device__ __forceinline__ void steps_at(const Sequence& x, const block_place& at, int t, const two& bias,
                                           two& to) const {
    const index_t place = at.template start<Layout::reversed>() + (Layout::reversed ? -t : t);
    const int known = there ? channel : 0;
    two number = {};
    if constexpr (Layout::forget_of_channel) widen(load_together<2>(&x.forget(at.batch(), place, at.h, known)), number);
    else if constexpr (Layout::forget_of_head) number[0] = number[1] = ptx::as_float(x.forget(at.batch(), place, at.h));
    else if constexpr (Layout::step_of_channel) widen(load_together<2>(&x.dt(at.batch(), place, at.h, known)), number);
    else if constexpr (Layout::step_of_head) number[0] = number[1] = ptx::as_float(x.dt(at.batch(), place, at.h));
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      if constexpr (!Layout::forget_of_channel && !Layout::forget_of_head && Layout::step != per::nothing)
        number[c] = softplus<Layout::exact>(number[c] + bias[c]);
      to[c] = sextant::detail::call_log(d.forget_gate, number[c], 1.0f);
    }
  }
  /// Where among the block's tokens the first pass begins. Uniform in a warp.
  template <class Sequence>
  __device__ __forceinline__ int tokens_to_forget(const Sequence& x, const block_place& at,
                                                  const lane_states<Layout>& own) const {
    constexpr int at_once = 16, chunk = lanes * at_once;
    const int known = there ? channel : 0, K = int(x.k.template extent<axis::key>());
    two bias = {}, span = {}, highest, lowest;  // rates
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      if constexpr (Layout::step_of_channel) bias[c] = x.bias ? float(x.bias(at.h, known + c)) : 0.0f;
      if constexpr (Layout::step_of_head) bias[c] = x.bias ? float(x.bias(at.h)) : 0.0f;
      highest[c] = -infinite_span, lowest[c] = infinite_span;
#pragma unroll
      for (int i = 0; i < states; ++i)
        if (q * states + i < K && there)
          highest[c] = fmaxf(highest[c], own.rate[c][i]), lowest[c] = fminf(lowest[c], own.rate[c][i]);
      highest[c] = Layout::over_lanes(highest[c], [](float a, float b) { return fmaxf(a, b); });
      lowest[c] = Layout::over_lanes(lowest[c], [](float a, float b) { return fminf(a, b); });
    }
    int begin = cut.tokens;
    while (begin > 0) {
      const int before = begin;
      begin = begin > chunk ? begin - chunk : 0;
      two sum = {};
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        const int t = begin + lanes * i + q;
        two one;
        steps_at(x, at, t < before ? t : before - 1, bias,
                 one);  // without a branch, so that all are on their way at once
        sum[0] += t < before ? one[0] : 0.0f, sum[1] += t < before ? one[1] : 0.0f;
      }
      bool forgotten = true;
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        span[c] += Layout::over_lanes(sum[c], [](float a, float b) { return a + b; });
        forgotten = forgotten && (!there || fmaxf(highest[c] * span[c], lowest[c] * span[c]) < -40.0f);
      }
      if (__all_sync(~0u, forgotten)) break;
    }
    return begin;
  }
};

}  // namespace sextant::gpu::lanes
