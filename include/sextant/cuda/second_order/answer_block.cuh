// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the answers: a block's queries, the tiles that they take one after the other, and their copies.
#pragma once

#include <sextant/cuda/ptx/early_launch.cuh>
#include <sextant/cuda/second_order/window.cuh>

namespace sextant::gpu::second {

/// A block of up to four warpgroups, each with 64 queries or a part of the tokens that these see, as one of its threads sees it.
struct answer_block {
  const device_call<float>& c;
  const token_maps& maps;
  const division& d;
  const answer_memory memory;
  const head_tokens tokens;
  const int slice, warpgroup, group, part, warp, lane;  // the warpgroup's tile of queries, its part of the tokens
  const int first, chunk, begin, tiles;  // the block's first query, its chunk, the window's first token and tiles
  const int first_query, diagonal;       // the tiles of the block's queries, and of these

  __device__ answer_block(const device_call<float>& call, const token_maps& its_maps, const division& its,
                          unsigned char* shared, int head, int its_slice, int its_first)
      : c{call},
        maps{its_maps},
        d{its},
        memory{shared, its.groups / its.parts,
               (min(its.tokens, its_first + its.rows()) - its.begin(its_first / its.chunk) + tile - 1) / tile},
        tokens{call, head / int(call.heads), head % int(call.heads)},
        slice{its_slice},
        warpgroup{__shfl_sync(~0u, int(threadIdx.x) / 128, 0)},
        group{warpgroup / its.parts},
        part{warpgroup % its.parts},
        warp{int(threadIdx.x) / 32 % 4},
        lane{int(threadIdx.x) % 32},
        first{its_first},
        chunk{its_first / its.chunk},
        begin{its.begin(chunk)},
        tiles{memory.tiles},
        first_query{(its_first - begin) / tile},
        diagonal{first_query + group} {}

  __device__ __forceinline__ index_t head() const { return tokens.batch * c.heads + tokens.head; }
  __device__ __forceinline__ bool exist() const { return diagonal < tiles; }      ///< whether there are such queries
  __device__ __forceinline__ bool asks() const { return chunk > 0 || d.enters; }  ///< whether a state enters
  __device__ __forceinline__ int row() const {
    return 16 * warp + lane / 4;
  }  // of the first sums; the other's is row + 8
  __device__ __forceinline__ int column(int i) const { return i / 4 * 8 + lane % 4 * 2 + i % 2; }

  // The block's items of work: a pair of the state's blocks each, the squares and the normaliser, then two tiles of tokens each.
  __device__ __forceinline__ int state_items() const { return asks() ? pairs + 1 : 0; }
  __device__ __forceinline__ int items() const { return state_items() + (tiles + 1) / 2; }
  /// Begins to copy item i. One thread.
  __device__ __forceinline__ void load(int i) const {
    const std::uint32_t to = memory.stage(i);
    ptx::mbarrier& landed = memory.landed(i);
    if (i < state_items()) {
      const bool adds_z = i == pairs && c.normalises();
      const int bytes = (i == pairs ? 1 : 4) * tile_bytes;
      landed.arrive_and_expect(bytes + (adds_z ? tile_bytes : 0));
      ptx::load_bytes(to, d.state(head(), chunk, slice) + 4 * i * tile_numbers, bytes, landed);
      if (adds_z)
        ptx::load_bytes(to + tile_bytes, d.state(head(), chunk, 0) + normaliser_tile * tile_numbers, tile_bytes,
                        landed);
    } else {
      const int t = begin + 2 * tile * (i - state_items());
      landed.arrive_and_expect(4 * tile_bytes);
      tokens.load_two_tiles(to, maps.k, landed, t, tokens.key_head, 0);
      tokens.load_two_tiles(to + 2 * tile_bytes, maps.v, landed, t, tokens.head, tile * slice);
    }
  }
  /// The queries and the first two items. One thread, before the block meets.
  __device__ __forceinline__ void load_first() const {
    memory.init_barriers(4 * d.groups), ptx::publish_mbarriers();
    if (asks()) ptx::wait_for_launch_before();
    memory.landed(0).expect(memory.groups * tile_bytes);  // the first item brings the queries
    for (int i = 0; i < memory.groups; ++i)
      tokens.load_queries(memory.queries(i), maps.q, memory.landed(0), first + tile * i);
    load(0);
    if (items() > 1) load(1);
  }
  /// Item i begins once its copies have landed. Those of the second next are begun once its stage is free, by the
  /// warpgroups in turn.
  __device__ __forceinline__ void enter(int i) const {
    const int turn = i % most_groups;
    if (threadIdx.x % 128 == 0 && (turn < d.groups ? turn : 0) == warpgroup && i + 2 < items()) {
      if (i + 2 >= answer_stages) memory.released(i + 2).wait((i + 2) / answer_stages - 1);
      load(i + 2);
    }
    __syncwarp();
    memory.landed(i).wait(i / answer_stages);
  }
  __device__ __forceinline__ void release(int i) const {
    __syncwarp();
    if (lane == 0) memory.released(i).arrive();
  }
};

}  // namespace sextant::gpu::second
