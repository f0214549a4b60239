// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper: who does what in a block.
#pragma once

#include <sextant/cuda/keyed_wgmma/plan.cuh>
#include <sextant/cuda/keyed_wgmma/producer.cuh>
#include <sextant/cuda/keyed_wgmma/rotations.cuh>
#include <sextant/cuda/keyed_wgmma/segments.cuh>
#include <sextant/cuda/keyed_wgmma/state.cuh>
#include <sextant/cuda/keyed_wgmma/weights.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>
#include <sextant/cuda/ptx/register_budget.cuh>

namespace sextant::gpu::wgmma {

/// One block per keyed_block. Its warpgroups are the producer (a thread asks for tiles, one stores y), two that give queries
/// and keys their decays and make weights, and one for each slice of the state. They meet at barriers alone; the state goes
/// from step to step in registers, everything else through the stages in shared memory.
template <class Plan>
__global__ void __launch_bounds__(Plan::threads, 1)
    keyed_kernel(const __grid_constant__ keyed_call<typename Plan::design_type, typename Plan::precision_type> call,
                 const __grid_constant__ keyed_maps maps) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // That this is static is also how the host sees that the kernel has a body.
  __shared__ keyed_barriers<Plan> barriers;
  extern __shared__ unsigned char shared[];
  // Added to the pointer, not rounded as an integer: the compiler must still know that this is shared memory.
  unsigned char* const stages = shared + (-ptx::shared_address(shared) & 1023u);
  static_assert(keyed_stage<Plan>::bytes % 1024 == 0, "tiles begin at multiples of 1024 bytes");
  static_assert(keyed_stages<Plan> * keyed_stage<Plan>::bytes + 1024 + ptx::static_shared_bytes<keyed_barriers<Plan>> <=
                    227 * 1024,
                "a block's tiles do not fit into its multiprocessor's shared memory");

  const int group = int(threadIdx.x) / 128, thread = int(threadIdx.x) % 128, warp = thread / 32, lane = thread % 32;
  // Threads that follow the factors of a segment that is only handed over have nothing else to do.
  if (threadIdx.x == 0) barriers.init(4 * Plan::slices + (call.answers ? 0 : 2));
  if (!call.answers) {
    ptx::let_next_launch_begin();
    const int skipped =
        first_remembered(call, keyed_block<Plan>{call, int(blockIdx.x)}, reinterpret_cast<float*>(stages));
    ptx::publish_to_async_proxy();  // it has written where tiles will come
    if (threadIdx.x == 0) barriers.skipped = skipped;
  } else if (threadIdx.x == 0) {
    barriers.skipped = 0;
  }
  fill_turns<Plan>(call, barriers);
  __syncthreads();

  // Each role finds out by itself where it works: what lived across the branches would cost all of them registers.
  const auto here = [&] { return keyed_block<Plan>{call, int(blockIdx.x)}.without(barriers.skipped); };
  if (group == Plan::producer_group) {
    ptx::shrink_registers<Plan::producer_registers>();
    const keyed_block<Plan> block = here();
    if (warp == 0) {
      if (lane == 0) fetch_chunks(call, maps, block, stages, barriers);
    } else if (warp == 1) {
      if (lane == 0) store_chunks(call, maps, block, stages, barriers);
    } else if (!call.answers) {
      follow_factors(call, block, stages, barriers, thread - 64, barriers.skipped > 0);
    }
  } else if (group < Plan::first_state_group) {
    ptx::shrink_registers<Plan::decay_registers>();
    prepare_chunks(call, here(), stages, barriers, 4 * (group - Plan::first_decay_group) + warp, lane);
  } else {
    ptx::grow_registers<Plan::state_registers>();
    using call_type = keyed_call<typename Plan::design_type, typename Plan::precision_type>;
    const keyed_state_group<Plan, call_type> its{call, stages, barriers, group - Plan::first_state_group, thread};
    its.run(here());
  }
#else
  (void)call, (void)maps;
#endif
}

/// Dynamic shared memory of a block, in bytes: with room to start at a multiple of 1024.
template <class Plan>
inline constexpr std::size_t keyed_shared_bytes = keyed_stages<Plan>* keyed_stage<Plan>::bytes + 1024;

}  // namespace sextant::gpu::wgmma
