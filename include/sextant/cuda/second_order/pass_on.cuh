// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, long sequences of few heads: states passed on between segments that were summed side by side.
#pragma once

#include <sextant/cuda/ptx/early_launch.cuh>
#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/second_order/plan.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::second {

inline constexpr int pass_on_threads = 256, pass_on_blocks = state_tiles * tile_numbers / 8 / pass_on_threads;

/// Passes states on from segment to segment: adds what earlier segments leave to what the chunks' queries ask. A thread has
/// eight neighbouring numbers of a row.
template <class Token>
__global__ void __launch_bounds__(pass_on_threads)
    pass_on_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ division d) {
  ptx::let_next_launch_begin();
  ptx::wait_for_launch_before();
  const int head = int(blockIdx.z), heads = int(c.heads), slice = int(blockIdx.y);
  const int i = 8 * (int(blockIdx.x) * pass_on_threads + int(threadIdx.x));  // in the state's tiles
  const int which = i / tile_numbers, row = i % tile_numbers / tile, column = i % tile;
  const bool is_z = which == normaliser_tile;
  if (is_z && (slice > 0 || !c.normalises())) return;
  // A row's keys; of the normaliser the columns are keys.
  const two_keys its = is_z ? two_keys{row, column} : keys_of_row(which, row);
  const call_state state{c, head / heads, head % heads};
  const tensor<float>&in = is_z ? c.z_in : c.S_in, &out = is_z ? c.z_out : c.S_out;
  const auto key = [&](int e) { return is_z ? its.high + e : its.high; };
  const auto channel = [&](int e) { return is_z ? 0 : 64 * slice + column + e; };
  float carried[8];
#pragma unroll
  for (int e = 0; e < 8; ++e) carried[e] = in ? state.load(in, its.low, key(e), channel(e)) : 0.0f;
  const auto shown = [&](int chunk) -> uint4& {
    return *reinterpret_cast<uint4*>(d.state(head, chunk, slice) + which * tile_numbers + place_in_tile(row, column));
  };
  const auto added = [&](const uint4& to, float left) {
    const std::uint32_t words[4] = {to.x, to.y, to.z, to.w};
    std::uint32_t sums[4];
#pragma unroll
    for (int e = 0; e < 8; e += 2) {
      const float by = times_counted(its.low, key(e)), next = times_counted(its.low, key(e + 1));
      float x, y;
      detail::widen_pair<Token>(words[e / 2], x, y);
      x += by == 0.0f ? 0.0f : carried[e] * left * by, y += next == 0.0f ? 0.0f : carried[e + 1] * left * next;
      sums[e / 2] = detail::round_pair<Token>(x, y);
    }
    return uint4{sums[0], sums[1], sums[2], sums[3]};
  };
#pragma unroll 1
  for (int segment = 0; segment < d.segments; ++segment) {
    const int first = segment * d.segment_chunks, behind = d.last_chunk(segment);
    const float4* const sum = reinterpret_cast<const float4*>(d.sum(head, segment, slice) + i);
    const float4 low = sum[0], high = sum[1];
    float left = 1.0f;
    if (segment > 0 || d.enters) {
      float log = 0.0f;
      shown(first) = added(uint4{}, 1.0f);
      // Where nothing is left of numbers, nothing is read or written; but what is not a number stays none.
      bool numbers = true;
#pragma unroll
      for (int e = 0; e < 8; ++e) numbers = numbers && isfinite(carried[e]);
      const int lane = int(threadIdx.x) % 32;
#pragma unroll 1
      for (int from = first; from < behind; from += 32) {
        // What is left of them before each of 32 chunks, a lane has one.
        float sum = from + lane < behind ? d.log_of(head, from + lane) : 0.0f;
#pragma unroll
        for (int distance = 1; distance < 32; distance *= 2) {
          const float earlier = __shfl_up_sync(~0u, sum, distance);
          if (lane >= distance) sum += earlier;
        }
        const float earlier = __shfl_up_sync(~0u, sum, 1);
        const float its = ptx::exp2_approx(log + (lane == 0 ? 0.0f : earlier));
        log += __shfl_sync(~0u, sum, 31);
        if (__all_sync(~0u, its == 0.0f && numbers)) continue;
        constexpr int together = 4;  // chunks that are read before the first of them is written
#pragma unroll 1
        for (int k = 0; k < 32 && from + k < behind; k += together) {
          uint4 x[together];
          float factor[together];
#pragma unroll
          for (int e = 0; e < together; ++e) factor[e] = __shfl_sync(~0u, its, k + e);
          const auto changes = [&](int e) {
            const int chunk = from + k + e;
            return chunk > first && chunk < behind && (factor[e] != 0.0f || !numbers);
          };
#pragma unroll
          for (int e = 0; e < together; ++e)
            if (changes(e)) x[e] = shown(from + k + e);
#pragma unroll
          for (int e = 0; e < together; ++e)
            if (changes(e)) shown(from + k + e) = added(x[e], factor[e]);
        }
      }
      left = ptx::exp2_approx(log);
    }
    const float sums[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int e = 0; e < 8; ++e) carried[e] = fmaf(left, carried[e], sums[e]);
  }
  if (d.walked < d.chunks) {
    shown(d.walked) = added(uint4{}, 1.0f);
    return;
  }
#pragma unroll
  for (int e = 0; e < 8; ++e) state.store(out, its.low, key(e), channel(e), carried[e]);
}

}  // namespace sextant::gpu::second
