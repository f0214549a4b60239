// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: what the 16 tokens of a step say to each other.
#pragma once

#include <sextant/cuda/chunked_mma/key_decays.cuh>

namespace sextant::gpu::mma {

/// Which weights a token's normaliser sums up.
enum class summed { nothing, scores, decayed, weights };

/// q k^T with decays per key in a step that is steep, key by key: of tokens t and t + 8 for tokens s and s + 1.
template <class Token>
__device__ __noinline__ float4 score_pairwise(const block_plan& plan, const chunk_memory<Token> memory, int t, int s, int keys) {
  const auto one = [&](int later, int earlier) {
    float sum = 0.0f;
    for (int key = 0; earlier <= later && key < keys; ++key)
      sum = fmaf(ptx::as_float(memory.q[later * plan.q_stride + key]) * ptx::as_float(memory.k[earlier * plan.k_stride + key]),
                 decay_between(plan, memory, earlier, later, key), sum);
    return sum;
  };
  return {one(t, s), one(t, s + 1), one(t + 8, s), one(t + 8, s + 1)};
}

/// A warp's unit of work: the 16 tokens of a step (rows) and eight of them (columns), the first or the last.
template <class Token> struct score_unit {
  const block_plan& plan;
  const chunk_memory<Token>& memory;
  int step, half, lane;

  __device__ int row(int i) const { return step * step_tokens + lane / 4 + i / 2 * 8; }             // of sum i
  __device__ int column(int i) const { return step * step_tokens + half * 8 + lane % 4 * 2 + i % 2; }

  /// sums = q k^T.
  __device__ void score(float (&sums)[4], int keys) const {
    warp_products<Token>::score(sums, memory.q + step * step_tokens * plan.q_stride, plan.q_stride,
                                memory.k + (step * step_tokens + half * 8) * plan.k_stride, plan.k_stride,
                                (keys + 31) / 32 * 32, lane);
  }
  /// sums = q k^T with 2^(g_t - g_s) between token and token for each key: both factors relative to the middle of the
  /// step's decay, or pair by pair where that leaves the range of products.
  __device__ void score_keyed(float (&sums)[4], int keys) const {
    const float *const g = memory.g, *const middle = memory.middle + step * plan.keys();
    const int low = row(0), high = row(2), from = step * step_tokens + half * 8 + lane / 4;
    if (memory.gates->steep[step]) {
      const float4 exact = score_pairwise(plan, memory, low, column(0), keys);
      sums[0] = exact.x, sums[1] = exact.y, sums[2] = exact.z, sums[3] = exact.w;
      return;
    }
#pragma unroll 4
    for (int first = 0; first < keys; first += 8) {
      const int i = first + lane % 4 * 2;
      const float2 m = load_pair(middle + i);
      const auto scaled = [&](const Token* x, int stride, int at, bool is_key) {
        const float2 number = load_pair(x + at * stride + i), d = load_pair(g + at * plan.g_stride + i);
        return float2{number.x * ptx::exp2_approx(is_key ? m.x - d.x : d.x - m.x),
                      number.y * ptx::exp2_approx(is_key ? m.y - d.y : d.y - m.y)};
      };
      const float2 a = scaled(memory.q, plan.q_stride, low, false), b = scaled(memory.q, plan.q_stride, high, false);
      const float2 c = scaled(memory.k, plan.k_stride, from, true);
      if constexpr (sizeof(Token) == 4) warp_products<float>::score_pairs(sums, a, b, c);
      else score_pairs_tf32(sums, a, b, c);
    }
  }
  /// Turns scores into weights, and answers the sums of this lane's rows that the normaliser wants.
  __device__ void weigh(float (&sums)[4], bool per_head, bool admits, summed what, float (&row_sums)[2]) const {
    const chunk_gates& gates = *memory.gates;
    const float undecayed[4] = {sums[0], sums[1], sums[2], sums[3]};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int t = row(i), s = column(i);
      float weight = sums[i];
      if (per_head) weight *= ptx::exp2_approx((gates.upper[t] - gates.upper[s]) + (gates.lower[t] - gates.lower[s]));
      const float decayed = weight;
      if (admits) weight *= gates.admitted[s];
      sums[i] = s <= t ? weight : 0.0f;
      const float term = what == summed::scores ? undecayed[i] : what == summed::decayed ? decayed : weight;
      if (s <= t) row_sums[i / 2] += term;
    }
#pragma unroll
    for (int i = 0; i < 4; i += 2)
      store_pair(memory.weights + row(i) * warp_products<Token>::weight_stride + half * 8 + lane % 4 * 2, sums[i], sums[i + 1]);
  }
  __device__ void store_row_sums(float (&sums)[2]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      sums[i] += __shfl_xor_sync(~0u, sums[i], 1);
      sums[i] += __shfl_xor_sync(~0u, sums[i], 2);
      if (lane % 4 == 0) memory.gates->row_sums[half][row(2 * i)] = sums[i];
    }
  }
};

/// z before each step of a chunk and after it, key by key: z <- (1 + taken) z + sum of weight_t k_t. Without weights they
/// are ones, without `taken` nothing is taken; it lies `per_key` numbers apart from key to key (0 or 1), `per_step` from
/// step to step.
template <class Token>
__device__ void advance_normaliser(const block_plan& plan, const chunk_memory<Token>& memory, const float* weights,
                                   const float* taken, int per_key, int per_step) {
  for (int key = int(threadIdx.x); key < plan.keys(); key += int(blockDim.x)) {
    float z = memory.z[plan.steps() * plan.keys() + key];
    for (int step = 0; step < plan.steps(); ++step) {
      memory.z[step * plan.keys() + key] = z;
      float added = 0.0f;
#pragma unroll 4
      for (int t = step * step_tokens; t < (step + 1) * step_tokens; ++t) {
        const float k = ptx::as_float(memory.k[t * plan.k_stride + key]);
        added = weights == nullptr ? added + k : fmaf(weights[t], k, added);
      }
      z = (taken == nullptr ? z : fmaf(taken[step * per_step + key * per_key], z, z)) + added;
    }
    memory.z[plan.steps() * plan.keys() + key] = z;
  }
}
/// q_t . z for every token of a chunk, times its decay where one is given.
template <class Token>
__device__ void query_normaliser(const block_plan& plan, const chunk_memory<Token>& memory, const float* from_start) {
  const int lane = int(threadIdx.x) % 32;
  for (int t = int(threadIdx.x) / 32; t < plan.tokens; t += int(blockDim.x) / 32) {
    float sum = 0.0f;
    for (int i = 2 * lane; i < plan.keys(); i += 64) {
      const float2 q = load_pair(memory.q + t * plan.q_stride + i);
      const float2 z = load_pair(memory.z + t / step_tokens * plan.keys() + i);
      sum = fmaf(q.x, z.x, fmaf(q.y, z.y, sum));
    }
#pragma unroll
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (lane == 0) memory.gates->qz[t] = from_start == nullptr ? sum : from_start[t] * sum;
  }
}

}  // namespace sextant::gpu::mma
