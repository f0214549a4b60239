// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: the normaliser's state, and what y is divided by.
#pragma once

#include <sextant/cuda/chunked_mma/scores.cuh>

namespace sextant::gpu::mma {

/// z before each step of a chunk and after it. z(step, key) is what the step's queries meet; before(), between() and
/// after() answer what becomes of z, of two keys, before the queries, between them and the keys, and after those. Keys
/// enter times weights[t], 1 without any; with `Parts` they are in two if `in_parts`. A lane sums up two keys
/// of eight tokens; what has come before a step is known to all.
template <bool Parts, class Token, class Before, class Between, class After>
__device__ void advance_normaliser(const block_plan& plan, const chunk_memory<Token>& memory, const float* weights,
                                   bool in_parts, const Before& before, const Between& between, const After& after) {
  const int lane = int(threadIdx.x) % 32, group = lane / 4, steps = plan.steps();
  float* const last = memory.z + steps * plan.keys();
  for (int key = int(threadIdx.x) / 32 * 8 + lane % 4 * 2; key < plan.keys(); key += int(blockDim.x) / 32 * 8) {
    float2 added{};
    if (group / 2 < steps) {
#pragma unroll 2
      for (int j = 0; j < 8; ++j) {
        const int t = group * 8 + (j ^ group);  // the lanes' rows lie in banks of their own
        float2 k = load_pair(memory.k + t * plan.k_stride + key);
        if (Parts && in_parts) {
          const float2 rest = load_pair(memory.raw + t * plan.raw_stride + key);
          k.x += rest.x, k.y += rest.y;
        }
        const float weight = weights == nullptr ? 1.0f : weights[t];
        added.x = fmaf(weight, k.x, added.x), added.y = fmaf(weight, k.y, added.y);
      }
    }
    added.x += __shfl_xor_sync(~0u, added.x, 4), added.y += __shfl_xor_sync(~0u, added.y, 4);
    float2 z = load_pair(last + key);
    for (int step = 0; step < steps; ++step) {
      const int from = step * 8 + lane % 4;
      const float low = __shfl_sync(~0u, added.x, from), high = __shfl_sync(~0u, added.y, from);
      z = before(step, key, z);
      if (group == 2 * step) store_pair(memory.z + step * plan.keys() + key, z.x, z.y);
      z = between(step, key, z);
      z.x += low, z.y += high;
      z = after(step, key, z);
    }
    __syncwarp();
    if (group == 0) store_pair(last + key, z.x, z.y);
  }
}
/// What y_t is multiplied by: the scale, divided by what q_t says to the normaliser's state and its step's tokens.
/// Eight lanes a token.
template <class Token>
__device__ void query_normaliser(const device_call<float>& c, const block_plan& plan, const chunk_memory<Token>& memory,
                                 const float* from_start) {
  const int lane = int(threadIdx.x) % 32;
  chunk_gates& gates = *memory.gates;
  for (int t = int(threadIdx.x) / 32 * 4 + lane / 8; t < plan.tokens; t += int(blockDim.x) / 32 * 4) {
    const Token* const q_row = memory.q + t * plan.q_stride;
    const float* const z_row = memory.z + t / step_tokens * plan.keys();
    float sum = 0.0f;
    for (int i = lane % 8 * 4; i < plan.keys(); i += 32) {
      const float4 q = load_four(q_row + i), z = load_four(z_row + i);
      sum = fmaf(q.x, z.x, fmaf(q.y, z.y, fmaf(q.z, z.z, fmaf(q.w, z.w, sum))));
    }
#pragma unroll
    for (int d = 1; d < 8; d *= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (lane % 8 != 0) continue;
    const float qz = fmaf(sum, from_start == nullptr ? 1.0f : from_start[t], gates.row_sum[t]);
    const float divisor = c.norm == norm_kind::abs_max ? fmaxf(fabsf(c.scale * qz), gates.bound[t]) : qz;
    gates.factor[t] = c.scale / (divisor + c.eps);
  }
}
/// z with decays of the head, or with none where `decays` is null: 2^x - 1 of each step.
template <class Token>
__device__ void advance_normaliser(const block_plan& plan, const chunk_memory<Token>& memory, const float* weights,
                                   const float* decays) {
  const auto same = [](int, int, float2 z) { return z; };
  const auto between = [&](int step, int, float2 z) -> float2 {
    const float taken = decays == nullptr ? 0.0f : decays[step];
    return {fmaf(z.x, taken, z.x), fmaf(z.y, taken, z.y)};
  };
  advance_normaliser<false>(plan, memory, weights, false, same, between, same);
}
/// z with decays per key, as the state has them; or, `undecayed`, with none, of keys that have none yet.
template <class Token>
__device__ void advance_keyed_normaliser(const block_plan& plan, const chunk_memory<Token>& memory, bool undecayed) {
  const auto times = [&](const float* factors, int step, int key, float2 z) -> float2 {
    const float2 f = load_pair(factors + step * plan.keys() + key);
    return {z.x * f.x, z.y * f.y};
  };
  const auto is_one_sided = [&](int step) { return ends_one_sided<Token> || memory.gates->steep[step]; };
  const auto before = [&](int step, int key, float2 z) {
    return undecayed || is_one_sided(step) ? z : times(memory.first, step, key, z);
  };
  const auto after = [&](int step, int key, float2 z) {
    return undecayed || is_one_sided(step) ? z : times(memory.second, step, key, z);
  };
  const auto between = [&](int step, int key, float2 z) -> float2 {
    if (undecayed) return z;
    if constexpr (ends_one_sided<Token>) {
      const float2 f = load_pair(memory.first + step * plan.keys() + key);
      return {fmaf(z.x, f.x, z.x), fmaf(z.y, f.y, z.y)};
    } else {
      return is_one_sided(step) ? times(memory.second, step, key, times(memory.first, step, key, z)) : z;
    }
  };
  advance_normaliser<has_parts<Token>>(plan, memory, nullptr, !undecayed, before, between, after);
}

}  // namespace sextant::gpu::mma
