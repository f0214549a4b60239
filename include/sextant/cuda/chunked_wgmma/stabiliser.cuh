// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernels, the stabiliser: what it makes of a chunk's gates.
#pragma once

#include <sextant/cuda/chunked_wgmma/segment_states.cuh>

namespace sextant::gpu::wgmma {

/// m of a head behind the chunks so far, m_t = max(log F_t + m_{t-1}, log I_t), and the sum of log F, in one warp. The state is
/// held times exp(-m), so that its gates are F' = F exp(m_{t-1} - m_t) and I' = I exp(-m_t), neither of them above 1. These
/// are of the very m that has been rounded: however large it is, gates and state agree.
struct head_stabiliser {
  float m, log_left = 0;

  /// exp(-m), but never 0: what a query of zeros is told is 0 over that.
  static __device__ __forceinline__ float bound_of(float its_m) {
    return ptx::exp2_approx(fmaxf(its_m * -log2_e, -126.0f));
  }

  /// Makes log F and log I of positions 2 lane and 2 lane + 1 of a chunk the logarithm of base 2 of F' and I' itself; answers
  /// exp(-m) of both. All lanes of the warp.
  __device__ __forceinline__ float2 stabilise(float (&log_f)[2], float (&log_i)[2], int lane) {
    const pair_stabiliser<float> its(log_f, log_i, m, lane);
    m = its.last, log_left += its.sum_of_all;
    log_f[0] = (log_f[0] + (its.before - its.first)) * log2_e,
    log_f[1] = (log_f[1] + (its.first - its.second)) * log2_e;
    log_i[0] = ptx::exp2_approx((log_i[0] - its.first) * log2_e);
    log_i[1] = ptx::exp2_approx((log_i[1] - its.second) * log2_e);
    return make_float2(bound_of(its.first), bound_of(its.second));
  }
};

/// m before a block's first chunk: the initial one, or of what segments handed over, which themselves know of none. Never -inf,
/// which a state of nothing may have: a chunk that begins with no tokens would subtract it from itself.
template <class Plan, class Call>
__device__ __forceinline__ float first_stabiliser(const Call& call, const chunked_block<Plan>& block) {
  if constexpr (!Plan::answers) return no_stabiliser;
  handed_stabiliser at;
  if (call.segments == 1) {
    if (const auto& initial = call.x.initial_state.m) at.m = initial(block.batch, block.head);
  } else {
    const states_of<Plan> states = states_of_head<Plan>(call, block, 0, block.first_value);
    for (int j = states.first_of(block.segment, is_given<Plan>(call)); j <= block.segment; ++j) at.take(states, j);
  }
  return larger(at.m, no_stabiliser);
}
/// m behind its last one goes to the next segment or is the final one, which the block of a head's first channels stores.
template <class Plan, class Call>
__device__ __forceinline__ void store_stabiliser(const head_stabiliser& its, const Call& call,
                                                 const chunked_block<Plan>& block) {
  if constexpr (!Plan::answers) {
    for (int slice = 0; slice < Plan::slices && block.has(call, slice); ++slice) {
      const states_of<Plan> states = states_of_head<Plan>(call, block, 0, block.value_of(slice));
      states.left(block.segment + 1) = its.log_left, states.own_stabiliser(block.segment + 1) = its.m;
    }
  } else if (call.x.final_state.m && block.segment + 1 == call.segments && block.first_value == 0) {
    call.x.final_state.m(block.batch, block.head) = its.m;
  }
}

}  // namespace sextant::gpu::wgmma
