// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, the gates: what a forget gate and an input gate make of the tokens' weights, once for all blocks.
#pragma once

#include <sextant/cuda/chunked_mma/gates.cuh>
#include <sextant/cuda/parts.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>
#include <sextant/cuda/second_order/plan.cuh>

namespace sextant::gpu::second {

/// What the kernel reads a design's gates from.
template <class Input, class Forget> struct head_parts {
  Input input;
  Forget forget;
};

/// The most threads of a block, and those that a division's blocks have: a warp for each tile of a chunk.
inline constexpr int most_gate_threads = 1024;
inline int gate_threads(const division& d) {
  const int tiles = (d.chunk < d.tokens ? d.chunk : d.tokens) / tile;
  return 32 * (tiles < 1 ? 1 : tiles < most_gate_threads / 32 ? tiles : most_gate_threads / 32);
}

/// The gates of one chunk of one head, a tile of 64 tokens by each warp, two tokens by each lane.
template <class Token, class Parts> struct chunk_gates {
  const device_call<float>& c;
  const division& d;
  const mma::gate_reader<Token, Parts> reader;
  const index_t head;
  const int lane;
  const bool reversed;
  const float rate, bias;

  __device__ chunk_gates(const device_call<float>& call, const Parts& parts, const division& its, index_t its_head)
      : c{call},
        d{its},
        reader{call, parts, int(its_head / call.heads), int(its_head % call.heads)},
        head{its_head},
        lane{int(threadIdx.x) % 32},
        reversed{call.order == order_kind::reversed},
        rate{its.forgets ? reader.rate(0) : 0.0f},
        bias{reader.reads_forget() || reader.reads_input() ? reader.bias(0) : 0.0f} {}

  struct two_tokens {
    mma::raw_gates<Token> low, high;
  };
  __device__ __forceinline__ two_tokens read(int t, bool exists) const {
    two_tokens raw;
    const auto of = [&](int token) {
      return reader.read(reversed ? c.tokens - 1 - token : token, d.forgets && reader.reads_forget(),
                         d.admits && reader.reads_input());
    };
    if (exists && t < d.tokens) raw.low = of(t);
    if (exists && t + 1 < d.tokens) raw.high = of(t + 1);
    return raw;
  }
  /// log2 F, at least -256: below that a factor is 0 in float, and sums of 64 of them are exact enough for their differences.
  __device__ __forceinline__ float log2_forget(const mma::raw_gates<Token>& raw, bool exists) const {
    if (!d.forgets || !exists) return 0.0f;
    const float x = reader.log_forget(reader.forget_raw(raw, bias), rate) * log2_e;
    return x < -256.0f ? -256.0f : x;
  }
  __device__ __forceinline__ float input(const mma::raw_gates<Token>& raw, bool exists) const {
    return exists ? reader.input(reader.input_raw(raw, bias)) : 0.0f;
  }
  /// Where this lane's two tokens lie among their tile's.
  __device__ __forceinline__ void put(float* row, float low, float high) const {
    *reinterpret_cast<float2*>(row + (reversed ? tile - 2 - 2 * lane : 2 * lane)) =
        reversed ? make_float2(high, low) : make_float2(low, high);
  }
  __device__ __forceinline__ float2 pick(const float* row) const {
    const float2 x = *reinterpret_cast<const float2*>(row + (reversed ? tile - 2 - 2 * lane : 2 * lane));
    return reversed ? make_float2(x.y, x.x) : x;
  }

  /// Tile t's own sums, and the sum of all of it to `total`.
  __device__ __forceinline__ void compute(const two_tokens& raw, int t, float& total) const {
    const int token = t * tile + 2 * lane;
    const float low = log2_forget(raw.low, token < d.tokens), high = log2_forget(raw.high, token + 1 < d.tokens);
    float sum = low + high;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const float earlier = __shfl_up_sync(~0u, sum, distance);
      if (lane >= distance) sum += earlier;
    }
    const float earlier = __shfl_up_sync(~0u, sum, 1), whole = __shfl_sync(~0u, sum, 31);
    const float first_sum = lane == 0 ? low : earlier + low;
    put(d.cumulated(head, t), first_sum, sum);
    put(d.left(head, t), ptx::exp2_approx(whole - first_sum), ptx::exp2_approx(whole - sum));
    if (d.admits) put(d.admitted(head, t), input(raw.low, token < d.tokens), input(raw.high, token + 1 < d.tokens));
    if (lane == 0) total = whole;
  }
  /// The sums of the chunk's tiles' logarithms, in double, as differences of them are wanted; by one warp.
  __device__ __forceinline__ void add_totals(const float* totals, int tiles, double* before) const {
    double carried = 0;
    for (int from = 0; from < tiles; from += 32) {
      double sum = from + lane < tiles ? double(totals[from + lane]) : 0.0;
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const double earlier = __shfl_up_sync(~0u, sum, distance);
        if (lane >= distance) sum += earlier;
      }
      const double earlier = __shfl_up_sync(~0u, sum, 1);
      if (from + lane < tiles) before[from + lane] = carried + (lane == 0 ? 0.0 : earlier);
      carried += __shfl_sync(~0u, sum, 31);
    }
    if (lane == 0) before[tiles] = carried;
  }
};

/// All that the other kernels need of the gates, by chunk and head.
template <class Token, class Parts>
__global__ void __launch_bounds__(most_gate_threads)
    gates_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ Parts parts,
                 const __grid_constant__ division d) {
  ptx::let_next_launch_begin();
  constexpr int most_tiles = quadratic_tokens / tile + 2;
  __shared__ float totals[most_tiles];
  __shared__ double before[most_tiles + 1];
  const int chunk = int(blockIdx.x), warp = int(threadIdx.x) / 32, warps = int(blockDim.x) / 32;
  const index_t head = blockIdx.y;
  const chunk_gates<Token, Parts> gates(c, parts, d, head);
  const int first = d.begin(chunk) / tile, tiles = (d.end(chunk) + tile - 1) / tile - first;
  auto next = gates.read((first + warp) * tile + 2 * gates.lane, warp < tiles);
#pragma unroll 1
  for (int j = warp; j < tiles; j += warps) {
    const auto raw = next;
    next = gates.read((first + j + warps) * tile + 2 * gates.lane, j + warps < tiles);
    gates.compute(raw, first + j, totals[j]);
  }
  __syncthreads();
  if (warp == 0) gates.add_totals(totals, tiles, before);
  __syncthreads();
  double* const shown = d.before_tiles(head, chunk);
  for (int j = int(threadIdx.x); j <= tiles; j += int(blockDim.x)) shown[j] = before[j];
  if (threadIdx.x == 0) d.logs[head * d.chunks + chunk] = float(before[tiles]);
  if (!d.has_states()) return;
#pragma unroll 1
  for (int j = warp; j < tiles; j += warps) {
    const float gap = ptx::exp2_approx(float(before[tiles] - before[j + 1]));
    float2 left = gates.pick(d.left(head, first + j));
    left.x *= gap, left.y *= gap;
    gates.put(d.decay(head, first + j), left.x, left.y);
    if (!d.admits) continue;
    const float2 in = gates.pick(d.admitted(head, first + j));
    gates.put(d.decay(head, first + j) + tile, left.x * in.x, left.y * in.y);
  }
}

}  // namespace sextant::gpu::second
