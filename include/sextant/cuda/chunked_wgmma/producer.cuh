// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the producer: one thread keeps the stages filled with tiles.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/ptx/bulk_copy.cuh>

namespace sextant::gpu::wgmma {

/// Asks for a slice of a chunk's values and its output gate.
template <class Plan>
__device__ __forceinline__ void load_values(const chunked_maps& maps, const chunked_block<Plan>& block,
                                            chunked_memory<Plan>& memory, ptx::mbarrier& landed, int stage, int slice,
                                            int first) {
  const int head = block.head_of(slice), value = block.value_of(slice);
  ptx::load_box(memory.v[stage][slice], maps.v, landed, value, head, first, block.batch);
  if constexpr (Plan::output_gate)
    ptx::load_box(memory.output_gate[stage][slice], maps.gate, landed, value, head, first, block.batch);
}
/// Asks for the tiles of chunk c, if there is such a chunk, as soon as their stage is free: all of them, or, where nothing is
/// answered, those that the state is made of, keys and values. One thread, always the same.
template <class Plan, class Call>
__device__ __forceinline__ void load_chunk(const Call& call, const chunked_maps& maps, const chunked_block<Plan>& block,
                                           chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers, int c) {
  if (c >= block.chunks) return;
  const int key_head = block.head / call.heads_per_key_head;
  int missing = 0;  // tiles
  if constexpr (!Plan::splits)
    for (int slice = 0; slice < Plan::slices; ++slice)
      missing += block.has(call, slice) ? 0 : Plan::value_tiles / Plan::slices;
  const int stage = c % Plan::stages, first = block.first_token(call, c);
  if (c >= Plan::stages) barriers.released[stage].wait(c / Plan::stages - 1);
  ptx::mbarrier& landed = barriers.landed[stage];
  landed.arrive_and_expect((Plan::stage_tiles - missing) * Plan::tile_bytes);
#pragma unroll
  for (int slab = 0; slab < Plan::slabs; ++slab) {
    if constexpr (Plan::answers)
      ptx::load_box(memory.q[stage][slab], maps.q, landed, 64 * slab, key_head, first, block.batch);
    ptx::load_box(memory.k[stage][slab], maps.k, landed, 64 * slab, key_head, first, block.batch);
  }
  if constexpr (!Plan::splits) {
#pragma unroll
    for (int slice = 0; slice < Plan::slices; ++slice)
      if (block.has(call, slice)) load_values<Plan>(maps, block, memory, landed, stage, slice, first);
  }
}
/// The tiles of all chunks. One thread.
template <class Plan, class Call>
__device__ void run_producer(const Call& call, const chunked_maps& maps, const chunked_block<Plan>& block,
                             chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers) {
  for (int c = 0; c < block.chunks; ++c) load_chunk<Plan>(call, maps, block, memory, barriers, c);
}
/// Asks for the values of every chunk where they have stages of their own. Part of run_storer(), whose thread meets what it
/// waits for in this order.
template <class Plan, class Call>
__device__ __forceinline__ void ask_for_values(const Call& call, const chunked_maps& maps,
                                               const chunked_block<Plan>& block, chunked_memory<Plan>& memory,
                                               chunked_barriers<Plan>& barriers, int c) {
  if (c >= block.chunks) return;
  const int stage = c % Plan::value_stages;
#pragma unroll
  for (int slice = 0; slice < Plan::slices; ++slice) {
    if (c >= Plan::value_stages) barriers.values_released[stage][slice].wait(c / Plan::value_stages - 1);
    ptx::mbarrier& landed = barriers.values_landed[stage][slice];
    const bool exists = block.has(call, slice);
    landed.arrive_and_expect(exists ? Plan::value_tiles / Plan::slices * Plan::tile_bytes : 0);
    if (exists) load_values<Plan>(maps, block, memory, landed, stage, slice, block.first_token(call, c));
  }
}

/// Sends the tiles of y of chunk c on their way once they are finished, and says when the room of the ones before is free
/// again. One thread, always the same.
template <class Plan, class Call>
__device__ __forceinline__ void store_chunk(const Call& call, const chunked_maps& maps, const chunked_block<Plan>& block,
                                            chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers, int c) {
  const int buffer = c % Plan::y_buffers;
#pragma unroll
  for (int slice = 0; slice < Plan::slices; ++slice) {
    barriers.finished[buffer][slice].wait(c / Plan::y_buffers);
    ptx::publish_to_async_proxy();  // what others have written and arrived behind; here it costs them no wait
    if (block.has(call, slice))
      ptx::store_box(maps.y, memory.y[buffer][slice], block.value_of(slice), block.head_of(slice),
                     block.first_token(call, c), block.batch);
    ptx::commit_stores();
    if constexpr (Plan::y_buffers == 1) {
      ptx::wait_stores_read<0>();
      barriers.stored[0][slice].arrive();
    } else {
      if (c == 0) continue;
      ptx::wait_stores_read<Plan::slices>();
      barriers.stored[buffer ^ 1][slice].arrive();
    }
  }
}
/// All of y, and before it the values where they have stages of their own. One thread.
template <class Plan, class Call>
__device__ void run_storer(const Call& call, const chunked_maps& maps, const chunked_block<Plan>& block,
                           chunked_memory<Plan>& memory, chunked_barriers<Plan>& barriers) {
  if constexpr (Plan::splits)
    for (int c = 0; c < Plan::value_stages; ++c) ask_for_values<Plan>(call, maps, block, memory, barriers, c);
  for (int c = 0; c < block.chunks; ++c) {
    if constexpr (Plan::splits) ask_for_values<Plan>(call, maps, block, memory, barriers, c + Plan::value_stages);
    store_chunk<Plan>(call, maps, block, memory, barriers, c);
  }
  ptx::wait_stores_read<0>();
}

}  // namespace sextant::gpu::wgmma
