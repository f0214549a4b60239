// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the score warpgroup: what every token of a chunk takes of every earlier one.
#pragma once

#include <sextant/cuda/chunked_wgmma/rows.cuh>
#include <sextant/cuda/chunked_wgmma/weights.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>

namespace sextant::gpu::wgmma {

/// What share of the sum of a row's absolute weights the sum of the weights is at least where they hardly cancel.
inline constexpr float mostly_one_sign = 0.75f;

/// The score warpgroup, ahead of the state warpgroups by as many chunks as there are weight tiles free.
template <class Plan, class Call>
__device__ void run_scores(const Call& call, const chunked_block<Plan>& block, chunked_memory<Plan>& memory,
                           chunked_barriers<Plan>& barriers, int thread) {
  using token = typename Plan::token;
  // From a lane, so that the compiler knows that all lanes agree.
  const int warp = __shfl_sync(~0u, thread / 32, 0);
  int lane = thread % 32;
  if constexpr (Plan::framed) {
    for (int i = thread; i < 2 * Plan::weight_tiles * Plan::tile_bytes / 16; i += 128)
      reinterpret_cast<uint4*>(memory.weights)[i] = make_uint4(0, 0, 0, 0);
    ptx::synchronise(Plan::start_meeting, 128);
  }
  for (int c = 0; c < block.chunks; ++c) {
    const int stage = c % Plan::stages, buffer = c & 1;
    if constexpr (Plan::gated) barriers.gated[stage].wait(c / Plan::stages);
    bool all_mild = Plan::framed;
    column_factors factors[Plan::weight_tiles];
    if constexpr (Plan::framed) {
#pragma unroll
      for (int h = 0; h < Plan::weight_tiles; ++h)
        all_mild = memory.gates[stage][h].all[lane % 4].held > 0.0f && all_mild;
#pragma unroll
      for (int h = 0; h < Plan::weight_tiles; ++h)
        factors[h].load(memory.gates[stage][h], column_factors::first<Plan>, lane);
    }
    float2 admitted[Plan::weight_tiles];
    if constexpr (Plan::adds_own && !Plan::stabilises) {
#pragma unroll
      for (int h = 0; h < Plan::weight_tiles; ++h) {
        admitted[h] = make_float2(call.scale, call.scale);
        const float* const of_rows = memory.gates[stage][h].admitted + 16 * warp + lane / 4;
        if constexpr (Plan::admits) admitted[h] = make_float2(of_rows[0], of_rows[8]);
      }
    }
    [[maybe_unused]] float2 read_own = make_float2(0.0f, 0.0f);
    if constexpr (Plan::reads_own) {
      // On its way until the scores are there.
      const int t = block.first_token(call, c) + 16 * warp + lane / 4, key_heads = call.heads / call.heads_per_key_head;
      const float* const from = call.design.position.own + (std::int64_t(block.batch) * call.tokens + t) * key_heads +
                                block.head / call.heads_per_key_head;
      if (has_own(lane) && t < call.tokens) read_own.x = from[0];
      if (has_own(lane) && t + 8 < call.tokens) read_own.y = from[8 * key_heads];
    }
    barriers.landed[stage].wait(c / Plan::stages);
    if constexpr (Plan::rewrites) {
      if constexpr (!Plan::turns)
        map_rows<Plan, false, 128>(call, memory, barriers, stage, block.first_token(call, c), thread);
      barriers.mapped[stage].wait(c / Plan::stages);
    }
    if constexpr (Plan::normalised) barriers.shown[buffer].wait(c / 2);
    float scores[32], of_z[4];
    const auto ask = [&](float(&of)[32], const std::uint16_t* its_queries, const std::uint16_t* its_keys, bool and_z) {
      const std::uint32_t queries = ptx::shared_address(its_queries), keys = ptx::shared_address(its_keys);
      ptx::begin_products();
#pragma unroll
      for (int i = 0; i < Plan::keys / 16; ++i) {
        const int at = i / 4 * Plan::tile_bytes + i % 4 * 32;
        ptx::multiply<token>(of, ptx::rows_along_sum(queries, at), ptx::rows_along_sum(keys, at), i > 0);
      }
      if constexpr (Plan::normalised) {
        const std::uint32_t z = ptx::shared_address(memory.z[buffer]);
#pragma unroll
        for (int i = 0; and_z && i < Plan::keys / 16; ++i)
          ptx::multiply<token>(of_z, ptx::rows_along_sum(queries, i / 4 * Plan::tile_bytes + i % 4 * 32),
                               ptx::rows_along_sum(z, i / 4 * 1024 + i % 4 * 32), i > 0);
      }
      ptx::commit_products();
    };
    [[maybe_unused]] float plain_sums[2];
    [[maybe_unused]] float2 plain_own;
    if constexpr (Plan::turns) {
      // First what has not been turned: the normaliser's sums, and what tokens take of themselves, which no position changes.
      float plain[32];
      ask(plain, memory.plain_q[0], memory.plain_k[0], true);
      constexpr bool at_once = !Plan::gated;  // else there are no registers
      const auto ask_turned = [&] { ask(scores, memory.q[stage][0], memory.k[stage][0], false); };
      if constexpr (at_once) ask_turned();
      ptx::wait_products<at_once ? 1 : 0>();
      __syncwarp();
      if (Plan::gate_tellers > 1 || lane == 0) barriers.plain_read.arrive();
      sum_rows<Plan>(plain, warp, lane, plain_sums);
      plain_own = own_scores(plain, warp, lane);
      if constexpr (!at_once) ask_turned();
    } else {
      ask(scores, memory.q[stage][0], memory.k[stage][0], true);
    }
    if (c >= 2) barriers.consumed[buffer].wait(c / 2 - 1);
    if constexpr (Plan::framed) all_mild = __all_sync(~0u, all_mild);  // a vote: the compiler sees that lanes agree
    ptx::wait_products<0>();
    const auto give_own = [&](float2 own) {
      if constexpr (Plan::adds_own) {
        if (!has_own(lane)) return;
        if constexpr (Plan::reads_own) own = read_own;
#pragma unroll
        for (int h = 0; h < Plan::weight_tiles; ++h) {
          float* const to = memory.own[buffer][h] + place_of_row(16 * warp + lane / 4);
          to[0] = own.x * admitted[h].x, to[2] = own.y * admitted[h].y;
        }
      }
    };
    // The factors of a head's rows from sums over the chunk and q . z of the state before it, in a frame or not. A lane has
    // what q says to the state of head number lane % 4, in two numbers.
    const auto give_factors = [&](int h, const float(&sums)[2], bool mild) {
      if constexpr (Plan::normalised) {
        const bool its = Plan::weight_tiles == Plan::heads ? lane % 4 == h : lane % 4 < Plan::heads;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int place = place_of_row(16 * warp + lane / 4 + 8 * i);
          float seen = fmaf(of_z[2 * i], split_step<token>, of_z[2 * i + 1]), shown = 1.0f;
          if constexpr (Plan::decays) shown = memory.gates[stage][h].from_start[place];
          const float divisor = mild ? shown * (sums[i] + seen) : fmaf(shown, seen, sums[i]);
          if (its)
            memory.factor[buffer][lane % 4][place] =
                call.scale * (mild ? shown : 1.0f) * ptx::reciprocal_approx(divisor + call.eps);
        }
      }
    };
    // The same with a stabiliser, and what tokens take of themselves times them. Where the weights of a row hardly cancel, their
    // sum is of rounded weights, so that y stays their average; else it would be off by more than they are.
    const auto give_stabilised_factors = [&](const float(&sums)[2], const rounded_sums& rounded,
                                             const float(&seen)[2]) {
      if constexpr (Plan::stabilises) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int row = 16 * warp + lane / 4 + 8 * i, place = place_of_row(row);
          const float its_own = __shfl_sync(~0u, i == 0 ? rounded.own.x : rounded.own.y, lane / 4 * 4 + lane / 8) *
                                memory.gates[stage][0].admitted[row];
          const float sum = sums[i] + seen[i] + its_own;
          const float size = rounded.size(i) + fabsf(seen[i]) + fabsf(its_own);
          const float answer = fabsf(sum) > mostly_one_sign * size ? rounded.sum(i) + seen[i] + its_own : sum;
          const float divisor = fmaxf(fabsf(call.scale * answer), memory.bound[stage][0][place]);
          const float factor = call.scale * ptx::reciprocal_approx(divisor + call.eps);
          if (lane % 4 == 0) memory.factor[buffer][0][place] = factor, memory.own[buffer][0][place] = factor * its_own;
        }
      }
    };
    const std::uint32_t tiles = ptx::shared_address(memory.weights[buffer][0]);
    if constexpr (Plan::framed) {
      if (all_mild) {
        float sums[Plan::weight_tiles][2];
        weigh_columns<Plan>(scores, memory.gates[stage], factors, tiles, warp, lane, sums, give_own);
#pragma unroll
        for (int h = 0; h < Plan::weight_tiles; ++h) give_factors(h, sums[h], true);
      }
    }
    if constexpr (Plan::turns) put_own_scores(scores, plain_own, warp, lane);
    if (!Plan::stabilises && !all_mild) give_own(own_scores(scores, warp, lane));
    constexpr int unrolled = Plan::framed ? 1 : Plan::weight_tiles;  // what is seldom met once
#pragma unroll unrolled
    for (int h = 0; h < Plan::weight_tiles; ++h) {
      if (all_mild) break;
      const std::uint32_t weights = tiles + h * Plan::tile_bytes;
      const chunk_gates& gates = memory.gates[stage][h];
      if constexpr (Plan::framed) {
        if (__all_sync(~0u, gates.all[lane % 4].held > 0.0f)) {
          column_factors its[1];
          its[0].load(gates, column_factors::first<Plan>, lane);
          float sums[1][2];
          weigh_columns<Plan>(scores, &gates, its, weights, warp, lane, sums, [](float2) {});
          give_factors(h, sums[0], true);
          continue;
        }
      }
      float sums[2];
      rounded_sums rounded;
      [[maybe_unused]] float seen[2];
      if constexpr (Plan::stabilises) {
        asm volatile("" : "+r"(lane));  // what is made of it is not worth registers from chunk to chunk
#pragma unroll
        for (int i = 0; i < 2; ++i)
          seen[i] = gates.from_start[place_of_row(16 * warp + lane / 4 + 8 * i)] *
                    fmaf(of_z[2 * i], split_step<token>, of_z[2 * i + 1]);
      }
      weigh_rows<Plan>(scores, gates, weights, warp, lane, sums, rounded);
      if constexpr (Plan::stabilises) {
        give_stabilised_factors(sums, rounded, seen);
        continue;
      }
      if constexpr (Plan::turns) sums[0] = plain_sums[0], sums[1] = plain_sums[1];
      give_factors(h, sums, false);
    }
    ptx::publish_to_async_proxy();
    __syncwarp();
    if (Plan::factor_tellers > 1 || lane == 0) barriers.weighed[buffer].arrive();
    if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
  }
}

}  // namespace sextant::gpu::wgmma
