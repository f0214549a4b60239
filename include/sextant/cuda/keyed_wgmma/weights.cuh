// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, the warps that make queries, keys and weights with their decays: one for a step and slab.
#pragma once

#include <sextant/cuda/keyed_wgmma/normaliser.cuh>
#include <sextant/cuda/keyed_wgmma/scores.cuh>

namespace sextant::gpu::wgmma {

/// Scores of later tokens are none.
template <class Plan> __device__ __forceinline__ void keep_earlier(step_scores& scores, int lane) {
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int distance = step_scores::row(i, lane) - step_scores::column(n, i, lane);
      if (Plan::reversed ? distance > 0 : distance < 0) scores.of[n][i] = 0.0f;
    }
}
/// Tile n of a step's scores as weights in two parts. The 8 rows of 128 bytes, swizzled, have weights of tokens 0 to 7 in
/// their first 32 bytes, of tokens 8 to 15 in the next, and behind them what rounding took of both.
template <class Plan>
__device__ __forceinline__ void store_weights(std::uint16_t* weights, const float (&scores)[4], int n, int lane) {
  using token = typename Plan::token;
  std::uint32_t* const row = reinterpret_cast<std::uint32_t*>(weights) + lane / 4 * 32 + lane % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float x = scores[2 * i], y = scores[2 * i + 1];
    float high_x, high_y;
    const std::uint32_t high = detail::round_pair<token>(x, y);
    detail::widen_pair<token>(high, high_x, high_y);
    row[(2 * i + n ^ lane / 4) * 4] = high;
    row[(4 + 2 * i + n ^ lane / 4) * 4] = detail::round_pair<token>(x - high_x, y - high_y);
  }
}

/// One warp of those that prepare chunks for the state.
template <class Plan, class Call>
__device__ void prepare_chunks(const Call& call, const keyed_block<Plan>& block, unsigned char* stages_at,
                               keyed_barriers<Plan>& barriers, int warp, int lane) {
  using token = typename Plan::token;
  constexpr int stages = keyed_stages<Plan>;
  const int slab = warp % Plan::slabs, step = warp / Plan::slabs % Plan::steps, team = warp / Plan::chunk_warps;
  const int meeting = Plan::pair_meeting + warp / 2;
  const key_gates<typename Plan::design_type::forget_type, Call, 4> gates(call, block.head,
                                                                          64 * slab + step_decays<Plan>::key_of(lane));
  step_features<Plan, Call> features(call, barriers, block.head, slab);
  const step_normaliser<Plan, Call> normaliser{call, barriers, warp, slab, Plan::step_of(step)};
  const auto first_of = [&](int c) { return block.first_token(call, c) + step * Plan::step_rows; };
  features.fetch(block.batch, first_of(team), block.head, lane);
  for (int c = team; c < block.chunks; c += Plan::teams) {
    asm volatile("" : "+r"(lane));  // addresses made of it are not worth registers from chunk to chunk
    const int at = c % stages;
    keyed_stage<Plan>& stage = stage_of<Plan>(stages_at, at);
    std::uint32_t unit = ptx::shared_address(&stage.of[slab][step]);
    barriers.landed[at].wait(c / stages);

    features.take();
    if (c + Plan::teams < block.chunks) features.fetch(block.batch, first_of(c + Plan::teams), block.head, lane);
    step_decays<Plan> decays;
    decays.sum(call, gates, decays.lane_at(unit, lane), first_of(c), lane);
    const bool steep = __any_sync(~0u, decays.template leaves_reach<decltype(gates)::only_decays>());
    step_scores scores;
    asm volatile("" : "+r"(lane), "+r"(unit));
    if (call.answers && !steep) {
      decays.decay_rows(features, decays.lane_at(unit, lane), first_of(c), lane);
    } else {
      decays.stash(decays.lane_at(unit, lane));
      __syncwarp();
      if (call.answers)
        scores = score_pairs<Plan>(features, unit, stage.factors[step][0] + slab * Plan::keys, first_of(c), lane);
      decays.decay_stashed_rows(features, decays.lane_at(unit, lane), first_of(c), lane, call.answers);
    }
    asm volatile("" : "+r"(lane), "+r"(unit));
    float4 left, one = make_float4(1.0f, 1.0f, 1.0f, 1.0f);
    left.x = ptx::exp2_approx(decays.whole[0]), left.y = ptx::exp2_approx(decays.whole[1]);
    left.z = ptx::exp2_approx(decays.whole[2]), left.w = ptx::exp2_approx(decays.whole[3]);
    if constexpr (Plan::normalised) normaliser.move_on(block, decays, c, steep, lane);
    if (call.answers) {
      __syncwarp();
      auto found = [&] {
        if constexpr (Plan::normalised) return normaliser.products(lane);
        else return no_sums{};
      }();
      if (!steep) scores = decayed_scores<token>(unit, lane, found);
      else if constexpr (Plan::normalised) query_alone<token>(unit, lane, found);
      keep_earlier<Plan>(scores, lane);
      if constexpr (Plan::slabs == 2) {
        // Each of the two warps adds up one tile: what the other one needs goes through the place of the factors.
        float4* const room = reinterpret_cast<float4*>(stage.factors[step]);
        const float(&given)[4] = scores.of[1], (&kept)[4] = scores.of[0];
        float its[4];
        room[32 * slab + lane] = slab == 0 ? make_float4(given[0], given[1], given[2], given[3])
                                           : make_float4(kept[0], kept[1], kept[2], kept[3]);
        ptx::synchronise(meeting, 64);
        const float4 other = room[32 * (1 - slab) + lane];
        its[0] = (slab == 0 ? kept[0] : given[0]) + other.x, its[1] = (slab == 0 ? kept[1] : given[1]) + other.y;
        its[2] = (slab == 0 ? kept[2] : given[2]) + other.z, its[3] = (slab == 0 ? kept[3] : given[3]) + other.w;
        store_weights<Plan>(stage.weights[step], its, slab, lane);
        if constexpr (Plan::normalised) normaliser.tell(found, its[0] + its[1], its[2] + its[3], lane);
        ptx::synchronise(meeting, 64);
      } else {
        store_weights<Plan>(stage.weights[step], scores.of[0], 0, lane);
        store_weights<Plan>(stage.weights[step], scores.of[1], 1, lane);
        if constexpr (Plan::normalised) {
          const float(&low)[4] = scores.of[0], (&high)[4] = scores.of[1];
          normaliser.tell(found, low[0] + low[1] + (high[0] + high[1]), low[2] + low[3] + (high[2] + high[3]), lane);
          __syncwarp();
        }
      }
      if constexpr (Plan::normalised) normaliser.divide(at, step, lane);
    }
    // Half of the lanes write what is multiplied before, the others what is multiplied behind.
    reinterpret_cast<float4*>(stage.factors[step][lane / 16])[16 * slab + lane % 16] =
        steep == (lane >= 16) ? left : one;
    if (lane == 0) barriers.late[at][step][slab] = steep;
    ptx::publish_to_async_proxy();
    barriers.decayed[at].arrive();
  }
}

}  // namespace sextant::gpu::wgmma
