// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, the normaliser: z from step to step, q z, and what rows of y are multiplied by.
#pragma once

#include <sextant/cuda/keyed_wgmma/scores.cuh>
#include <sextant/cuda/keyed_wgmma/segments.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>

namespace sextant::gpu::wgmma {

/// A warp's part of the normaliser, 64 keys of the steps that it prepares. z goes from warp to warp in float, four keys in a
/// lane and once more in lane ^ 16: what a step adds to it the lanes have added up where they made k_i 2^(G - G_i).
template <class Plan, class Call> struct step_normaliser {
  using token = typename Plan::token;

  const Call& call;
  key_sums<Plan>& sums;
  const int warp, slab, order;  // order: of the warp's step in its chunk, as the state meets them

  /// Once the keys of a step are decayed: z behind it for whoever has the next one, and for this step's queries z before it,
  /// with the step's decay where that is multiplied before them. A __syncwarp() must follow.
  __device__ __forceinline__ void move_on(const keyed_block<Plan>& block, const step_decays<Plan>& decays, int c,
                                          bool steep, int lane) const {
    constexpr int in_work = key_sums<Plan>::in_work;
    const int n = c * Plan::steps + order, key = 64 * slab + decays.key_of(lane);
    float z[4], left[4], shown[4], next[4];
    if (n == 0) {
      begin(block, z, key);
    } else {
      sums.known[n % in_work][slab].wait((n - 1) / in_work);
      const float4 its = *reinterpret_cast<const float4*>(sums.z[n % 2] + key);
      z[0] = its.x, z[1] = its.y, z[2] = its.z, z[3] = its.w;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      left[i] = ptx::exp2_approx(decays.whole[i]);
      const float whole = decays.entered[i] + __shfl_xor_sync(~0u, decays.entered[i], 16);
      next[i] = fmaf(left[i], z[i], whole), shown[i] = steep ? z[i] : left[i] * z[i];
    }
    if (lane < 16)
      *reinterpret_cast<float4*>(sums.z[(n + 1) % 2] + key) = make_float4(next[0], next[1], next[2], next[3]);
    sums.known[(n + 1) % in_work][slab].arrive();
    if (n + 1 == block.chunks * Plan::steps && lane < 16) end(block, next, key);
    // Half of the lanes write z rounded, the others what rounding took of it.
    std::uint32_t words[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float x, y;
      words[i] = detail::round_pair<token>(shown[2 * i], shown[2 * i + 1]);
      detail::widen_pair<token>(words[i], x, y);
      if (lane >= 16) words[i] = detail::round_pair<token>(shown[2 * i] - x, shown[2 * i + 1] - y);
    }
    *reinterpret_cast<uint2*>(sums.shown[warp][lane / 16] + decays.key_of(lane)) = make_uint2(words[0], words[1]);
  }
  /// What the products of queries also find: q z.
  __device__ __forceinline__ query_sums<token> products(int lane) const {
    return {ptx::shared_address(sums.shown[warp]) + std::uint32_t(lane % 2 * 128 + lane / 8 * 16)};
  }
  /// Tells the warp's share of the divisors of rows lane / 4 and lane / 4 + 8: q z, and weights that are spread over the
  /// lanes up to lane ^ 3.
  __device__ __forceinline__ void tell(const query_sums<token>& found, float first, float second, int lane) const {
#pragma unroll
    for (int distance = 1; distance < 4; distance *= 2) {
      first += __shfl_xor_sync(~0u, first, distance);
      second += __shfl_xor_sync(~0u, second, distance);
    }
    if (lane % 4 != 0) return;
    sums.of_rows[warp][lane / 4] = first + found.of_row(0);
    sums.of_rows[warp][lane / 4 + 8] = second + found.of_row(1);
  }
  /// The factors of rows of y once all of the step's warps have told, by one of them.
  __device__ __forceinline__ void divide(int stage, int step, int lane) const {
    if (slab != 0 || lane >= Plan::step_rows) return;
    float divisor = sums.of_rows[warp][lane] + call.eps;
    if constexpr (Plan::slabs == 2) divisor += sums.of_rows[warp + 1][lane];
    sums.factors[stage][step][lane] = call.scale * ptx::reciprocal_approx(divisor);
  }

 private:
  /// z that a segment begins with, of keys key to key + 3.
  __device__ __forceinline__ void begin(const keyed_block<Plan>& block, float (&z)[4], int key) const {
    const states_of_keys<Plan> its{call.handed, call.segments, block.number};
    if (call.answers && call.segments > 1) ptx::wait_for_launch_before();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (call.answers && call.segments > 1) {
        z[i] = its.sums(call.adds_up ? 0 : block.segment)[key + i];
        for (int j = 1; call.adds_up && j <= block.segment; ++j)
          z[i] = fmaf(its.left(j)[key + i], z[i], its.sums(j)[key + i]);
      } else {
        const auto& given = call.x.initial_state.z;
        z[i] = given && key + i < call.keys ? given(block.batch, block.head, key + i) : 0.0f;
        if (call.answers) continue;
        if (block.segment == 0) its.sums(0)[key + i] = z[i];  // by both lanes that have it
        z[i] = 0.0f;
      }
    }
  }
  /// Hands over what a segment ends with, or the whole sequence.
  __device__ __forceinline__ void end(const keyed_block<Plan>& block, const float (&z)[4], int key) const {
    const states_of_keys<Plan> its{call.handed, call.segments, block.number};
    const auto& to = call.x.final_state.z;
    const bool is_last = block.segment + 1 == call.segments && block.value == 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (!call.answers) its.sums(block.segment + 1)[key + i] = z[i];
      else if (to && is_last && key + i < call.keys) to(block.batch, block.head, key + i) = z[i];
    }
  }
};

}  // namespace sextant::gpu::wgmma
