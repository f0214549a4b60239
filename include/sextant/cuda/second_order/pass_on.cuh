// SPDX-License-Identifier: Apache-2.0
/// @file  Second order, long sequences of few heads: states passed on between segments that were summed side by side.
#pragma once

#include <sextant/cuda/ptx/math.cuh>
#include <sextant/cuda/second_order/plan.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::second {

/// Passes states on from segment to segment: adds what earlier segments leave to what the chunks' queries ask. A thread has
/// two neighbouring channels.
template <class Token>
__global__ void __launch_bounds__(256)
    pass_on_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ division d) {
  const index_t head = blockIdx.z, n = head / c.heads, h = head % c.heads;
  const int slice = int(blockIdx.y), i = 2 * (int(blockIdx.x) * 256 + int(threadIdx.x));  // in the state's tiles
  const int which = i / tile_numbers, row = i % tile_numbers / tile, column = i % tile;
  const bool is_z = which == normaliser_tile;
  if (which >= state_tiles || (is_z && (slice > 0 || !c.normalises()))) return;
  // A row's keys; of the normaliser the columns are keys.
  const two_keys its = is_z ? two_keys{row, column} : keys_of_row(which, row);
  const int m = its.low, k = its.high;
  const int k_next = is_z ? k + 1 : k, v = is_z ? 0 : 64 * slice + column, v_next = is_z ? 0 : v + 1;
  const float by = times_counted(m, k), by_next = times_counted(m, k_next);
  const call_state state{c, n, h};
  const tensor<float>&in = is_z ? c.z_in : c.S_in, &out = is_z ? c.z_out : c.S_out;
  float carried = state.load(in, m, k, v), carried_next = state.load(in, m, k_next, v_next);
  const auto shown = [&](int chunk) -> std::uint32_t& {
    return *reinterpret_cast<std::uint32_t*>(d.state(head, chunk, slice) + which * tile_numbers +
                                             place_in_tile(row, column));
  };
  const auto added = [&](std::uint32_t to, float left) {
    float x, y;
    detail::widen_pair<Token>(to, x, y);
    x += by == 0.0f ? 0.0f : carried * left * by, y += by_next == 0.0f ? 0.0f : carried_next * left * by_next;
    return detail::round_pair<Token>(x, y);
  };
  for (int segment = 0; segment < d.segments; ++segment) {
    const int first = segment * d.segment_chunks, behind = d.last_chunk(segment);
    float log = 0.0f;
    const bool adds = segment > 0 || d.enters;
    if (adds) shown(first) = added(0u, 1.0f);
    constexpr int together = 8;  // chunks that are read before the first of them is written
    for (int from = first; from < behind; from += together) {
      std::uint32_t x[together];
      float logs[together];
#pragma unroll
      for (int i = 0; i < together; ++i) {
        if (from + i >= behind) continue;
        logs[i] = d.log_of(head, from + i);
        if (from + i > first && adds) x[i] = shown(from + i);
      }
#pragma unroll
      for (int i = 0; i < together; ++i) {
        if (from + i >= behind) continue;
        if (from + i > first && adds) shown(from + i) = added(x[i], ptx::exp2_approx(log));
        log += logs[i];
      }
    }
    const float2 sum = *reinterpret_cast<const float2*>(d.sum(head, segment, slice) + i);
    const float left = ptx::exp2_approx(log);
    carried = fmaf(left, carried, sum.x), carried_next = fmaf(left, carried_next, sum.y);
  }
  if (d.walked < d.chunks) {
    shown(d.walked) = added(0u, 1.0f);
    return;
  }
  state.store(out, m, k, v, carried), state.store(out, m, k_next, v_next, carried_next);
}

}  // namespace sextant::gpu::second
