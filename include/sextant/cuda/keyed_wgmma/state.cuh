// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, the state warpgroups: the state in registers, what it answers and how it moves on.
#pragma once

#include <sextant/cuda/chunked_wgmma/channels.cuh>
#include <sextant/cuda/keyed_wgmma/segments.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::wgmma {

/// A warpgroup that holds the state of 64 channels, S^T [64][Keys], as the sums of a product in float: rounded, they are
/// the first factor of the next one. Per step, with Q', K', W its queries, keys and weights, which have the decays in them:
///   S^T = S^T 2^G,   Y^T = S^T Q'^T + V^T W^T,   S^T += V^T K'
/// Q', K' and W are sums of two numbers of 16 bits.
template <class Plan, class Call> struct keyed_state_group {
  using token = typename Plan::token;
  static constexpr int numbers = Plan::keys / 2;  ///< of the state, a thread's

  const Call& call;
  unsigned char* const stages_at;
  keyed_barriers<Plan>& barriers;
  const int slice, thread, warp, lane;

  __device__ keyed_state_group(const Call& its_call, unsigned char* its_stages, keyed_barriers<Plan>& its_barriers,
                               int its_slice, int its_thread)
      : call{its_call},
        stages_at{its_stages},
        barriers{its_barriers},
        slice{its_slice},
        thread{its_thread},
        warp{its_thread / 32},
        lane{its_thread % 32} {}

  /// Walks through a segment: answers all queries, or hands over what it makes of zeros, and the first one the initial state.
  __device__ __forceinline__ void run(const keyed_block<Plan>& block) const {
    float S[std::size_t(numbers)], skip[2] = {0.0f, 0.0f};
    const states_of_keys<Plan> states{call.handed, call.segments, block.number};
    if (call.answers && call.segments > 1) {
      ptx::wait_for_launch_before();
      states.load(S, call.adds_up ? 0 : block.segment, slice, thread);
      if (call.adds_up) {
#pragma unroll 1
        for (int j = 1; j <= block.segment; ++j) {
          multiply_state(S, states.left(j));
          states.add(S, j, slice, thread);
        }
      }
    } else {
#pragma unroll
      for (int i = 0; i < numbers; ++i) S[i] = 0.0f;
      if (call.x.initial_state.S) each(block, call.x.initial_state.S, [&](int i, const float* its) { S[i] = *its; });
    }
    if (call.answers) {
      if constexpr (Plan::skips) {
        const int channel = channel_of(block);
        if (channel < call.values) skip[0] = call.x.d(block.head, channel);
        if (channel + 8 < call.values) skip[1] = call.x.d(block.head, channel + 8);
      }
      move_on<true>(S, skip, block.chunks);
    } else {
      if (block.segment == 0) states.store(S, 0, slice, thread);
#pragma unroll
      for (int i = 0; i < numbers; ++i) S[i] = 0.0f;
      move_on<false>(S, skip, block.chunks);
    }
    // Finds out anew where it works, so that this takes no registers until here.
    int number;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(number));
    const keyed_block<Plan> at{call, number};
    if (!call.answers)
      states_of_keys<Plan>{call.handed, call.segments, at.number}.store(S, at.segment + 1, slice, thread);
    else if (call.x.final_state.S && at.segment + 1 == call.segments)
      each(at, call.x.final_state.S, [&](int i, float* its) { *its = S[i]; });
  }

 private:
  __device__ __forceinline__ int channel_of(const keyed_block<Plan>& at) const {
    return at.value + 64 * slice + 16 * warp + lane / 4;  // of this thread's sums; the other one is 8 further on
  }
  /// visit(i, where) for all numbers of the state that there are, `where` being their place in a tensor of states.
  template <class View, class Visit>
  __device__ __forceinline__ void each(const keyed_block<Plan>& block, const View& x, const Visit& visit) const {
    const int key = 2 * (lane % 4), channel = channel_of(block);
    auto* at =
        x.data() + block.batch * x.stride(0) + block.head * x.stride(1) + key * x.stride(2) + channel * x.stride(3);
    const index_t next_key = x.stride(2), next_channel = 8 * x.stride(3);
#pragma unroll
    for (int j = 0; j < numbers / 4; ++j, at += 8 * next_key)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (key + 8 * j + i % 2 < call.keys && channel + i / 2 * 8 < call.values)
          visit(4 * j + i, at + (i % 2 ? next_key : 0) + (i / 2 ? next_channel : 0));
  }
  /// Moves a state through the block's chunks.
  template <bool Answers>
  __device__ __forceinline__ void move_on(float (&S)[std::size_t(numbers)], const float (&skip)[2], int chunks) const {
    constexpr int stages = keyed_stages<Plan>;
    for (int c = 0; c < chunks; ++c) {
      const int at = c % stages;
      barriers.landed[at].wait(c / stages);
      barriers.decayed[at].wait(c / stages);
      bool late[Plan::steps];
#pragma unroll
      for (int n = 0; n < Plan::steps; ++n) {
        int its = barriers.late[at][n][0];
        if constexpr (Plan::slabs == 2) its |= barriers.late[at][n][1];
        late[n] = __any_sync(~0u, its);  // a vote, so that the compiler sees that lanes agree
      }
#pragma unroll
      for (int n = 0; n < Plan::steps; ++n) move_step<Answers>(S, skip, at, Plan::step_of(n), late[Plan::step_of(n)]);
      barriers.finished[at].arrive();
    }
  }
  __device__ __forceinline__ void multiply_state(float (&S)[std::size_t(numbers)], const float* factors) const {
#pragma unroll
    for (int j = 0; j < numbers / 4; ++j) {
      const float2 factor = *reinterpret_cast<const float2*>(factors + 8 * j + 2 * (lane % 4));
      S[4 * j] *= factor.x, S[4 * j + 1] *= factor.y, S[4 * j + 2] *= factor.x, S[4 * j + 3] *= factor.y;
    }
  }
  template <bool Answers>
  __device__ __forceinline__ void move_step(float (&S)[std::size_t(numbers)], const float (&skip)[2], int at, int step,
                                            bool late) const {
    keyed_stage<Plan>& stage = stage_of<Plan>(stages_at, at);
    multiply_state(S, stage.factors[step][0]);
    const std::uint32_t values = ptx::shared_address(stage.v[slice]) + step * Plan::step_bytes;
    std::uint32_t V[4], rounded[numbers / 2];
    float Y[16];  // of parts and of rests
    if constexpr (Answers) {
#pragma unroll
      for (int i = 0; i < numbers / 2; ++i) rounded[i] = detail::round_pair<token>(S[2 * i], S[2 * i + 1]);
      ptx::begin_products();
#pragma unroll
      for (int i = 0; i < Plan::keys / 16; ++i) {
        const std::uint32_t queries = ptx::shared_address(stage.of[i / 4][step].q);
        ptx::multiply_few(Y, rounded + 4 * i, ptx::rows_along_sum(queries, i % 4 * 32), i > 0);
      }
      ptx::commit_products();
    }
    load_channels_of(V, values, 0, warp, lane);
    if (late) {
      ptx::wait_products<0>();
      multiply_state(S, stage.factors[step][1]);
    }
    ptx::begin_products();
    if constexpr (Answers) {
      ptx::multiply_few(Y, V, ptx::rows_beside_rows(ptx::shared_address(stage.weights[step]), 32), true);
      ptx::commit_products();
    }
    const std::uint32_t keys = ptx::shared_address(stage.of[0][step].k);
    constexpr int slab = Plan::steps * int(sizeof(keyed_unit)),
                  rest = offsetof(keyed_unit, decays) - offsetof(keyed_unit, k);
    ptx::multiply<token, true>(S, V, ptx::rows_across_sum(keys, 0, slab), true);
    ptx::multiply<token, true>(S, V, ptx::rows_across_sum(keys, rest, slab), true);
    ptx::commit_products();
    if constexpr (Answers) {
      ptx::wait_products<1>();
      answer(Y, V, skip, stage, at, step, values);
    }
    ptx::wait_products<0>();
  }
  /// y of a step, into the place of v.
  __device__ __forceinline__ void answer(const float (&Y)[16], const std::uint32_t (&V)[4], const float (&skip)[2],
                                         keyed_stage<Plan>& stage, int at, int step, std::uint32_t values) const {
    float y[8];
    if constexpr (Plan::normalised) {
      const float* const factors = barriers.factors[at][step];
#pragma unroll
      for (int i = 0; i < 8; i += 4) {
        const float2 by = *reinterpret_cast<const float2*>(factors + 2 * i + 2 * (lane % 4));
        y[i] = (Y[i] + Y[8 + i]) * by.x, y[i + 1] = (Y[i + 1] + Y[9 + i]) * by.y;
        y[i + 2] = (Y[i + 2] + Y[10 + i]) * by.x, y[i + 3] = (Y[i + 3] + Y[11 + i]) * by.y;
      }
    } else {
      (void)at;
#pragma unroll
      for (int i = 0; i < 8; ++i) y[i] = (Y[i] + Y[8 + i]) * call.scale;
    }
    if constexpr (Plan::skips) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float v[2];
        detail::widen_pair<token>(V[i], v[0], v[1]);
        y[2 * i] = fmaf(skip[i % 2], v[0], y[2 * i]), y[2 * i + 1] = fmaf(skip[i % 2], v[1], y[2 * i + 1]);
      }
    }
    if constexpr (Plan::output_gate) {
      std::uint32_t gate[4];
      load_channels_of(gate, ptx::shared_address(stage.output_gate[slice]) + step * Plan::step_bytes, 0, warp, lane);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float g[2];
        detail::widen_pair<token>(gate[i], g[0], g[1]);
        y[2 * i] *= silu<false>(g[0]), y[2 * i + 1] *= silu<false>(g[1]);
      }
    }
    std::uint32_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = detail::round_pair<token>(y[2 * i], y[2 * i + 1]);
    ptx::store_transposed(piece_of(values, 8 * (lane / 16) + lane % 8, 2 * warp + (lane / 8 & 1)), pairs[0], pairs[1],
                          pairs[2], pairs[3]);
  }
};

}  // namespace sextant::gpu::wgmma
