// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, rotary positions of designs with a normaliser: what turns the pairs of a block's keys, and
///        queries and keys that are turned in their place and kept as they were.
#pragma once

#include <sextant/cuda/chunked_wgmma/rows.cuh>
#include <sextant/cuda/tile/rotation.cuh>

namespace sextant::gpu::wgmma {

/// Finds what turns the pairs of keys, a thread for each; all of the block must meet behind it.
template <class Plan, class Call>
__device__ __forceinline__ void fill_turns(const Call& call, chunked_memory<Plan>& memory) {
  if constexpr (Plan::turns) {
    const int pair = int(threadIdx.x);
    if (pair >= Plan::keys / 2) return;
    const std::uint64_t its = turns_per_unit(call.design.position.base, pair, Plan::keys / 2);
    pair_turns<Plan>& turns = memory.turns[0];
    turns.of_pair[pair % 4][pair / 4] = its;
    turns.step[pair % 4][pair / 4] = cosine_and_sine<true>(its * std::uint64_t(Plan::row_step_of(Plan::key_mappers)));
  } else {
    (void)call, (void)memory;
  }
}

/// The rotations of four neighbouring pairs, from row to row of those that a thread has.
struct piece_rotations {
  float2 by[4], step[4];

  /// Begins at the place of a token.
  template <class Plan>
  __device__ __forceinline__ piece_rotations(const pair_turns<Plan>& turns, int piece, index_t place) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      by[i] = cosine_and_sine<false>(turns.of_pair[i][piece] * std::uint64_t(place));
      step[i] = turns.step[i][piece];
    }
  }
  __device__ __forceinline__ void turn(float (&x)[8]) const { turn_pairs(x, by); }
  /// On to the next row.
  __device__ __forceinline__ void go_on() {
#pragma unroll
    for (int i = 0; i < 4; ++i) by[i] = turned(by[i], step[i]);
  }
};

/// The rows of a chunk's keys, and where there are answers queries, through map and position in their place, and as they were
/// before they are turned beside: nobody may read any more what the chunk before has left there. By Plan::key_mappers threads, of
/// which this is number `thread`, for themselves and others, as map_rows().
template <class Plan, class Call>
__device__ __forceinline__ void turn_rows(const Call& call, chunked_memory<Plan>& memory,
                                          chunked_barriers<Plan>& barriers, int stage, int first, int thread) {
  using token = typename Plan::token;
  constexpr int pieces = Plan::keys / 8, row_step = Plan::row_step_of(Plan::key_mappers), count = 64 / row_step;
  const int piece = thread % pieces, first_row = thread / pieces;
  // Rows that are a multiple of 8 apart are swizzled alike.
  const int its_place = piece / 8 * (Plan::tile_bytes / 2) + first_row * 64 + ((piece % 8 ^ first_row % 8) << 3);
  const auto at = [its_place](std::uint16_t* tile, int i) {
    return reinterpret_cast<uint4*>(tile + its_place + i * row_step * 64);
  };
  const auto& map = call.design.feature_map;
  const float factor = key_scale<float>(map, index_t(Plan::keys));
  piece_rotations rotations{memory.turns[0], piece, call.x.first_position + first + first_row};
  uint4 keys[count], queries[count];  // all of them on their way before the first is needed
#pragma unroll
  for (int i = 0; i < count; ++i) {
    keys[i] = *at(memory.k[stage][0], i);
    if constexpr (Plan::answers) queries[i] = *at(memory.q[stage][0], i);
  }
#pragma unroll
  for (int i = 0; i < count; ++i) {
    float x[8];
    map_numbers<token>(x, keys[i], map, factor);
    // A key that is not there: a map may make anything of the 0 that went in.
    const bool exists = first + first_row + i * row_step < call.tokens;
    const auto rounded = [&] { return exists ? narrowed<token>(x).words : make_uint4(0, 0, 0, 0); };
    *at(memory.plain_k[0], i) = rounded();
    rotations.turn(x);
    *at(memory.k[stage][0], i) = rounded();
    if constexpr (Plan::answers) {
      map_numbers<token>(x, queries[i], map, 1.0f);
      *at(memory.plain_q[0], i) = narrowed<token>(x).words;
      rotations.turn(x);
      *at(memory.q[stage][0], i) = narrowed<token>(x).words;
    }
    rotations.go_on();
  }
  ptx::publish_to_async_proxy();
  barriers.mapped[stage].arrive();
}

}  // namespace sextant::gpu::wgmma
