// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the warps that prepare a chunk, its gates and the normaliser's state, and send y off.
#pragma once

#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/normaliser.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/chunked_wgmma/producer.cuh>
#include <sextant/cuda/chunked_wgmma/segment_states.cuh>
#include <sextant/cuda/chunked_wgmma/stabiliser.cuh>

namespace sextant::gpu::wgmma {

/// z before a block's first chunk: the initial one or what segments handed over, which make it of zeros themselves.
template <class Plan, class Call>
__device__ __forceinline__ void begin_normaliser(normaliser<Plan>& z, const Call& call,
                                                 const chunked_block<Plan>& block) {
  if constexpr (!Plan::answers) return;
  if (call.segments > 1) {
    const states_of<Plan> states = states_of_head<Plan>(call, block, z.head(), block.first_value);
    float left = 0.0f;
    [[maybe_unused]] handed_stabiliser stabilised;
    for (int j = states.first_of(block.segment, is_given<Plan>(call)); j <= block.segment; ++j) {
      const float* const from = states.normaliser(j);
      if constexpr (Plan::stabilises) {
        stabilised.take(states, j);
        z.each([&](int key, float& its) { its = fmaf(stabilised.left, its, stabilised.entered * from[key]); });
        continue;
      }
      z.each([&](int key, float& its) { its = fmaf(left, its, from[key]); });
      left = !Plan::decays ? 1.0f : j < block.segment ? states.left(j + 1) : 0.0f;
    }
  } else if (const auto& initial = call.x.initial_state.z) {
    z.each([&](int key, float& its) { its = initial(block.batch, block.head_of(z.head()), key); });
  }
}
/// z behind its last one goes to the next segment or is the final one, which the block of a head's first channels stores.
/// Finds out anew where it works, so that this takes no registers until here.
template <class Plan, class Call> __device__ __forceinline__ void end_normaliser(normaliser<Plan>& z, const Call& call) {
  int number;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(number));
  const chunked_block<Plan> block{call, number};
  if constexpr (!Plan::answers) {
    for (int slice = 0; slice < Plan::slices && block.has(call, slice); ++slice) {
      float* const to = states_of_head<Plan>(call, block, 0, block.value_of(slice)).normaliser(block.segment + 1);
      z.each([&](int key, float its) { to[key] = its; });
    }
  } else if (call.x.final_state.z && block.segment + 1 == call.segments && block.first_value == 0 &&
             block.has(call, z.head() * int(Plan::paired))) {
    const int h = block.head_of(z.head());
    z.each([&](int key, float its) { call.x.final_state.z(block.batch, h, key) = its; });
  }
}

/// One of the warps of the normaliser. In chunked_kernel() it shows z to the score warpgroup before every chunk. What else
/// there is to do for chunk c, meanwhile(c), comes when the next two chunks have been shown what they want.
template <class Plan, class Call, class Meanwhile>
__device__ __forceinline__ void run_normaliser(const Call& call, const chunked_block<Plan>& block,
                                               chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers, int warp,
                                               int lane, const Meanwhile& meanwhile) {
  normaliser<Plan> z{warp, lane};
  begin_normaliser<Plan>(z, call, block);
  for (int c = 0; c < block.chunks; ++c) {
    const int stage = c % Plan::stages, buffer = c & 1;
    asm volatile("" : "+r"(lane));  // addresses made of it are not worth registers from chunk to chunk
    z.lane = lane;
    if constexpr (Plan::framed) {
      barriers.gated[stage].wait(c / Plan::stages);
      z.multiply(fabsf(memory.gates[stage][z.head() % Plan::gate_sets].all[0].held));
    }
    if constexpr (Plan::answers) {
      if (c >= 2) barriers.weighed[buffer].wait(c / 2 - 1);
      z.show(memory.z[buffer]);
      ptx::publish_to_async_proxy();
      __syncwarp();
      if (lane == 0) barriers.shown[buffer].arrive();
      if (c >= 2) meanwhile(c - 2);
    }
    (void)buffer;
    if constexpr (Plan::gated) barriers.gated[stage].wait(c / Plan::stages);
    barriers.landed[stage].wait(c / Plan::stages);
    if constexpr (Plan::rewrites) barriers.mapped[stage].wait(c / Plan::stages);
    z.advance(call, memory, stage, block.first_token(call, c));
    __syncwarp();
    if (Plan::gate_tellers > 1 || lane == 0) {
      barriers.released[stage].arrive();
      if constexpr (Plan::turns) barriers.plain_read.arrive();
    }
  }
  if constexpr (Plan::framed) z.multiply(memory.gates[(block.chunks - 1) % Plan::stages][z.head() % Plan::gate_sets].all[0].left);
  end_normaliser<Plan>(z, call);
  for (int c = max(block.chunks - 2, 0); c < block.chunks; ++c) meanwhile(c);
}

/// One of the two warps that prepare chunks.
template <class Plan, class Call>
__device__ __forceinline__ void run_preparation(const Call& call, const chunked_block<Plan>& block,
                                                chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers,
                                                int warp, int lane) {
  if constexpr (Plan::gated)
    if (warp < Plan::gate_warps) return run_gates<Plan>(call, block, memory, barriers, warp, lane);
  if constexpr (Plan::normaliser_warps > int(Plan::normaliser_loads) + int(Plan::normaliser_stores))
    run_normaliser<Plan>(call, block, memory, barriers, warp - Plan::gate_warps, lane, [](int) {});
}

/// The warp that asks for tiles: one of its threads, or all of them where it has half of a normaliser too.
template <class Plan, class Call>
__device__ __forceinline__ void run_loading_warp(const Call& call, const chunked_maps& maps,
                                                 const chunked_block<Plan>& block, chunked_memory<Plan>& memory,
                                                 chunked_barriers<Plan>& barriers, int lane) {
  if constexpr (Plan::normaliser_loads) {
    const auto load = [&](int c) {
      if (lane == 0) load_chunk<Plan>(call, maps, block, memory, barriers, c);
      __syncwarp();
    };
    for (int c = 0; c < Plan::stages; ++c) load(c);
    run_normaliser<Plan>(call, block, memory, barriers, 0, lane, [&](int c) { load(c + Plan::stages); });
  } else if (lane == 0) {
    run_producer<Plan>(call, maps, block, memory, barriers);
  }
}
/// The warp that sends y off: one of its threads, or all of them where it has a normaliser or the other half of it.
template <class Plan, class Call>
__device__ __forceinline__ void run_storing_warp(const Call& call, const chunked_maps& maps,
                                                 const chunked_block<Plan>& block, chunked_memory<Plan>& memory,
                                                 chunked_barriers<Plan>& barriers, int lane) {
  if constexpr (Plan::normaliser_stores) {
    run_normaliser<Plan>(call, block, memory, barriers, Plan::normaliser_warps - 1, lane, [&](int c) {
      if (lane == 0) store_chunk<Plan>(call, maps, block, memory, barriers, c);
      __syncwarp();
    });
    if (lane == 0) ptx::wait_stores_read<0>();
  } else if (lane == 0) {
    run_storer<Plan>(call, maps, block, memory, barriers);
  }
}

}  // namespace sextant::gpu::wgmma
