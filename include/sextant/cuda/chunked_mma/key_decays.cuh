// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: decays per key, computed by all warps, and what they make of queries and keys.
#pragma once

#include <sextant/cuda/chunked_mma/prepare.cuh>

namespace sextant::gpu::mma {

// With g_t = log2 F_1 + ... + log2 F_t of one key, from the first token of a step on, and m half way between g_0 and
// g_15,
//   q_t -> q_t 2^(g_t - m), k_t -> k_t 2^(m - g_t)     so that their products are the decayed scores;
//   S -> 2^m S before the step's queries meet it, S -> 2^(g_15 - m) S once its keys have entered.
// In a step that is steep, where some exponent leaves the reach,
//   q_t -> q_t 2^g_t, k_t -> k_t 2^(g_15 - g_t)        and scores are computed pair by pair;
//   S -> 2^g_15 S between the queries and the keys.
// Tokens in float go on to the second form once there are scores: a factor of S that is near 1 is then known by its
// distance from 1, and thousands of steps do not add up its rounding.
template <class Token> inline constexpr bool ends_one_sided = sizeof(Token) == 4;

/// How far exponents may lie from 0 in a step that is not steep. bfloat16: 50 nats, products of two such factors are
/// far from the ends of a float's range. float: as far as sums of logarithms are exact. float16: as far as its own
/// range allows.
template <class Token> inline constexpr float reach = std::is_same_v<Token, bfloat16> ? 72.5f : 8.0f;

/// Decays per key of a chunk: a lane has two keys and four tokens, four lanes a step.
///   g [tokens][g_stride], middle, first, second [steps][keys]: m, 2^m, 2^(g_15 - m); for tokens in float the first is
///   2^g_15 - 1, and in raw [tokens][raw_stride] log2 F_t takes the place of the raw numbers
template <class Token, class Parts>
__device__ void decay_keys(const gate_reader<Token, Parts>& reader, const stretch& s, const block_plan& plan,
                           const chunk_memory<Token>& memory, int t, int count) {
  using scalar = part_scalar<Token>;
  const int lane = int(threadIdx.x) % 32, quarter = lane / 8, pairs = plan.keys() / 2;
  const auto& forget = reader.parts.forget;
  for (int i = int(threadIdx.x) / 32 * 8 + lane % 8; i < pairs * plan.steps(); i += int(blockDim.x) / 32 * 8) {
    const int key = i % pairs * 2, step = i / pairs, row = step * step_tokens + quarter * 4;
    const bool low_exists = key < reader.c.keys, high_exists = key + 1 < reader.c.keys;
    const float low_rate = low_exists ? reader.rate(key) : 0.0f, high_rate = high_exists ? reader.rate(key + 1) : 0.0f;
    float2 g[4];
    forget.parts.template visit<int>(forget.which, [&](const auto& gate) {
      const auto log2_of = [&](int at) -> float2 {
        if (at >= count) return {};
        float2 x;
        if constexpr (raw_granularity<std::remove_cvref_t<decltype(gate)>> == per::key)
          x = load_pair(memory.raw + at * plan.raw_stride + key);
        else
          x.x = x.y = reader.forget_raw(reader.read(s.place(t + at), reader.reads_forget(), false), memory.gates->bias);
        const float low = float(gate_log(gate, scalar(x.x), scalar(low_rate))) * log2_e;
        const float high = float(gate_log(gate, scalar(x.y), scalar(high_rate))) * log2_e;
        return {low_exists ? not_vanishing(low) : 0.0f, high_exists ? not_vanishing(high) : 0.0f};
      };
      if constexpr (sizeof(Token) == 4) {
        // One at a time: a gate in float is long.
#pragma unroll 1
        for (int j = 0; j < 4; ++j) {
          const float2 log2_F = log2_of(row + j);
          store_pair(memory.raw + (row + j) * plan.raw_stride + key, log2_F.x, log2_F.y);
        }
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) g[j] = log2_of(row + j);
      }
      return 0;
    });
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if constexpr (sizeof(Token) == 4) g[j] = load_pair(memory.raw + (row + j) * plan.raw_stride + key);
      if (j > 0) g[j].x += g[j - 1].x, g[j].y += g[j - 1].y;
    }
    float2 sum = g[3];
#pragma unroll
    for (int d = 8; d < 32; d *= 2) {
      const float low = __shfl_up_sync(~0u, sum.x, d), high = __shfl_up_sync(~0u, sum.y, d);
      if (lane >= d) sum.x += low, sum.y += high;
    }
    float2 before{__shfl_up_sync(~0u, sum.x, 8), __shfl_up_sync(~0u, sum.y, 8)};
    if (quarter == 0) before = float2{};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      g[j].x += before.x, g[j].y += before.y;
      store_pair(memory.g + (row + j) * plan.g_stride + key, g[j].x, g[j].y);
    }
    // What follows a gate that is not a number is none either, but what comes before it is.
    const auto middle_of = [&](float start, float end) {
      const float first = __shfl_sync(~0u, start, lane % 8), last = __shfl_sync(~0u, end, lane % 8 + 24);
      return last == last ? 0.5f * (first + last) : first == first ? first : 0.0f;
    };
    const float2 m{middle_of(g[0].x, g[3].x), middle_of(g[0].y, g[3].y)};
    bool leaves = false;
#pragma unroll
    for (int j = 0; j < 4; ++j)
      leaves = leaves || fabsf(g[j].x - m.x) > reach<Token> || fabsf(g[j].y - m.y) > reach<Token>;
    if (leaves) memory.gates->steep[step] = 1;
    const int at = step * plan.keys() + key;
    if (quarter == 0) store_pair(memory.middle + at, m.x, m.y);
    if (quarter == 3) {
      if constexpr (ends_one_sided<Token>)
        store_pair(memory.first + at, exp2_minus_one(g[3].x), exp2_minus_one(g[3].y));
      else store_pair(memory.first + at, ptx::exp2_approx(m.x), ptx::exp2_approx(m.y));
      store_pair(memory.second + at, ptx::exp2_approx(g[3].x - m.x), ptx::exp2_approx(g[3].y - m.y));
    }
  }
}

/// The logarithms of what the decays multiply four keys of a row by, in queries and in keys.
template <class Token>
__device__ __forceinline__ void key_exponents(const block_plan& plan, const chunk_memory<Token>& memory, int row,
                                              int key, float4& of_q, float4& of_k) {
  const int step = row / step_tokens;
  const float4 now = load_four(memory.g + row * plan.g_stride + key);
  if (memory.gates->steep[step] == 0) {
    const float4 m = load_four(memory.middle + step * plan.keys() + key);
    of_q = {now.x - m.x, now.y - m.y, now.z - m.z, now.w - m.w};
    of_k = {m.x - now.x, m.y - now.y, m.z - now.z, m.w - now.w};
    return;
  }
  of_q = now;
  if constexpr (sizeof(Token) == 4) {
    // Summed up from the end: a difference of two long sums would not be exact.
    of_k = float4{};
    for (int later = row | 15; later > row; --later) {
      const float4 log2_F = load_four(memory.raw + later * plan.raw_stride + key);
      of_k.x += log2_F.x, of_k.y += log2_F.y, of_k.z += log2_F.z, of_k.w += log2_F.w;
    }
  } else {
    const float4 last = load_four(memory.g + (row | 15) * plan.g_stride + key);
    of_k = {last.x - now.x, last.y - now.y, last.z - now.z, last.w - now.w};
  }
}
__device__ __forceinline__ float4 times_exp2(float4 x, float4 log2) {
  return {x.x * ptx::exp2_approx(log2.x), x.y * ptx::exp2_approx(log2.y), x.z * ptx::exp2_approx(log2.z),
          x.w * ptx::exp2_approx(log2.w)};
}

/// What a chunk's queries and keys become on their way from the map to the products, rounded once: turned by their
/// positions and with the decays of their keys, in their place. What rounding takes away from bfloat16 comes, of keys,
/// into the place of the raw decays, which are gone, and of queries into one of its own where the plan has it.
///   maps, turn     whether they have yet to pass the map, and to be turned;     decays     whether decays go in
template <bool Keyed, bool Turns, class Token, class Map>
__device__ void finish_rows(const Map& map, const pair_turns& turns, const block_plan& plan,
                            const chunk_memory<Token>& memory, bool maps, bool turn, bool decays, int t, int count) {
  constexpr bool keeps_rest = has_parts<Token>;
  const device_call<float>& c = turns.c;
  const int keys = int(c.keys);
  each_four(keys, keeps_rest ? plan.tokens : count, [&](int row, int key) {
    Token* const rest = memory.raw + row * plan.raw_stride + key;
    if (row >= count) return store_four(rest, float4{});
    Token *const q_at = memory.q + row * plan.q_stride + key, *const k_at = memory.k + row * plan.k_stride + key;
    float4 q = load_four(q_at), k = load_four(k_at);
    if (maps)
      with_map<Token>(map, [&](const auto& its) {
        q = mapped(its, q, key, keys), k = mapped(its, times(k, c.key_scale), key, keys);
      });
    if (Turns && turn) {
      const chunk_gates& gates = *memory.gates;
      const index_t place = gates.s.place(t + row) - gates.origin;
      const auto angle = [&](int pair) {
        const auto by = std::uint64_t(turns.coordinate(place, gates.key_head, pair));
        return cosine_and_sine<sizeof(Token) == 4>(by * memory.angles[pair]);
      };
      const float2 low = angle(key / 2), high = angle(key / 2 + 1);
      q = turned(q, low, high), k = turned(k, low, high);
    }
    if (Keyed && decays) {
      float4 of_q, of_k;
      key_exponents(plan, memory, row, key, of_q, of_k);
      q = times_exp2(q, of_q), k = times_exp2(k, of_k);
    }
    store_four(q_at, q), store_four(k_at, k);
    if constexpr (keeps_rest) {
      if (Keyed && !decays) return;
      store_rest(rest, k);
      if (plan.queries_in_parts) store_rest(memory.q_rest + row * plan.q_stride + key, q);
    }
  });
}

/// From the first form to the second, of the steps that are not steep.
template <class Token>
__device__ void make_one_sided(const block_plan& plan, const chunk_memory<Token>& memory, int count) {
  const int lane = int(threadIdx.x) % 32;
  for (int row = int(threadIdx.x) / 32; row < count; row += int(blockDim.x) / 32) {
    const int step = row / step_tokens;
    if (memory.gates->steep[step]) continue;
    for (int i = 2 * lane; i < plan.keys(); i += 64) {
      Token *const q = memory.q + row * plan.q_stride + i, *const k = memory.k + row * plan.k_stride + i;
      const float2 a = load_pair(q), b = load_pair(k), m = load_pair(memory.middle + step * plan.keys() + i);
      const float2 by = load_pair(memory.second + step * plan.keys() + i);
      store_pair(q, a.x * ptx::exp2_approx(m.x), a.y * ptx::exp2_approx(m.y));
      store_pair(k, b.x * by.x, b.y * by.y);
    }
  }
}

/// What is left of a key's number from token s to token t >= s of a steep step: 2^(log2 F_{s+1} + ... + log2 F_t).
template <class Token>
__device__ __forceinline__ float decay_between(const block_plan& plan, const chunk_memory<Token>& memory, int s, int t,
                                               int key) {
  if constexpr (sizeof(Token) == 4) {
    float sum = 0.0f;
    for (int row = s + 1; row <= t; ++row) sum += memory.raw[row * plan.raw_stride + key];
    return ptx::exp2_approx(sum);
  } else {
    return ptx::exp2_approx(memory.g[t * plan.g_stride + key] - memory.g[s * plan.g_stride + key]);
  }
}
/// The scores of a chunk's steep steps, key by key; before queries and keys have been scaled.
template <class Token>
__device__ __noinline__ void score_steep(const block_plan& plan, unsigned char* shared, int stage, int keys) {
  const chunk_memory<Token> memory(shared, plan, stage);
  for (int i = int(threadIdx.x); i < plan.tokens * step_tokens; i += int(blockDim.x)) {
    const int t = i / step_tokens, s = t / step_tokens * step_tokens + i % step_tokens;
    if (!memory.gates->steep[t / step_tokens]) continue;
    float sum = 0.0f;
    for (int key = 0; s <= t && key < keys; ++key)
      sum = fmaf(ptx::as_float(memory.q[t * plan.q_stride + key]) * ptx::as_float(memory.k[s * plan.k_stride + key]),
                 decay_between(plan, memory, s, t, key), sum);
    memory.scores[t * score_stride + i % step_tokens] = sum;
  }
}

}  // namespace sextant::gpu::mma
