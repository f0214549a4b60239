// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the weights of a chunk: what a warp makes of its rows' scores, and their sums for the normaliser.
#pragma once

#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>

namespace sextant::gpu::wgmma {

/// Of two rows whose normaliser has a stabiliser: sums of their weights as they are rounded, and of the absolute values of these.
/// A product of the warp, by columns of ones: every lane has them. And q_i . k_i, in the lanes that have it: see has_own().
struct rounded_sums {
  float of_rows[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  float2 own;

  __device__ __forceinline__ float sum(int row) const { return of_rows[2 * row]; }
  __device__ __forceinline__ float size(int row) const { return of_rows[2 * row + 1]; }
  /// Adds 16 x 16 weights.
  template <class Token> __device__ __forceinline__ void add(const std::uint32_t (&weights)[4], int lane) {
    constexpr std::uint32_t ones = std::is_same_v<Token, bfloat16> ? 0x3f803f80u : 0x3c003c00u;
    const std::uint32_t even = lane & 4 ? 0u : ones, odd = ones - even;
    const std::uint32_t sizes[4] = {weights[0] & 0x7fff7fffu, weights[1] & 0x7fff7fffu, weights[2] & 0x7fff7fffu,
                                    weights[3] & 0x7fff7fffu};
    ptx::multiply_add<Token>(of_rows, weights, even, even);
    ptx::multiply_add<Token>(of_rows, sizes, odd, odd);
  }
};

/// Four weights, rounded: of two neighbouring columns in a row and in the row 8 further down. Adds to the rows' sums for the
/// normaliser where they are sums of weights.
template <class Plan>
__device__ __forceinline__ void round_weights(float (&weight)[4], const chunk_gates& gates, int column,
                                              std::uint32_t& upper, std::uint32_t& lower, float (&sums)[2]) {
  using token = typename Plan::token;
  if constexpr (Plan::normalised && Plan::admits && !Plan::stabilises) {
    const float2 admitted = *reinterpret_cast<const float2*>(gates.admitted + column);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (Plan::decays) sums[i / 2] += weight[i];
      weight[i] *= i % 2 ? admitted.y : admitted.x;
    }
  }
  upper = detail::round_pair<token>(weight[0], weight[1]);
  lower = detail::round_pair<token>(weight[2], weight[3]);
  if constexpr (Plan::sums_weights) {
    // The divisor sums the very weights that y is made of, so that y stays their average.
    float left, right;
    detail::widen_pair<token>(upper, left, right);
    sums[0] += left + right;
    detail::widen_pair<token>(lower, left, right);
    sums[1] += left + right;
  }
}

/// Whether a row's weights have the token that many rows before it.
template <class Plan> __device__ __forceinline__ bool is_seen(int distance) {
  if constexpr (Plan::adds_own) return Plan::reversed ? distance < 0 : distance > 0;
  else return Plan::reversed ? distance <= 0 : distance >= 0;
}

/// q_i . k_i of the rows lane / 4 and lane / 4 + 8 of a block on the diagonal, in the lanes that have them: see has_own().
__device__ __forceinline__ float2 own_of(const float* scores, int lane) {
  return lane / 4 % 2 ? make_float2(scores[1], scores[7]) : make_float2(scores[0], scores[6]);
}
/// The same of a warp's rows.
__device__ __forceinline__ float2 own_scores(const float (&scores)[32], int warp, int lane) {
  float2 own = make_float2(0.0f, 0.0f);
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const float2 its = own_of(scores + 8 * w, lane);
    own.x = w == warp ? its.x : own.x, own.y = w == warp ? its.y : own.y;
  }
  return own;
}
__device__ __forceinline__ bool has_own(int lane) { return lane % 4 == lane / 8; }

/// Puts them back, into scores of queries and keys that have been turned.
__device__ __forceinline__ void put_own_scores(float (&scores)[32], float2 own, int warp, int lane) {
  const bool odd = lane / 4 % 2 != 0;
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const bool its = w == warp && has_own(lane);
    scores[8 * w] = its && !odd ? own.x : scores[8 * w];
    scores[8 * w + 1] = its && odd ? own.x : scores[8 * w + 1];
    scores[8 * w + 6] = its && !odd ? own.y : scores[8 * w + 6];
    scores[8 * w + 7] = its && odd ? own.y : scores[8 * w + 7];
  }
}

/// Sums of two rows, of which each of four lanes has a part, in all of them.
__device__ __forceinline__ void add_up_rows(float (&sums)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    sums[i] += __shfl_xor_sync(~0u, sums[i], 1);
    sums[i] += __shfl_xor_sync(~0u, sums[i], 2);
  }
}

/// The sums of one warp's rows over the tokens that they see, themselves included, of plain scores.
template <class Plan>
__device__ __forceinline__ void sum_rows(const float (&scores)[32], int warp, int lane, float (&sums)[2]) {
  sums[0] = sums[1] = 0.0f;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const float* const its = scores + 8 * n;
    if (Plan::reversed ? n > warp : n < warp) {
      sums[0] += its[0] + its[1] + (its[4] + its[5]), sums[1] += its[2] + its[3] + (its[6] + its[7]);
    } else if (n == warp) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int distance = lane / 4 + 8 * (i / 2 % 2) - (8 * (i / 4) + 2 * (lane % 4) + i % 2);
        sums[i / 2 % 2] += (Plan::reversed ? distance <= 0 : distance >= 0) ? its[i] : 0.0f;
      }
    }
  }
  add_up_rows(sums);
}

/// One warp's 16 rows of the weights of one head, from the scores q_i . k_j, and the rows' sums before the input gate.
///   weight_ij = q_i . k_j 2^(cum_i - cum_j) I_j, j no later than i
/// Blocks of 16 x 16 that lie wholly in the past split the exponent at the last position before the rows, so that neither
/// half is positive unless a gate is above 1; those on the diagonal take the difference first. Whatever the decay, nothing
/// overflows, and what underflows is nothing.
template <class Plan>
__device__ __forceinline__ void weigh_rows(const float (&scores)[32], const chunk_gates& gates, std::uint32_t to,
                                           int warp, int lane, float (&sums)[2], rounded_sums& rounded) {
  using token = typename Plan::token;
  const int row = 16 * warp + lane / 4, block = Plan::reversed ? 3 - warp : warp;
  float cum[2], since_start[2];
  if constexpr (Plan::gated) {
    cum[0] = gates.cumulated[row], cum[1] = gates.cumulated[row + 8];
    const float reference = block > 0 ? gates.cumulated[Plan::row_of(16 * block - 1)] : 0.0f;
    since_start[0] = ptx::exp2_approx(cum[0] - reference), since_start[1] = ptx::exp2_approx(cum[1] - reference);
  }
  const float* const since = gates.since[block > 0 ? block - 1 : 0];
  sums[0] = sums[1] = 0.0f;
  to = piece_of(to, 16 * warp + (lane / 8 & 1) * 8 + lane % 8, lane / 16);
#pragma unroll
  for (int n = 0; n < 8; n += 2) {
    std::uint32_t packed[4] = {0, 0, 0, 0};
    float weights[2][4];
#pragma unroll
    for (int i = 0; i < 8; ++i) weights[i / 4][i % 4] = scores[4 * n + i];
    if (Plan::reversed ? n > 2 * warp : n < 2 * warp) {
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const int column = 8 * (n + m) + 2 * (lane % 4);
        float(&weight)[4] = weights[m];
        float2 left = make_float2(1.0f, 1.0f);
        if constexpr (Plan::gated) left = *reinterpret_cast<const float2*>(since + column);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if constexpr (Plan::sums_scores) sums[i / 2] += weight[i];
          if constexpr (Plan::gated) weight[i] *= since_start[i / 2] * (i % 2 ? left.y : left.x);
          if constexpr (Plan::stabilises) sums[i / 2] += weight[i];
        }
        round_weights<Plan>(weight, gates, column, packed[2 * m], packed[2 * m + 1], sums);
      }
    } else if (n == 2 * warp) {
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const int column = 8 * (n + m) + 2 * (lane % 4);
        float(&weight)[4] = weights[m];
        if constexpr (Plan::stabilises)
          if (m == 0) rounded.own = own_of(scores + 4 * n, lane);
        float2 from = make_float2(0.0f, 0.0f), admitted = make_float2(1.0f, 1.0f);
        if constexpr (Plan::gated) from = *reinterpret_cast<const float2*>(gates.cumulated + column);
        if constexpr (Plan::gated && (!Plan::normalised || Plan::stabilises))
          admitted = *reinterpret_cast<const float2*>(gates.admitted + column);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          // Of the two halves of the rows one sees all columns of the other one, which sees none of its own.
          const bool across = Plan::stabilises && m != i / 2, all = across && m == int(Plan::reversed);
          if (across && !all) {
            weight[i] = 0.0f;
            continue;
          }
          const int distance = row + 8 * (i / 2) - (column + i % 2);
          const bool seen = all || is_seen<Plan>(distance);
          if constexpr (Plan::sums_scores) sums[i / 2] += seen ? weight[i] : 0.0f;
          if constexpr (Plan::gated)
            weight[i] *= ptx::exp2_approx(cum[i / 2] - (i % 2 ? from.y : from.x)) * (i % 2 ? admitted.y : admitted.x);
          weight[i] = seen ? weight[i] : 0.0f;
          if constexpr (Plan::stabilises) sums[i / 2] += weight[i];
        }
        round_weights<Plan>(weight, gates, column, packed[2 * m], packed[2 * m + 1], sums);
      }
    }
    ptx::store_matrices(to ^ 16 * n, packed[0], packed[1], packed[2], packed[3]);
    if constexpr (Plan::stabilises)
      if (Plan::reversed ? n >= 2 * warp : n <= 2 * warp) rounded.add<token>(packed, lane);
  }
  if constexpr (Plan::normalised) add_up_rows(sums);
}

/// The factors c_j of a head whose decays are mild, see state_frame, of a lane's columns in a block of 16.
struct column_factors {
  template <class Plan> static constexpr int first = Plan::reversed ? 3 : 0;  ///< block, the one that all rows read

  float4 four;

  __device__ __forceinline__ void load(const chunk_gates& gates, int n, int lane) {
    four = *reinterpret_cast<const float4*>(gates.column() + 16 * n + 4 * (lane % 4));
  }
};
/// Of two neighbouring columns in a block on the diagonal, those that are seen.
template <class Plan> __device__ __forceinline__ std::uint32_t seen_pair(int lane) {
  const int distance = lane / 4 - 2 * (lane % 4);
  return (is_seen<Plan>(distance) ? 0xffffu : 0u) | (is_seen<Plan>(distance - 1) ? 0xffff0000u : 0u);
}
/// Adds 16 x 16 weights of such a head without an input gate, (q_i . k_j) 2^(-cum_j - f), to the sums of two rows.
template <class Plan>
__device__ __forceinline__ void sum_block(const float* score, const chunk_gates& gates, int n, int lane,
                                          std::uint32_t seen, bool on_diagonal, float (&sums)[2]) {
  const float4 decay = *reinterpret_cast<const float4*>(gates.decays() + 16 * n + 4 * (lane % 4));
  const float4 inner = on_diagonal ? make_float4(seen & 1 ? decay.x : 0.0f, seen >> 31 ? decay.y : 0.0f,
                                                 seen & 1 ? decay.z : 0.0f, seen >> 31 ? decay.w : 0.0f)
                                   : decay;
  // Of the two halves of the rows: columns that both of them see, or one, or part of them.
  const float upper = fmaf(score[0], inner.x, score[1] * inner.y), lower = fmaf(score[6], inner.z, score[7] * inner.w);
  const float across = fmaf(score[4], decay.z, score[5] * decay.w), below = fmaf(score[2], decay.x, score[3] * decay.y);
  sums[0] += on_diagonal && !Plan::reversed ? upper : upper + across;
  sums[1] += on_diagonal && Plan::reversed ? lower : lower + below;
}
/// 16 x 16 weights of such a head, (q_i . k_j) c_j, rounded, into their tile; and what they add to the sums of two rows where
/// a norm sums weights.
template <class Plan>
__device__ __forceinline__ void weigh_block(const float* score, const float4& factor, std::uint32_t to,
                                            std::uint32_t seen, bool on_diagonal, float (&sums)[2]) {
  using token = typename Plan::token;
  std::uint32_t packed[4];
  packed[0] = detail::round_pair<token>(score[0] * factor.x, score[1] * factor.y);
  packed[1] = detail::round_pair<token>(score[2] * factor.x, score[3] * factor.y);
  packed[2] = detail::round_pair<token>(score[4] * factor.z, score[5] * factor.w);
  packed[3] = detail::round_pair<token>(score[6] * factor.z, score[7] * factor.w);
  if (on_diagonal) {
    packed[0] &= seen, packed[3] &= seen;
    packed[Plan::reversed ? 1 : 2] = 0;
  }
  if constexpr (Plan::sums_weights) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float left, right;
      detail::widen_pair<token>(packed[i], left, right);
      sums[i % 2] += left + right;
    }
  }
  ptx::store_matrices(to, packed[0], packed[1], packed[2], packed[3]);
}
/// One warp's 16 rows of the weights of `Heads` heads whose decays are mild, block by block, the factors of the next one on
/// their way. Blocks of later tokens are not written: they are 0.
template <class Plan, std::size_t Heads, class Own>
__device__ __forceinline__ void weigh_columns(const float (&scores)[32], const chunk_gates* gates,
                                              column_factors (&factors)[Heads], std::uint32_t to, int warp, int lane,
                                              float (&sums)[Heads][2], const Own& give_own) {
#pragma unroll
  for (int h = 0; h < int(Heads); ++h) sums[h][0] = sums[h][1] = 0.0f;
  to = piece_of(to, 16 * warp + (lane / 8 & 1) * 8 + lane % 8, lane / 16);  // and that of the block n at ^ 32 n
  const std::uint32_t seen = seen_pair<Plan>(lane);
  column_factors next[Heads];
  const auto is_read = [&](int n) { return Plan::reversed ? n >= warp : n <= warp; };
  constexpr int step = Plan::reversed ? -1 : 1, start = column_factors::first<Plan>;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int n = start + step * i;
    if (!is_read(n)) break;
    if (i < 3) {
#pragma unroll
      for (int h = 0; h < int(Heads); ++h) next[h].load(gates[h], n + step, lane);
    }
#pragma unroll
    for (int h = 0; h < int(Heads); ++h) {
      weigh_block<Plan>(scores + 8 * n, factors[h].four, (to ^ 32 * n) + h * Plan::tile_bytes, seen, n == warp,
                        sums[h]);
      if constexpr (Plan::normalised && Plan::admits)
        sum_block<Plan>(scores + 8 * n, gates[h], n, lane, seen, n == warp, sums[h]);
      factors[h] = next[h];
    }
    if (n == warp) give_own(own_of(scores + 8 * n, lane));
  }
  if constexpr (Plan::normalised) {
#pragma unroll
    for (int h = 0; h < int(Heads); ++h) add_up_rows(sums[h]);
  }
}

}  // namespace sextant::gpu::wgmma
