// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, two threads that keep the copy engine busy: with tiles to come and y to go.
#pragma once

#include <sextant/cuda/keyed_wgmma/plan.cuh>
#include <sextant/cuda/ptx/bulk_copy.cuh>

namespace sextant::gpu::wgmma {

/// Asks for the tiles of every chunk as soon as their stage is free. One thread.
template <class Plan, class Call>
__device__ void fetch_chunks(const Call& call, const keyed_maps& maps, const keyed_block<Plan>& block,
                             unsigned char* stages_at, keyed_barriers<Plan>& barriers) {
  constexpr int stages = keyed_stages<Plan>;
  const bool answers = call.answers;
  const int bytes = (2 * Plan::slabs + Plan::slices) * Plan::tile_bytes +
                    (answers ? (Plan::slabs + (Plan::output_gate ? Plan::slices : 0)) * Plan::tile_bytes : 0);
  const int key_head = block.head / call.heads_per_key_head;
  for (int c = 0; c < block.chunks; ++c) {
    const int at = c % stages, first = block.first_token(call, c);
    keyed_stage<Plan>& stage = stage_of<Plan>(stages_at, at);
    if (c >= stages) barriers.released[at].wait(c / stages - 1);
    ptx::mbarrier& landed = barriers.landed[at];
    landed.arrive_and_expect(std::uint32_t(bytes));
#pragma unroll
    for (int i = 0; i < Plan::slabs * Plan::steps; ++i) {
      const int slab = i / Plan::steps, step = i % Plan::steps, its = first + Plan::step_rows * step;
      keyed_unit& unit = stage.of[slab][step];
      ptx::load_box(unit.decays, maps.decays, landed, 64 * slab, block.head, its, block.batch);
      if (answers) ptx::load_box(unit.q, maps.q, landed, 64 * slab, key_head, its, block.batch);
      ptx::load_box(unit.k, maps.k, landed, 64 * slab, key_head, its, block.batch);
    }
#pragma unroll
    for (int slice = 0; slice < Plan::slices; ++slice) {
      const int value = block.value + 64 * slice;
      ptx::load_box(stage.v[slice], maps.v, landed, value, block.head, first, block.batch);
      if (Plan::output_gate && answers)
        ptx::load_box(stage.output_gate[slice], maps.gate, landed, value, block.head, first, block.batch);
    }
  }
}

/// Sends finished tiles of y on their way and says when their stage is free again. One thread.
template <class Plan, class Call>
__device__ void store_chunks(const Call& call, const keyed_maps& maps, const keyed_block<Plan>& block,
                             unsigned char* stages_at, keyed_barriers<Plan>& barriers) {
  constexpr int stages = keyed_stages<Plan>;
  for (int c = 0; c < block.chunks; ++c) {
    const int at = c % stages;
    barriers.finished[at].wait(c / stages);
    if (call.answers) {
      ptx::publish_to_async_proxy();  // what others have written and arrived behind
#pragma unroll
      for (int slice = 0; slice < Plan::slices; ++slice)
        if (block.value + 64 * slice < call.values)
          ptx::store_box(maps.y, stage_of<Plan>(stages_at, at).v[slice], block.value + 64 * slice, block.head,
                         block.first_token(call, c), block.batch);
      ptx::commit_stores();
      ptx::wait_stores_read<0>();
    }
    barriers.released[at].arrive();
  }
}

}  // namespace sextant::gpu::wgmma
