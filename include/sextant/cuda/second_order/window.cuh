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
  int groups, tiles;  ///< tiles of queries, of the window

  static std::size_t bytes(int groups, int tiles, bool gated, bool admits) {
    const int of_gates = gated ? tiles * tile * (admits ? 2 : 1) + groups * tile + groups + 1 + 2 * tiles + 2 : 0;
    return std::size_t(groups * (tile_bytes + 256) + answer_stages * (stage_bytes + 16) + 4 * of_gates + 1024);
  }
  __device__ __forceinline__ std::uint32_t queries(int group) const {
    return ptx::shared_address(start) + group * tile_bytes;
  }
  __device__ __forceinline__ std::uint32_t stage(int i) const {
    return queries(groups) + std::uint32_t(i) % answer_stages * stage_bytes;
  }
  /// The factor of query t's own value.
  __device__ __forceinline__ float& own(int t) const {
    return reinterpret_cast<float*>(start + groups * tile_bytes + answer_stages * stage_bytes)[t];
  }
  /// Of a stage: its copies have landed; no warp reads them any more. Phase k of either is the k-th item's there.
  __device__ __forceinline__ ptx::mbarrier& landed(int i) const {
    return reinterpret_cast<ptx::mbarrier*>(&own(groups * tile))[unsigned(i) % answer_stages];
  }
  __device__ __forceinline__ ptx::mbarrier& released(int i) const {
    return (&landed(0))[answer_stages + unsigned(i) % answer_stages];
  }
  /// By one thread, before the block meets.
  __device__ __forceinline__ void init_barriers(int warps) const {
    for (int i = 0; i < answer_stages; ++i) landed(i).init(1), released(i).init(warps);
  }
  /// Number i of what a thread of warpgroup `which` adds up, put down for another one: in place of the stages.
  __device__ __forceinline__ float& partial(int which, int i) const {
    return reinterpret_cast<float*>(start + groups * tile_bytes)[(34 * which + i) * 128 + int(threadIdx.x) % 128];
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
  /// Sums of log2 F of all tokens of the chunk before tile j of the window.
  __device__ __forceinline__ double& before(int j, bool admits) const {
    const std::uint32_t behind = std::uint32_t(groups + (admits ? 2 : 1) * tiles) * tile + std::uint32_t(groups) + 1;
    return reinterpret_cast<double*>(cumulated(0) + (behind + 1) / 2 * 2)[j];
  }
  /// visit(tile of the window, 16 bytes of a tile's row) for what a thread has of the window's gates.
  template <class Visit> __device__ __forceinline__ void each_piece(const Visit& visit) const {
    constexpr int pieces = tile / 4;
#pragma unroll 1
    for (int i = int(threadIdx.x); i < pieces * tiles; i += int(blockDim.x)) visit(i / pieces, i % pieces * 4);
  }
  /// Begins to copy the gates of the window, which begins with tile `first` of the sequence, the queries with the window's tile
  /// `first_query`.
  __device__ __forceinline__ void load_gates(const division& d, index_t head, int chunk, int first,
                                             int first_query) const {
    const double* const of_tiles = d.before_tiles(head, chunk);
    const auto copy = [](float* to, const float* from) { ptx::copy_async<16>(ptx::shared_address(to), from); };
    each_piece([&](int j, int at) {
      copy(left(j) + at, d.left(head, first + j) + at);
      if (d.admits) copy(admitted(j) + at, d.admitted(head, first + j) + at);
      if (j >= first_query) copy(cumulated(j - first_query) + at, d.cumulated(head, first + j) + at);
    });
#pragma unroll 1
    for (int j = int(threadIdx.x); j < tiles; j += int(blockDim.x))
      ptx::copy_async<8>(ptx::shared_address(&before(j, d.admits)), of_tiles + j);
    ptx::commit_copies();
  }
  /// Waits for them, and has older tiles' decayed until the first query. All of the block.
  __device__ __forceinline__ void finish_gates(const division& d, int first_query) const {
    ptx::await_copies<0>();
    __syncthreads();
    const auto gap = [&](int from, int to) {
      return ptx::exp2_approx(float(before(to, d.admits) - before(from, d.admits)));
    };
    each_piece([&](int j, int at) {
      if (j >= first_query) return;
      const float by = gap(j + 1, first_query);
      float4& x = *reinterpret_cast<float4*>(left(j) + at);
      x.x *= by, x.y *= by, x.z *= by, x.w *= by;
    });
    const int its = int(threadIdx.x);
    if (its < groups && first_query + its < tiles - 1)
      taken(its, d.admits) = gap(first_query + its, first_query + its + 1);
    if (its == groups) taken(groups, d.admits) = ptx::exp2_approx(float(before(first_query, d.admits)));
    __syncthreads();
  }
};

}  // namespace sextant::gpu::second
