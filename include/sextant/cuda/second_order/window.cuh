// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the answers: a block's shared memory, and the gates of the tokens that its queries see.
#pragma once

#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/second_order/tiles.cuh>

namespace sextant::gpu::second {

inline constexpr int answer_stages = 4;
inline constexpr int stage_bytes = 4 * tile_bytes;  ///< keys and values of 128 tokens, or four tiles of a state

/// Where a block's tiles and gates lie in its shared memory, for a window of so many tiles of tokens.
struct answer_memory {
  unsigned char* start;
  int groups, tiles;

  static std::size_t bytes(int groups, int tiles, bool gated, bool admits) {
    const int of_gates = gated ? tiles * tile * (admits ? 2 : 1) + groups * tile + groups + 1 : 0;
    return std::size_t(groups * (tile_bytes + 256) + answer_stages * (stage_bytes + 16) + 4 * of_gates + 1024);
  }
  __device__ __forceinline__ std::uint32_t queries(int group) const {
    return ptx::shared_address(start) + group * tile_bytes;
  }
  __device__ __forceinline__ std::uint32_t stage(int i) const {
    return queries(groups) + std::uint32_t(i % answer_stages) * stage_bytes;
  }
  /// The factor of query t's own value.
  __device__ __forceinline__ float& own(int t) const {
    return reinterpret_cast<float*>(start + groups * tile_bytes + answer_stages * stage_bytes)[t];
  }
  /// Of a stage: its copies have landed; no warp reads them any more. Phase k of either is the k-th item's there.
  __device__ __forceinline__ ptx::mbarrier& landed(int i) const {
    return reinterpret_cast<ptx::mbarrier*>(&own(groups * tile))[i % answer_stages];
  }
  __device__ __forceinline__ ptx::mbarrier& released(int i) const {
    return (&landed(0))[answer_stages + i % answer_stages];
  }
  /// By one thread, before the block meets.
  __device__ __forceinline__ void init_barriers() const {
    for (int i = 0; i < answer_stages; ++i) landed(i).init(1), released(i).init(4 * groups);
  }
  // By tile of the window: what is left of what token t enters, until the block's first query where the tile is older, else
  // at the tile's end; and the input gate. By tile of queries: log2 F summed up from its first token on; what it leaves.
  __device__ __forceinline__ float* cumulated(int group) const {
    return reinterpret_cast<float*>(&landed(0) + 2 * answer_stages) + group * tile;
  }
  __device__ __forceinline__ float* left(int j) const { return cumulated(groups + j); }
  __device__ __forceinline__ float* admitted(int j) const { return cumulated(groups + tiles + j); }
  /// What a tile of queries' tokens leaves; and number `groups` what all tiles before them leave.
  __device__ __forceinline__ float& taken(int group, bool admits) const {
    return cumulated(groups + (admits ? 2 : 1) * tiles)[group];
  }
  /// The gates of the window, which begins with tile `first` of the sequence, the queries with the window's tile `queries`.
  /// Before the block meets.
  __device__ __forceinline__ void load_gates(const division& d, index_t head, int chunk, int first,
                                             int first_query) const {
    const double* const before = d.before_tiles(head, chunk);
    const int thread = int(threadIdx.x), threads = int(blockDim.x);
    constexpr int pieces = tile / 4;  // of 16 bytes
    const auto piece = [](float* row, int i) -> float4& { return reinterpret_cast<float4*>(row)[i % pieces]; };
#pragma unroll 1
    for (int i = thread; i < pieces * tiles; i += threads) {
      const int j = i / pieces;
      float4 x = piece(d.left(head, first + j), i);
      if (j < first_query) {
        const float gap = ptx::exp2_approx(float(before[first_query] - before[j + 1]));
        x.x *= gap, x.y *= gap, x.z *= gap, x.w *= gap;
      }
      piece(left(j), i) = x;
      if (d.admits) piece(admitted(j), i) = piece(d.admitted(head, first + j), i);
      if (j >= first_query) piece(cumulated(j - first_query), i) = piece(d.cumulated(head, first + j), i);
    }
    if (thread < groups && first_query + thread < tiles - 1)
      taken(thread, d.admits) =
          ptx::exp2_approx(float(before[first_query + thread + 1] - before[first_query + thread]));
    if (thread == groups) taken(groups, d.admits) = ptx::exp2_approx(float(before[first_query]));
  }
};

}  // namespace sextant::gpu::second
