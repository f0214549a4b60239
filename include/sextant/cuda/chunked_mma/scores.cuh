// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: what the 16 tokens of a step say to each other.
#pragma once

#include <sextant/cuda/chunked_mma/key_decays.cuh>

namespace sextant::gpu::mma {

/// Scores q k^T of a chunk, a warp at a time the 16 tokens of a step (rows) and eight of them (columns). The last warps
/// come first: the first one has the gates to compute. Steep steps have theirs already. With `Parts`, queries and keys
/// may be in two parts.
template <bool Parts, class Token>
__device__ void score(const block_plan& plan, const chunk_memory<Token>& memory, int keys, bool query_parts,
                      bool key_parts) {
  const int lane = int(threadIdx.x) % 32, warps = int(blockDim.x) / 32;
  for (int i = warps - 1 - int(threadIdx.x) / 32; i < 2 * plan.steps(); i += warps) {
    const int from = i / 2 * step_tokens, half = i % 2 * 8;
    if (memory.gates->steep[i / 2]) continue;
    float sums[4] = {};
    const int of_k = (from + half) * plan.k_stride;
    const int of_q = from * plan.q_stride;
    warp_products<Token>::template score<Parts>(sums, memory.q + of_q, memory.q_rest + of_q, query_parts, plan.q_stride,
                                                memory.k + of_k, memory.raw + of_k, key_parts, plan.k_stride,
                                                (keys + 31) / 32 * 32, lane);
    float* const to = memory.scores + (from + lane / 4) * score_stride + half + lane % 4 * 2;
    store_pair(to, sums[0], sums[1]), store_pair(to + 8 * score_stride, sums[2], sums[3]);
  }
}

/// Which weights a token's normaliser sums up.
enum class summed { nothing, scores, decayed, weights };

/// Turns scores into weights, two at a time, and sums up what the normaliser wants of each row.
template <class Token>
__device__ void weigh(const block_plan& plan, const chunk_memory<Token>& memory, bool per_head, bool admits,
                      summed what) {
  chunk_gates& gates = *memory.gates;
  for (int i = int(threadIdx.x); i < plan.tokens * step_tokens / 2; i += int(blockDim.x)) {
    const int t = i / 8, column = i % 8 * 2, s = t / step_tokens * step_tokens + column;
    const float2 score = load_pair(memory.scores + t * score_stride + column);
    float weight[2] = {score.x, score.y}, sum = 0.0f;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const float undecayed = weight[j];
      if (per_head)
        weight[j] *= ptx::exp2_approx((gates.upper[t] - gates.upper[s + j]) + (gates.lower[t] - gates.lower[s + j]));
      const float decayed = weight[j];
      if (admits) weight[j] *= gates.admitted[s + j];
      const float term = what == summed::scores ? undecayed : what == summed::decayed ? decayed : weight[j];
      if (s + j <= t) sum += term;
      else weight[j] = 0.0f;
    }
    constexpr int stride = warp_products<Token>::weight_stride;
    warp_products<Token>::store_weights(memory.weights + t * stride + column, plan.tokens * stride, weight[0],
                                        weight[1]);
    if (what == summed::nothing) continue;
#pragma unroll
    for (int d = 1; d < 8; d *= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (i % 8 == 0) gates.row_sum[t] = sum;
  }
}

}  // namespace sextant::gpu::mma
