// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the answers: a block's shared memory, and the gates of the tokens that its queries see.
#pragma once

#include <sextant/cuda/ptx/mbarrier.cuh>
#include <sextant/cuda/second_order/gates.cuh>

namespace sextant::gpu::second {

inline constexpr int answer_stages = 3;
inline constexpr int stage_bytes = 4 * tile_bytes;  ///< keys and values of 128 tokens, or four tiles of a state

/// Where a block's tiles and gates lie in its shared memory, for a window of so many tiles of tokens.
struct answer_memory {
  unsigned char* start;
  int groups, tiles;

  static std::size_t bytes(int groups, int tiles, bool gated) {
    const int of_gates = gated ? tiles * int(sizeof(double) + (3 * tile + 1) * sizeof(float)) : 0;
    return std::size_t(groups * (tile_bytes + 256) + answer_stages * (stage_bytes + 16) + of_gates + 1024);
  }
  __device__ __forceinline__ std::uint32_t queries(int group) const {
    return ptx::shared_address(start) + group * tile_bytes;
  }
  __device__ __forceinline__ std::uint32_t stage(int i) const {
    return queries(groups) + std::uint32_t(i % answer_stages) * stage_bytes;
  }
  /// The weight of query t's own token, which is not rounded.
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
  /// By one thread; a barrier must follow.
  __device__ __forceinline__ void init_barriers() const {
    for (int i = 0; i < answer_stages; ++i) landed(i).init(128 * groups), released(i).init(4 * groups);
  }
  /// The sum of the logarithms of all tiles before tile j; in double, as differences of these sums are wanted.
  __device__ __forceinline__ double& before(int j) const {
    return reinterpret_cast<double*>(&landed(0) + 2 * answer_stages)[j];
  }
  // By tile: cum_t, the logarithms summed up from its first token to token t; what is left at its end of what token t enters;
  // the input gate; and the sum of its logarithms.
  __device__ __forceinline__ float* cumulated(int j) const {
    return reinterpret_cast<float*>(&before(tiles)) + j * tile;
  }
  __device__ __forceinline__ float* left(int j) const { return cumulated(tiles + j); }
  __device__ __forceinline__ float* admitted(int j) const { return cumulated(2 * tiles + j); }
  __device__ __forceinline__ float& total(int j) const { return cumulated(3 * tiles)[j]; }
  /// The gates of the window, of tokens begin..behind - 1, a tile by each warp. A barrier must follow, and add_totals() that.
  template <class Gates>
  __device__ __forceinline__ void compute_gates(const Gates& gates, int begin, int behind, int lane) const {
    struct two {
      decltype(gates.read(0)) low, high;
    };
    const auto read = [&](int j) {
      two raw;
      const int t = begin + j * tile + 2 * lane;
      if (j < tiles && t < behind) raw.low = gates.read(t);
      if (j < tiles && t + 1 < behind) raw.high = gates.read(t + 1);
      return raw;
    };
    two next = read(int(threadIdx.x) / 32);
#pragma unroll 1
    for (int j = int(threadIdx.x) / 32; j < tiles; j += int(blockDim.x) / 32) {
      const two raw = next;
      next = read(j + int(blockDim.x) / 32);
      const int t = begin + j * tile + 2 * lane;
      const float low = t < behind ? gates.log2_forget(raw.low) : 0.0f;
      const float high = t + 1 < behind ? gates.log2_forget(raw.high) : 0.0f;
      float sum = low + high;
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const float earlier = __shfl_up_sync(~0u, sum, distance);
        if (lane >= distance) sum += earlier;
      }
      const float earlier = __shfl_up_sync(~0u, sum, 1), whole = __shfl_sync(~0u, sum, 31);
      const float first_sum = lane == 0 ? low : earlier + low;
      *reinterpret_cast<float2*>(cumulated(j) + 2 * lane) = make_float2(first_sum, sum);
      *reinterpret_cast<float2*>(left(j) + 2 * lane) =
          make_float2(ptx::exp2_approx(whole - first_sum), ptx::exp2_approx(whole - sum));
      if (gates.admits)
        *reinterpret_cast<float2*>(admitted(j) + 2 * lane) =
            make_float2(t < behind ? gates.input(raw.low) : 0.0f, t + 1 < behind ? gates.input(raw.high) : 0.0f);
      if (lane == 0) total(j) = whole;
    }
  }
  /// The sums of tiles' logarithms, by one warp.
  __device__ __forceinline__ void add_totals(int lane) const {
    double carried = 0;
    for (int from = 0; from < tiles; from += 32) {
      const double own = from + lane < tiles ? double(total(from + lane)) : 0.0;
      double sum = own;
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const double earlier = __shfl_up_sync(~0u, sum, distance);
        if (lane >= distance) sum += earlier;
      }
      const double earlier = __shfl_up_sync(~0u, sum, 1);
      if (from + lane < tiles) before(from + lane) = carried + (lane == 0 ? 0.0 : earlier);
      carried += __shfl_sync(~0u, sum, 31);
    }
  }
};

}  // namespace sextant::gpu::second
