// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel for segments: what each stretch of a long sequence adds to the state, all stretches at once.
#pragma once

#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/chunked_wgmma/preparation.cuh>
#include <sextant/cuda/chunked_wgmma/rows.cuh>
#include <sextant/cuda/chunked_wgmma/segment_states.cuh>
#include <sextant/cuda/chunked_wgmma/state_numbers.cuh>
#include <sextant/cuda/chunked_wgmma/state_products.cuh>
#include <sextant/cuda/chunked_wgmma/turning.cuh>
#include <sextant/cuda/ptx/register_budget.cuh>

namespace sextant::gpu::wgmma {

// Sequences of few heads would leave most of a GPU idle while each is walked through from end to end. So they are cut
// into segments: segment_kernel() finds what every segment but the last makes of zeros, reading keys, values and gates;
// pass_on_kernel() adds these up from segment to segment, or, where segments are few, each does; chunked_kernel() walks through
// all segments at once.

/// How many segments: as many as the multiprocessors have room for, of 8 chunks or more. Keys and values are read once
/// more, which two or three segments are not worth where a third of the multiprocessors keeps the memory busy.
template <class Plan> int segments_for(int chunks, int blocks, int multiprocessors) {
  if (chunks < 32 || blocks < 1) return 1;
  const int room = Plan::blocks * multiprocessors / blocks, possible = chunks / 8;
  const int wanted = room < possible ? room : possible;
  if (wanted < (Plan::paired ? 2 : Plan::forgets ? 3 : 4)) return 1;
  const int of_each = (chunks + wanted - 1) / wanted;  // of all but the last
  return (chunks + of_each - 1) / of_each;
}

/// What decays by 2^forgotten is forgotten by a state in float.
inline constexpr float forgotten = -40.0f;

/// The first of a segment's chunks of which anything is left behind its end. All threads call it; `sums` has room for
/// 16 numbers of each of the block's heads. It looks at the gates from the end on, for as long as it seems worth it: where
/// half of the chunks or more will have to be read, all are.
template <class Plan, class Call>
__device__ int first_remembered(const Call& call, const chunked_block<Plan>& block,
                                float (&sums)[Plan::gate_sets][16]) {
  using design = typename Plan::design_type;
  using precision = typename Plan::precision_type;
  if constexpr (!Plan::forgets || Plan::stabilises || (Plan::normalised && !Plan::decays) ||
                !is_one_sided<typename design::forget_type>)
    return 0;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, warps = int(blockDim.x) / 32;
  float log_left[Plan::gate_sets] = {};
  for (int end = block.chunks; end > 0; end -= 16) {
    for (int job = warp; job < 16 * Plan::gate_sets; job += warps) {
      const int c = end - 1 - job / Plan::gate_sets, h = job % Plan::gate_sets;
      head_gates<design, precision> head;
      head.load(call.design, call.x, block.head + h);
      float sum = 0.0f;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int t = block.first_token(call, c) + 2 * lane + i;
        if (c < 0 || t >= call.tokens) continue;
        raw_gates<design, precision> raw;
        float log_f, admitted;
        raw.load(call.x, block.batch, t, block.head + h);
        head.compute(call.design, raw, log_f, admitted);
        sum += log_f;
      }
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
      if (lane == 0) sums[h][job / Plan::gate_sets] = sum;
    }
    __syncthreads();
    float slowest = 0.0f;
    for (int i = 0; i < 16 && i < end; ++i) {
#pragma unroll
      for (int h = 0; h < Plan::gate_sets; ++h) {
        log_left[h] += sums[h][i];
        slowest =
            h == 0 || !(log_left[h] < slowest) ? log_left[h] : slowest;  // that of a head whose gates are NaN, too
      }
      if (slowest < forgotten) return end - 1 - i;
    }
    const float seen = float(block.chunks - end + 16);
    if (!(slowest * float(block.chunks) < 2.0f * forgotten * seen)) return 0;
    __syncthreads();
  }
  return 0;
}

/// Moves a state through the block's chunks and answers nothing; returns by how much they decay it.
template <class Plan>
__device__ __forceinline__ float move_on(float (&S)[Plan::keys / 2], const chunked_block<Plan>& block,
                                         chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers, int slice,
                                         int thread) {
  const int warp = __shfl_sync(~0u, thread / 32, 0), lane = thread % 32;
  float left = 1.0f;
  for (int c = 0; c < block.chunks; ++c) {
    const int stage = c % Plan::stages;
    if constexpr (Plan::gated) {
      barriers.gated[stage].wait(c / Plan::stages);
      const float decay = memory.gates[stage][0].all[0].whole;
      left *= decay;
      multiply_state(S, decay);
    }
    barriers.landed[stage].wait(c / Plan::stages);
    if constexpr (Plan::rewrites) barriers.mapped[stage].wait(c / Plan::stages);
    std::uint32_t V[16], entering[16];
    load_channels(V, ptx::shared_address(memory.v[stage][slice]), warp, lane);
    if constexpr (Plan::gated) {
      uint4 factors[4];
      load_entering(factors, memory.gates[stage][0], lane);
      scale_channels<typename Plan::token>(entering, V, factors);
    }
    add_keys<Plan>(S, Plan::gated ? entering : V, ptx::shared_address(memory.k[stage]));
    ptx::wait_products<0>();
    __syncwarp();
    if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
  }
  return left;
}

/// Adds 8 keys, as they have been rounded, to their sums.
template <class Token> __device__ __forceinline__ void add_keys_up(float (&sums)[8], uint4 words) {
  float x[8];
  widen(packet<Token>{words}, x);
#pragma unroll
  for (int i = 0; i < 8; ++i) sums[i] += x[i];
}
/// The normaliser that a segment hands over, from what each of the threads that map keys has summed.
template <class Plan, class Call>
__device__ __forceinline__ void store_sums(float (&sums)[8], const Call& call, const chunked_block<Plan>& block,
                                           chunked_memory<Plan>& memory, int thread) {
  constexpr int pieces = Plan::keys / 8;
  const int warp = thread / 32, lane = thread % 32;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int distance = pieces; distance < 32; distance *= 2) sums[i] += __shfl_xor_sync(~0u, sums[i], distance);
    if (lane < pieces) memory.sums_of_keys[warp][8 * lane + i] = sums[i];
  }
  ptx::synchronise(Plan::start_meeting, Plan::mappers);
  if (thread >= Plan::keys) return;
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < Plan::mappers / 32; ++w) sum += memory.sums_of_keys[w][thread];
  for (int slice = 0; slice < Plan::slices && block.has(call, slice); ++slice)
    states_of_head<Plan>(call, block, 0, block.value_of(slice)).normaliser(block.segment + 1)[thread] = sum;
}

/// One block for each chunked_block of all segments but the last: a warpgroup of which one thread asks for tiles and two
/// warps have gates and the normaliser, two warpgroups that apply map and positions if there are any, and one for each 64 channels.
template <class Plan>
__global__ void __launch_bounds__(Plan::threads, Plan::blocks)
    segment_kernel(const __grid_constant__ chunked_call<typename Plan::design_type, typename Plan::precision_type> call,
                   const __grid_constant__ chunked_maps maps) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __shared__ chunked_barriers<Plan> barriers;
  static_assert(
      chunked_shared_bytes<Plan> + ptx::static_shared_bytes<chunked_barriers<Plan>> <= 228 * 1024 / Plan::blocks - 1024,
      "more than a block's share of its multiprocessor's shared memory");
  extern __shared__ unsigned char shared[];
  auto& memory = *reinterpret_cast<chunked_memory<Plan>*>(shared + (-ptx::shared_address(shared) & 1023u));

  const int group = __shfl_sync(~0u, int(threadIdx.x) / 128, 0), thread = int(threadIdx.x) % 128, warp = thread / 32;
  const int lane = thread % 32;
  if (threadIdx.x == 0) barriers.init();
  fill_turns<Plan>(call, memory);
  chunked_block<Plan> block{call, int(blockIdx.x)};
  // Where gates will be, once all threads are past it.
  using sums_of_chunks = float[Plan::gate_sets][16];
  const int skipped = first_remembered<Plan>(call, block, reinterpret_cast<sums_of_chunks&>(memory.gates));
  block.first_chunk += skipped, block.chunks -= skipped;
  __syncthreads();

  if (group == 0) {
    ptx::shrink_registers<Plan::producer_registers>();
    if (warp == 0) {
      if (lane == 0) run_producer<Plan>(call, maps, block, memory, barriers);
    } else if (warp >= 2) {
      run_preparation<Plan>(call, block, memory, barriers, warp - 2, lane);
    }
  } else if (group <= Plan::map_groups) {
    if constexpr (Plan::rewrites) {
      ptx::shrink_registers<Plan::map_registers>();
      float sums[8] = {};  // of the keys that this thread maps
      const int its_thread = 128 * (group - 1) + thread;
      for (int c = 0; c < block.chunks; ++c) {
        const int stage = c % Plan::stages;
        barriers.landed[stage].wait(c / Plan::stages);
        if (Plan::turns && c > 0) barriers.plain_read.wait(c - 1);
        const int first = block.first_token(call, c);
        if constexpr (Plan::turns) turn_rows<Plan>(call, memory, barriers, stage, first, its_thread);
        else
          map_rows<Plan, true, Plan::mappers>(call, memory, barriers, stage, first, its_thread, [&](uint4 words) {
            if constexpr (Plan::mappers_sum) add_keys_up<typename Plan::token>(sums, words);
          });
      }
      if constexpr (Plan::mappers_sum) store_sums<Plan>(sums, call, block, memory, its_thread);
    }
  } else {
    ptx::grow_registers<Plan::state_registers>();
    const int slice = group - 1 - Plan::map_groups, value = block.value_of(slice);
    float S[Plan::keys / 2];
#pragma unroll
    for (float& s : S) s = 0.0f;
    if (block.has(call, slice)) copy_initial_state<Plan>(call, block, value, thread);
    const float left = move_on<Plan>(S, block, memory, barriers, slice, thread);
    if (!block.has(call, slice)) return;
    const states_of<Plan> states = states_of_head<Plan>(call, block, 0, value);
    each_number<Plan::keys>(state_place<float>{states.record(block.segment + 1)}, thread,
                            [&](int i, float& its) { its = S[i]; });
    if (!Plan::stabilises && thread == 0) states.left(block.segment + 1) = skipped > 0 ? 0.0f : left;
  }
#else
  (void)call, (void)maps;
#endif
}

}  // namespace sextant::gpu::wgmma
