// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, the 16 x 16 scores of a step over the 64 keys of a warp.
#pragma once

#include <sextant/cuda/keyed_wgmma/decays.cuh>
#include <sextant/cuda/keyed_wgmma/features.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>

namespace sextant::gpu::wgmma {

/// Scores of 16 rows, those of queries, by 16 columns, those of keys, as products of a warp leave them: tile n has columns
/// 8 n to 8 n + 7, of which a lane has 2 (lane % 4) and the next one, of rows lane / 4 and lane / 4 + 8.
struct step_scores {
  float of[2][4] = {};

  /// += a b^T over 16 keys, factors of 16 rows as load_rows() brings them from rows_at() and from columns_at().
  template <class Token> __device__ __forceinline__ void add(const std::uint32_t (&a)[4], const std::uint32_t (&b)[4]) {
    ptx::multiply_add<Token>(of[0], a, b[0], b[1]);
    ptx::multiply_add<Token>(of[1], a, b[2], b[3]);
  }
  __device__ __forceinline__ void operator+=(const step_scores& other) {
#pragma unroll
    for (int i = 0; i < 8; ++i) of[i / 4][i % 4] += other.of[i / 4][i % 4];
  }
  static __device__ __forceinline__ int row(int i, int lane) { return lane / 4 + i / 2 * 8; }
  static __device__ __forceinline__ int column(int n, int i, int lane) { return 8 * n + 2 * (lane % 4) + i % 2; }
};

/// Where a lane's row for load_matrices() begins in a tile, that of its first 16 keys, for a first factor and for a second.
__device__ __forceinline__ std::uint32_t rows_at(std::uint32_t tile, int lane) {
  return tile + std::uint32_t(lane % 16 * 128 + ((lane / 16 ^ (lane & 7)) << 4));
}
__device__ __forceinline__ std::uint32_t columns_at(std::uint32_t tile, int lane) {
  return tile + std::uint32_t((lane / 16 * 8 + (lane & 7)) * 128 + ((lane / 8 % 2 ^ (lane & 7)) << 4));
}
/// Keys 16 i to 16 i + 15 of the 16 rows of a tile `Bytes` further on, as a factor.
template <int Bytes> __device__ __forceinline__ void load_rows(std::uint32_t (&to)[4], std::uint32_t at, int i) {
  ptx::load_matrices(to, (at ^ std::uint32_t(i << 5)) + Bytes);
}
/// What else is made of the queries of a unit, 16 keys at a time: nothing.
struct no_sums {
  __device__ __forceinline__ void add(int, const std::uint32_t (&)[4], const std::uint32_t (&)[4]) {}
};
/// The sums q z over the 64 keys of a unit, z as two rows of 16 bits, what it is rounded to and what rounding took: those are
/// the columns 2 (lane % 4) and the next one of a second factor whose columns repeat them.
template <class Token> struct query_sums {
  std::uint32_t at;  // where a lane's row for load_matrices() begins
  float sums[4] = {}, rests[4] = {};
  std::uint32_t z[4] = {};

  /// += over keys 16 i to 16 i + 15; i = 0, 1, 2, 3.
  __device__ __forceinline__ void add(int i, const std::uint32_t (&q)[4], const std::uint32_t (&q_rest)[4]) {
    if (i % 2 == 0) ptx::load_matrices(z, at + std::uint32_t(32 * i));
    ptx::multiply_add<Token>(sums, q, z[i % 2 * 2], z[i % 2 * 2 + 1]);
    ptx::multiply_add<Token>(rests, q_rest, z[i % 2 * 2], z[i % 2 * 2 + 1]);
  }
  /// Of row lane / 4, or lane / 4 + 8.
  __device__ __forceinline__ float of_row(int i) const {
    return sums[2 * i] + (sums[2 * i + 1] + (rests[2 * i] + rests[2 * i + 1]));
  }
};
/// Nothing but what else is made of them.
template <class Token, class Sums>
__device__ __forceinline__ void query_alone(std::uint32_t unit, int lane, Sums& also) {
  const std::uint32_t rows = rows_at(unit, lane);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    std::uint32_t q[4], q_rest[4];
    load_rows<q_at>(q, rows, i), load_rows<q_rest_at>(q_rest, rows, i);
    also.add(i, q, q_rest);
  }
}
/// q k^T over the 64 keys of a unit, both in two parts.
template <class Token, class Sums>
__device__ __forceinline__ step_scores decayed_scores(std::uint32_t unit, int lane, Sums& also) {
  const std::uint32_t rows = rows_at(unit, lane), columns = columns_at(unit, lane);
  step_scores sums, rests;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    std::uint32_t q[4], q_rest[4], k[4], k_rest[4];
    load_rows<q_at>(q, rows, i), load_rows<k_at>(k, columns, i);
    load_rows<q_rest_at>(q_rest, rows, i), load_rows<k_rest_at>(k_rest, columns, i);
    sums.add<Token>(q, k), rests.add<Token>(q, k_rest), rests.add<Token>(q_rest, k);
    also.add(i, q, q_rest);
  }
  sums += rests;
  return sums;
}

/// The scores of a steep step, pair by pair: no exponent is positive unless a gate is above 1, whatever the decay. A lane has
/// some of the pairs of different tokens, then half of a token's with itself, and sums over the unit's keys, whose sums of
/// logarithms are stashed; `room` has place for 120 numbers.
template <class Plan, class Features>
__device__ __forceinline__ step_scores score_pairs(const Features& features, std::uint32_t unit, float* room, int first,
                                                   int lane) {
  using token = typename Plan::token;
  constexpr int pairs = Plan::step_rows * (Plan::step_rows - 1) / 2, of_lane = (pairs + 31) / 32;
  const auto row_at = [&](int row) { return unit + std::uint32_t(row * 128 + ((row & 7) << 4)); };
  const auto product = [&](std::uint32_t i, std::uint32_t j, const auto& turn, float decay_x, float decay_y,
                           float& sum) {
    float2 q, k;
    detail::widen_pair<token>(ptx::load_word<q_at>(i), q.x, q.y);
    detail::widen_pair<token>(ptx::load_word<k_at>(j), k.x, k.y);
    q.x = features.query(q.x), q.y = features.query(q.y), k.x = features.key(k.x), k.y = features.key(k.y);
    turn(q, i), turn(k, j);
    sum = fmaf(q.x * decay_x, k.x, sum);
    sum = fmaf(q.y * decay_y, k.y, sum);
  };
  const auto stay = [](float2&, std::uint32_t) {};
  std::uint32_t asks[of_lane], asked[of_lane];  // where rows begin
  float sums[of_lane];
#pragma unroll
  for (int m = 0; m < of_lane; ++m) {
    int earlier = lane + 32 * m < pairs ? lane + 32 * m : 0, later = 1;
#pragma unroll 1
    while (earlier >= later) earlier -= later++;
    asks[m] = row_at(Plan::row_of(later)), asked[m] = row_at(Plan::row_of(earlier)), sums[m] = 0.0f;
  }
#pragma unroll 1
  for (std::uint32_t key = 0; key < 128; key += 4) {
    const auto turn = [&](float2& x, std::uint32_t at) {
      if constexpr (Plan::turns)
        x = turned(x, rotation_of(features.call, features.turns, features.first_pair + int(key) / 4,
                                  first + int(at - unit) / 128));
    };
#pragma unroll
    for (int m = 0; m < of_lane; ++m) {
      const std::uint32_t i = asks[m] ^ key, j = asked[m] ^ key;
      const float x = __uint_as_float(ptx::load_word<q_rest_at>(i)) - __uint_as_float(ptx::load_word<q_rest_at>(j));
      const float y = __uint_as_float(ptx::load_word<k_rest_at>(i)) - __uint_as_float(ptx::load_word<k_rest_at>(j));
      product(i, j, turn, ptx::exp2_approx(x), ptx::exp2_approx(y), sums[m]);
    }
  }
#pragma unroll
  for (int m = 0; m < of_lane; ++m) {
    const float admitted = features.admitted_in(int(asked[m] - unit) / 128);
    if (lane + 32 * m < pairs) room[lane + 32 * m] = sums[m] * admitted;
  }
  float own = 0.0f;
  const std::uint32_t row = row_at(lane % 16) ^ std::uint32_t(lane / 16 * 64);
#pragma unroll 1
  for (std::uint32_t key = 0; key < 64; key += 4)
    product(row ^ key, row ^ key, stay, 1.0f, 1.0f, own);  // both turned by the same
  own += __shfl_xor_sync(~0u, own, 16);
  if constexpr (Features::weighs) own *= features.admitted;
  const float its_own[] = {__shfl_sync(~0u, own, lane / 4), __shfl_sync(~0u, own, lane / 4 + 8)};
  __syncwarp();
  step_scores scores;
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int later = Plan::row_of(step_scores::row(i, lane)),
                earlier = Plan::row_of(step_scores::column(n, i, lane));
      if (earlier < later) scores.of[n][i] = room[later * (later - 1) / 2 + earlier];
      else if (earlier == later) scores.of[n][i] = its_own[i / 2];
    }
  __syncwarp();
  return scores;
}

}  // namespace sextant::gpu::wgmma
