// SPDX-License-Identifier: Apache-2.0
/// @file  Long sequences of few channels: their tokens cut into segments that are computed side by side.
#pragma once

#include <sextant/cuda/selective/gates.cuh>

namespace sextant::gpu::lanes {

// Segment j begins with the state that segment j - 1 ends with. A first pass finds what each segment makes of an empty
// state, and by what it multiplies the one it is given; the second adds these up, and walks through all tokens.
// The forget gate makes the first pass short: it begins as near to the segment's end as whatever lies before is multiplied
// by less than 2^-40, which forgets it in floats. Only where nothing is forgotten does it walk through whole segments.

/// How a call is cut.
struct segmentation {
  int count = 1;            ///< segments of a sequence
  int tokens = 0;           ///< of one; of the last, what is left
  bool first_pass = false;  ///< of all segments but the last, without outputs
  float* ends = nullptr;    ///< [B, H, count, K, V]: the initial state, and what segments make of an empty one
  float* spans =
      nullptr;  ///< [B, H, count, V], as many: sums of the gate's logarithm per unit of its rate; infinity: all is forgotten
};

/// The span of tokens that are all forgotten.
inline constexpr float infinite_span = __builtin_huge_valf();

/// Whether designs can be cut: where one number per token and channel says what all keys forget.
template <class Layout>
inline constexpr bool can_be_cut =
    Layout::decay == decay_kind::state&& forget_of_design<Layout>::scaled_rates && !Layout::normalises;

/// The number of segments for a call of so many warps: enough to fill the GPU with eight to a multiprocessor, none of them
/// shorter than 512 tokens.
inline int segments_for(index_t warps, index_t tokens, int multiprocessors) {
  const index_t wanted = warps == 0 ? 1 : 8 * multiprocessors / warps;
  const index_t possible = tokens / 512;
  return int(possible < 2 || wanted < 2 ? 1 : wanted < possible ? wanted : possible);
}

/// Segments shorter than this are walked through from their beginning: a look at them would cost as much.
inline constexpr int worth_a_look = 1536;

/// Where in [0, tokens) the first pass begins, for lane q of the `Lanes` of a channel whose keys have `rates`; `step(t)` is the
/// gate's logarithm at token t per unit of the rate. Uniform in a warp.
template <int Lanes, int Count, class Step>
__device__ __forceinline__ int tokens_to_forget(const array<float, Count>& rates, int tokens, int q, const Step& step) {
  constexpr int at_once = 32, chunk = Lanes * at_once, apart = 32 / Lanes;
  float slowest = rates[0], other = rates[0];
#pragma unroll
  for (int i = 1; i < Count; ++i) slowest = fmaxf(slowest, rates[i]), other = fminf(other, rates[i]);
#pragma unroll
  for (int distance = apart; distance < 32; distance *= 2) {
    slowest = fmaxf(slowest, __shfl_xor_sync(~0u, slowest, distance));
    other = fminf(other, __shfl_xor_sync(~0u, other, distance));
  }
  float span = 0;
  int begin = tokens;
  while (begin > 0) {
    const int before = begin;
    begin = begin > chunk ? begin - chunk : 0;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      const int t = begin + Lanes * i + q;
      const float one = step(t < before ? t : before - 1);  // without a branch, so that all are on their way at once
      sum += t < before ? one : 0.0f;
    }
#pragma unroll
    for (int distance = apart; distance < 32; distance *= 2) sum += __shfl_xor_sync(~0u, sum, distance);
    span += sum;
    if (__all_sync(~0u, fmaxf(slowest * span, other * span) < -40.0f)) break;
  }
  return begin;
}

}  // namespace sextant::gpu::lanes
