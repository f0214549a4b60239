// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: decays per key, computed by all warps.
#pragma once

#include <sextant/cuda/chunked_mma/gates.cuh>

namespace sextant::gpu::mma {

/// How far to either side of the middle of a step's decay exponents may lie. For tokens of 16 bits 50 nats: the products
/// of two such factors are far from the ends of a float's range. For tokens in float as far as sums of logarithms are exact.
template <class Token> inline constexpr float reach = sizeof(Token) == 4 ? 8.0f : 72.5f;

/// Decays per key of a chunk: thread by thread one key of one step, g_t = log2 F_1 + ... + log2 F_t from the step's first
/// token on.
///   g [tokens][g_stride], middle [steps][keys]: half way between its least and its most, taken [steps][keys]: 2^g_15 - 1;
///   logs [tokens][raw_stride]: log2 F_t in place of the raw numbers, for tokens in float
template <class Token, class Parts>
__device__ void decay_keys(const gate_reader<Token, Parts>& reader, const stretch& s, const block_plan& plan,
                           const chunk_memory<Token>& memory, index_t t, int count) {
  using scalar = part_scalar<Token>;
  const auto& gate = reader.parts.forget;
  for (int i = int(threadIdx.x); i < plan.keys() * plan.steps(); i += int(blockDim.x)) {
    const int key = i % plan.keys(), step = i / plan.keys();
    const bool exists = key < reader.c.keys;
    const float rate = exists ? reader.rate(key) : 0.0f;
    float sum = 0.0f, least = 0.0f, most = 0.0f;
#pragma unroll 4
    for (int j = 0; j < step_tokens; ++j) {
      const int row = step * step_tokens + j;
      float log2_F = 0.0f;
      if (exists && row < count) {
        const float x = plan.raw_rows ? ptx::as_float(memory.raw[row * plan.raw_stride + key])
                                      : reader.forget_raw(reader.read(s.place(t + row), reader.reads_forget(), false),
                                                          memory.gates->bias);
        log2_F = not_vanishing(float(gate.logarithm(scalar(x), scalar(rate))) * log2_e);
      }
      if constexpr (sizeof(Token) == 4) memory.raw[row * plan.raw_stride + key] = log2_F;
      sum += log2_F;
      memory.g[row * plan.g_stride + key] = sum;
      least = j == 0 || sum < least ? sum : least;
      most = j == 0 || sum > most ? sum : most;
    }
    memory.middle[step * plan.keys() + key] = 0.5f * (least + most);
    memory.taken[step * plan.keys() + key] = exp2_minus_one(sum);
    if (most - least > 2.0f * reach<Token>) memory.gates->steep[step] = 1;
  }
}

/// q_t 2^g_t and k_t 2^(g_15 - g_t) in place of q and k: no exponent is positive where no gate is above 1.
template <class Token>
__device__ void scale_rows(const block_plan& plan, const chunk_memory<Token>& memory, int count) {
  if constexpr (sizeof(Token) == 4) {
    // What is left of the step's decay is summed up from its end: a difference of two long sums would not be exact.
    for (int i = int(threadIdx.x); i < plan.keys() * plan.steps(); i += int(blockDim.x)) {
      const int key = i % plan.keys(), step = i / plan.keys();
      float left = 0.0f;
#pragma unroll 4
      for (int row = step * step_tokens + 15; row >= step * step_tokens; --row) {
        float &q = memory.q[row * plan.q_stride + key], &k = memory.k[row * plan.k_stride + key];
        q *= ptx::exp2_approx(memory.g[row * plan.g_stride + key]);
        k *= ptx::exp2_approx(left);
        left += memory.raw[row * plan.raw_stride + key];
      }
    }
  } else {
    const int lane = int(threadIdx.x) % 32;
    for (int row = int(threadIdx.x) / 32; row < count; row += int(blockDim.x) / 32)
      for (int i = 2 * lane; i < plan.keys(); i += 64) {
        Token *const q = memory.q + row * plan.q_stride + i, *const k = memory.k + row * plan.k_stride + i;
        const float2 now = load_pair(memory.g + row * plan.g_stride + i);
        const float2 last = load_pair(memory.g + (row | 15) * plan.g_stride + i);
        const float2 a = load_pair(q), b = load_pair(k);
        store_pair(q, a.x * ptx::exp2_approx(now.x), a.y * ptx::exp2_approx(now.y));
        store_pair(k, b.x * ptx::exp2_approx(last.x - now.x), b.y * ptx::exp2_approx(last.y - now.y));
      }
  }
}

/// What a key says between two tokens of a step whose decays leave the reach: 2^(log2 F_{s+1} + ... + log2 F_t) for s <= t.
template <class Token>
__device__ __forceinline__ float decay_between(const block_plan& plan, const chunk_memory<Token>& memory, int s, int t, int key) {
  if constexpr (sizeof(Token) == 4) {
    float sum = 0.0f;
    for (int row = s + 1; row <= t; ++row) sum += memory.raw[row * plan.raw_stride + key];
    return ptx::exp2_approx(sum);
  } else {
    return ptx::exp2_approx(memory.g[t * plan.g_stride + key] - memory.g[s * plan.g_stride + key]);
  }
}

}  // namespace sextant::gpu::mma
