// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the feature map: queries and keys pass through it in place before the products.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/tile/approximate.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::wgmma {

/// phi of 8 numbers, times `factor` before; exponentials are the special function unit's, whose error is far below a
/// rounding to 16 bits.
template <class Token, class Map>
__device__ __forceinline__ void map_numbers(float (&x)[8], uint4 words, const Map& map, float factor) {
  widen(packet<Token>{words}, x);
  if constexpr (!std::is_same_v<Map, map::identity>) {
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = float(map(approximate(x[i] * factor)));
  } else {
    (void)map, (void)factor;
  }
}
/// And rounded.
template <class Token, class Map> __device__ __forceinline__ uint4 mapped(uint4 words, const Map& map, float factor) {
  float x[8];
  map_numbers<Token>(x, words, map, factor);
  return narrowed<Token>(x).words;
}

/// A visit that does nothing.
struct nothing_more {
  __device__ __forceinline__ void operator()(uint4) const {}
};

/// The rows of queries or of keys of a chunk, by so many threads of which this is number `thread`, for themselves and others: a
/// thread has 8 neighbouring keys of every (8 Threads / Keys)-th row, and visit(words) sees what has been made of them.
template <class Plan, bool Keys, int Threads, class Call, class Visit = nothing_more>
__device__ __forceinline__ void map_rows(const Call& call, chunked_memory<Plan>& memory,
                                         chunked_barriers<Plan>& barriers, int stage, int first, int thread,
                                         const Visit& visit = {}) {
  using token = typename Plan::token;
  constexpr int pieces = Plan::keys / 8, row_step = Threads / pieces, all = 64 / row_step;
  constexpr int at_once = all < 4 ? all : 4;
  const int piece = thread % pieces, first_row = thread / pieces;
  std::uint16_t* rows;
  if constexpr (Keys) rows = memory.k[stage][0];
  else rows = memory.q[stage][0];
  // Rows that are a multiple of 8 apart are swizzled alike.
  rows += piece / 8 * (Plan::tile_bytes / 2) + first_row * 64 + ((piece % 8 ^ first_row % 8) << 3);
  const auto& map = call.design.feature_map;
  const float factor = Keys ? key_scale<float>(map, index_t(Plan::keys)) : 1.0f;
#pragma unroll 1
  for (int row = 0; row < 64; row += at_once * row_step) {
    uint4 words[at_once];  // all of them on their way before the first is needed
#pragma unroll
    for (int i = 0; i < at_once; ++i) words[i] = *reinterpret_cast<const uint4*>(rows + (row + i * row_step) * 64);
#pragma unroll
    for (int i = 0; i < at_once; ++i) words[i] = mapped<token>(words[i], map, factor);
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      const int its = row + i * row_step;
      // A key that is not there: a map may make anything of the 0 that went in.
      if (Keys && first + first_row + its >= call.tokens) words[i] = make_uint4(0, 0, 0, 0);
      visit(words[i]);
      *reinterpret_cast<uint4*>(rows + its * 64) = words[i];
    }
  }
  ptx::publish_to_async_proxy();
  barriers.mapped[stage].arrive();
}

}  // namespace sextant::gpu::wgmma
