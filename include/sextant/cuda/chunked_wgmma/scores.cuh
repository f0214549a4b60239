// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the score warpgroup: what every token of a chunk takes of every earlier one.
#pragma once

#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/chunked_wgmma/rows.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>

namespace sextant::gpu::wgmma {

/// Four weights, rounded: of two neighbouring columns in a row and in the row 8 further down. Adds to the rows' sums for the
/// normaliser where they are sums of weights.
template <class Plan>
__device__ __forceinline__ void round_weights(float (&weight)[4], const chunk_gates& gates, int column, std::uint32_t& upper,
                                              std::uint32_t& lower, float (&sums)[2]) {
  using token = typename Plan::token;
  if constexpr (Plan::normalised && Plan::admits) {
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

/// q_i . k_i of the rows lane / 4 and lane / 4 + 8 of a warp, in the lanes that have them: see has_own().
__device__ __forceinline__ float2 own_scores(const float (&scores)[32], int warp, int lane) {
  float2 own = make_float2(0.0f, 0.0f);
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const float first = lane / 4 % 2 ? scores[8 * w + 1] : scores[8 * w];
    const float second = lane / 4 % 2 ? scores[8 * w + 7] : scores[8 * w + 6];
    own.x = w == warp ? first : own.x, own.y = w == warp ? second : own.y;
  }
  return own;
}
__device__ __forceinline__ bool has_own(int lane) { return lane % 4 == lane / 8; }

/// One warp's 16 rows of the weights of one head, from the scores q_i . k_j, and the rows' sums before the input gate.
///   weight_ij = q_i . k_j 2^(cum_i - cum_j) I_j, j no later than i
/// Blocks of 16 x 16 that lie wholly in the past split the exponent at the last position before the rows, so that neither
/// half is positive unless a gate is above 1; those on the diagonal take the difference first. Whatever the decay, nothing
/// overflows, and what underflows is nothing.
template <class Plan>
__device__ __forceinline__ void weigh_rows(const float (&scores)[32], const chunk_gates& gates, std::uint32_t to, int warp,
                                           int lane, float& first_sum, float& second_sum) {
  using token = typename Plan::token;
  const int row = 16 * warp + lane / 4, block = Plan::reversed ? 3 - warp : warp;
  float cum[2], since_start[2];
  if constexpr (Plan::gated) {
    cum[0] = gates.cumulated[row], cum[1] = gates.cumulated[row + 8];
    const float reference = block > 0 ? gates.cumulated[Plan::row_of(16 * block - 1)] : 0.0f;
    since_start[0] = ptx::exp2_approx(cum[0] - reference), since_start[1] = ptx::exp2_approx(cum[1] - reference);
  }
  const float* const since = gates.since[block > 0 ? block - 1 : 0];
  float sums[2] = {0.0f, 0.0f};
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
        }
        round_weights<Plan>(weight, gates, column, packed[2 * m], packed[2 * m + 1], sums);
      }
    } else if (n == 2 * warp) {
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const int column = 8 * (n + m) + 2 * (lane % 4);
        float(&weight)[4] = weights[m];
        float2 from = make_float2(0.0f, 0.0f), admitted = make_float2(1.0f, 1.0f);
        if constexpr (Plan::gated) from = *reinterpret_cast<const float2*>(gates.cumulated + column);
        if constexpr (Plan::gated && !Plan::normalised)
          admitted = *reinterpret_cast<const float2*>(gates.admitted + column);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int distance = row + 8 * (i / 2) - (column + i % 2);
          const bool seen = is_seen<Plan>(distance);
          if constexpr (Plan::sums_scores) sums[i / 2] += seen ? weight[i] : 0.0f;
          if constexpr (Plan::gated)
            weight[i] *= ptx::exp2_approx(cum[i / 2] - (i % 2 ? from.y : from.x)) * (i % 2 ? admitted.y : admitted.x);
          weight[i] = seen ? weight[i] : 0.0f;
        }
        round_weights<Plan>(weight, gates, column, packed[2 * m], packed[2 * m + 1], sums);
      }
    }
    const int at_row = 16 * warp + (lane / 8 & 1) * 8 + lane % 8;
    ptx::store_matrices(piece_of(to, at_row, n + lane / 16), packed[0], packed[1], packed[2], packed[3]);
  }
  if constexpr (Plan::normalised) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      sums[i] += __shfl_xor_sync(~0u, sums[i], 1);
      sums[i] += __shfl_xor_sync(~0u, sums[i], 2);
    }
  }
  first_sum = sums[0], second_sum = sums[1];
}

/// The factors c_j of a head whose decays are mild, see state_frame: a lane's columns.
struct column_factors {
  float2 of_columns[8];

  __device__ __forceinline__ void load(const chunk_gates& gates, int lane) {
#pragma unroll
    for (int m = 0; m < 8; ++m) of_columns[m] = *reinterpret_cast<const float2*>(gates.column + 8 * m + 2 * (lane % 4));
  }
};
/// One warp's 16 rows of the weights of such a head, (q_i . k_j) c_j. Blocks of later tokens are not written: they are 0.
template <class Plan>
__device__ __forceinline__ void weigh_columns(const float (&scores)[32], const column_factors& factors, std::uint32_t to,
                                              int warp, int lane) {
  using token = typename Plan::token;
  const int at_row = 16 * warp + (lane / 8 & 1) * 8 + lane % 8, distance = lane / 4 - 2 * (lane % 4);
  // Of two neighbouring columns in a block on the diagonal, those that are seen.
  const std::uint32_t seen = (is_seen<Plan>(distance) ? 0xffffu : 0u) | (is_seen<Plan>(distance - 1) ? 0xffff0000u : 0u);
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    if (Plan::reversed ? n < warp : n > warp) continue;
    const float* const score = scores + 8 * n;
    std::uint32_t packed[4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      const float2 factor = factors.of_columns[2 * n + m];
      packed[2 * m] = detail::round_pair<token>(score[4 * m] * factor.x, score[4 * m + 1] * factor.y);
      packed[2 * m + 1] = detail::round_pair<token>(score[4 * m + 2] * factor.x, score[4 * m + 3] * factor.y);
    }
    if (n == warp) {
      packed[0] &= seen, packed[3] &= seen;
      packed[Plan::reversed ? 1 : 2] = 0;
    }
    ptx::store_matrices(piece_of(to, at_row, 2 * n + lane / 16), packed[0], packed[1], packed[2], packed[3]);
  }
}

/// The score warpgroup, ahead of the state warpgroups by as many chunks as there are weight tiles free.
template <class Plan, class Call>
__device__ void run_scores(const Call& call, const chunked_block<Plan>& block, chunked_memory<Plan>& memory,
                           chunked_barriers<Plan>& barriers, int thread) {
  using token = typename Plan::token;
  const int warp = thread / 32, lane = thread % 32;
  if constexpr (Plan::framed) {
    for (int i = thread; i < 2 * Plan::weight_tiles * Plan::tile_bytes / 16; i += 128)
      reinterpret_cast<uint4*>(memory.weights)[i] = make_uint4(0, 0, 0, 0);
    ptx::synchronise(Plan::start_meeting, 128);
  }
  for (int c = 0; c < block.chunks; ++c) {
    const int stage = c % Plan::stages, buffer = c & 1;
    if constexpr (Plan::gated) barriers.gated[stage].wait(c / Plan::stages);
    barriers.landed[stage].wait(c / Plan::stages);
    if constexpr (Plan::maps) {
      map_rows<Plan, true>(call, memory, barriers, stage, block.first_token(call, c), thread);
      barriers.mapped[stage].wait(c / Plan::stages);
    }
    if constexpr (Plan::normalised) barriers.shown[buffer].wait(c / 2);
    float scores[32], of_z[4];
    const std::uint32_t queries = ptx::shared_address(memory.q[stage]), keys = ptx::shared_address(memory.k[stage]);
    ptx::begin_products();
#pragma unroll
    for (int i = 0; i < Plan::keys / 16; ++i) {
      const int at = i / 4 * Plan::tile_bytes + i % 4 * 32;
      ptx::multiply<token>(scores, ptx::rows_along_sum(queries, at), ptx::rows_along_sum(keys, at), i > 0);
    }
    if constexpr (Plan::normalised) {
      const std::uint32_t z = ptx::shared_address(memory.z[buffer]);
#pragma unroll
      for (int i = 0; i < Plan::keys / 16; ++i)
        ptx::multiply<token>(of_z, ptx::rows_along_sum(queries, i / 4 * Plan::tile_bytes + i % 4 * 32),
                             ptx::rows_along_sum(z, i / 4 * 1024 + i % 4 * 32), i > 0);
    }
    ptx::commit_products();
    if (c >= 2) barriers.consumed[buffer].wait(c / 2 - 1);
    column_factors factors;
    bool is_mild = false;
    const auto look_at_gates = [&](int h) {
      if constexpr (Plan::framed) {
        is_mild = __all_sync(~0u, memory.gates[stage][h].all.mild);  // a vote, so that the compiler sees that lanes agree
        factors.load(memory.gates[stage][h], lane);
      }
    };
    look_at_gates(0);
    float2 admitted[Plan::weight_tiles];
    if constexpr (Plan::adds_own) {
#pragma unroll
      for (int h = 0; h < Plan::weight_tiles; ++h) {
        admitted[h] = make_float2(call.scale, call.scale);
        const float* const of_rows = memory.gates[stage][h].admitted + 16 * warp + lane / 4;
        if constexpr (Plan::admits) admitted[h] = make_float2(of_rows[0], of_rows[8]);
      }
    }
    ptx::wait_products<0>();
    if constexpr (Plan::adds_own) {
      const float2 own = own_scores(scores, warp, lane);
      if (has_own(lane)) {
#pragma unroll
        for (int h = 0; h < Plan::weight_tiles; ++h) {
          float* const to = memory.own[buffer][h] + 16 * warp + lane / 4;
          to[0] = own.x * admitted[h].x, to[8] = own.y * admitted[h].y;
        }
      }
    }
#pragma unroll
    for (int h = 0; h < Plan::weight_tiles; ++h) {
      const std::uint32_t weights = ptx::shared_address(memory.weights[buffer][h]);
      if (h > 0) look_at_gates(h);
      if (is_mild) {
        weigh_columns<Plan>(scores, factors, weights, warp, lane);
        continue;
      }
      float sums[2];
      const chunk_gates& gates = memory.gates[stage][h];
      weigh_rows<Plan>(scores, gates, weights, warp, lane, sums[0], sums[1]);
      if constexpr (Plan::normalised) {
        // A lane has what q says to the state of head number lane % 4, in two numbers.
        const bool its = Plan::weight_tiles == Plan::heads ? lane % 4 == h : lane % 4 < Plan::heads;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int row = 16 * warp + lane / 4 + 8 * i;
          float seen = fmaf(of_z[2 * i], split_step<token>, of_z[2 * i + 1]);
          if constexpr (Plan::decays) seen *= gates.from_start[row];
          if (its) memory.factor[buffer][lane % 4][row] = call.scale * ptx::reciprocal_approx(sums[i] + seen + call.eps);
        }
      }
    }
    ptx::publish_to_async_proxy();
    __syncwarp();
    if (Plan::factor_tellers > 1 || lane == 0) barriers.weighed[buffer].arrive();
    if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
  }
}

}  // namespace sextant::gpu::wgmma
