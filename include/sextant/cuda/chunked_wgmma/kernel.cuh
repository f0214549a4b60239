// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel: who does what in a block.
#pragma once

#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/chunked_wgmma/preparation.cuh>
#include <sextant/cuda/chunked_wgmma/producer.cuh>
#include <sextant/cuda/chunked_wgmma/scores.cuh>
#include <sextant/cuda/chunked_wgmma/state.cuh>
#include <sextant/cuda/chunked_wgmma/turning.cuh>
#include <sextant/cuda/ptx/register_budget.cuh>

namespace sextant::gpu::wgmma {

/// One block per chunked_block. Its warpgroups are the producer (a warp asks for tiles, one stores y, two have gates; among
/// them the normaliser), the scores, and one for each slice of the state. They meet at barriers alone; the state goes from
/// chunk to chunk in registers, everything else through the stages in shared memory.
template <class Plan>
__global__ void __launch_bounds__(Plan::threads, Plan::blocks)
    chunked_kernel(const __grid_constant__ chunked_call<typename Plan::design_type, typename Plan::precision_type> call,
                   const __grid_constant__ chunked_maps maps) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // That this is static is also how the host sees that the kernel has a body.
  __shared__ chunked_barriers<Plan> barriers;
  static_assert(offsetof(chunked_memory<Plan>, end) + 1024 + ptx::static_shared_bytes<chunked_barriers<Plan>> <=
                    227 * 1024 / Plan::blocks,
                "a block's tiles and gates do not fit into its multiprocessor's shared memory");
  extern __shared__ unsigned char shared[];
  // Added to the pointer, not rounded as an integer: the compiler must still know that this is shared memory.
  auto& memory = *reinterpret_cast<chunked_memory<Plan>*>(shared + (-ptx::shared_address(shared) & 1023u));

  // From a lane, so that the compiler knows that all lanes of a warp agree.
  const int group = __shfl_sync(~0u, int(threadIdx.x) / 128, 0), warp = __shfl_sync(~0u, int(threadIdx.x) / 32 % 4, 0);
  const int thread = int(threadIdx.x) % 128;
  if (threadIdx.x == 0) barriers.init();
  fill_turns<Plan>(call, memory);
  __syncthreads();

  // Each role finds out by itself where it works: what lived across the branches would cost all of them registers.
  if (group == Plan::producer_group) {
    ptx::shrink_registers<Plan::producer_registers>();
    const chunked_block<Plan> block{call, int(blockIdx.x)};
    int lane;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));  // not a register of all roles from the beginning on
    if (warp == 0) {
      run_loading_warp<Plan>(call, maps, block, memory, barriers, lane);
    } else if (warp == 1) {
      run_storing_warp<Plan>(call, maps, block, memory, barriers, lane);
    } else {
      run_preparation<Plan>(call, block, memory, barriers, warp - 2, lane);
    }
  } else if (group == Plan::score_group) {
    ptx::shrink_registers<Plan::score_registers>();
    run_scores<Plan>(call, chunked_block<Plan>{call, int(blockIdx.x)}, memory, barriers, thread);
  } else {
    ptx::grow_registers<Plan::state_registers>();
    const chunked_block<Plan> block{call, int(blockIdx.x)};
    using call_type = chunked_call<typename Plan::design_type, typename Plan::precision_type>;
    state_group<Plan, call_type>{call, block, memory, barriers, group - Plan::first_state_group, thread}.run();
  }
#else
  (void)call, (void)maps;
#endif
}

}  // namespace sextant::gpu::wgmma
