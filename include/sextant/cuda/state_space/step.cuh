// SPDX-License-Identifier: Apache-2.0
/// @file  One token of many sequences: a thread has one channel of four of them, pair after pair.
#pragma once

#include <sextant/cuda/state_space/kernel.cuh>

namespace sextant::gpu::diagonal {

/// Sequences whose states share the pairs as these are read.
inline constexpr int step_sequences = 4;

/// x <- F x + B v,  y = Re(2 c x), the states in the caller's own units. A block is 128 channels, of all heads one after another,
/// of four sequences.
template <class Design, class Precision>
__global__ void __launch_bounds__(threads)
    step_state_space_kernel(const __grid_constant__ Design design,
                            const __grid_constant__ sequence_of<Design, Precision> x,
                            const __grid_constant__ call_of<typename Precision::accumulator> c) {
  using real = typename Precision::accumulator;
  using state = typename Precision::state;
  using walk_type = pair_walk<Design, Precision, 1>;
  const index_t V = x.v.template extent<axis::value>(), channels = V * x.v.template extent<axis::head>();
  const index_t channel = index_t(blockIdx.x) * threads + threadIdx.x;
  if (channel >= channels) return;
  const index_t first = index_t(blockIdx.y) * step_sequences, left = x.v.template extent<axis::batch>() - first;
  walk_type walk{design, x, c, channels, channel, channel / V, channel % V, 0, true};
  walk.begin();

  const auto& S_in = x.initial_state.S;
  const auto& S_out = x.final_state.S;
  const index_t in_key = S_in.template stride<axis::key>(), in_batch = S_in.template stride<axis::batch>();
  const index_t out_key = S_out.template stride<axis::key>(), out_batch = S_out.template stride<axis::batch>();
  const state* from = S_in ? &S_in(first, walk.h, 0, walk.v) : nullptr;
  state* to = S_out ? &S_out(first, walk.h, 0, walk.v) : nullptr;
  real u[step_sequences], sum[step_sequences];
#pragma unroll
  for (int n = 0; n < step_sequences; ++n) {
    u[n] = sum[n] = 0;
    if (n < left) walk.turn_to(first + n), u[n] = walk.value(walk.u, 0);
  }
  constexpr int at_once = sizeof(real) == 4 ? 4 : 2;  // pairs whose states are on their way together
#pragma unroll 1
  for (int m = 0; m < c.pairs; m += at_once) {
    complex<real> before[at_once][step_sequences];
#pragma unroll
    for (int i = 0; i < at_once; ++i)
#pragma unroll
      for (int n = 0; n < step_sequences; ++n) {
        before[i][n] = {0, 0};
        if (from == nullptr || n >= left || m + i >= c.pairs) continue;
        const state* const in = from + n * in_batch + 2 * i * in_key;
        before[i][n] = {real(in[0]), real(in[in_key])};
      }
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      if (m + i >= c.pairs) break;
      const complex<real> F = c.read(state_of, m + i, channel, channels),
                          rest = c.read(rest_of, m + i, channel, channels);
      const complex<real> unit = c.read(unit_of, m + i, channel, channels),
                          read = c.read(read_of, m + i, channel, channels);
      const complex<real> rest_of_one{rest.re * (real(1) / round), rest.im * (real(1) / round)};
#pragma unroll
      for (int n = 0; n < step_sequences; ++n) {
        if (n >= left) continue;
        complex<real> now{unit.re * u[n], unit.im * u[n]};
        if (walk_type::in_two_parts) now = walk_type::multiply_add(rest_of_one, before[i][n], now);
        now = walk_type::multiply_add(F, before[i][n], now);
        if (to != nullptr) {
          state* const out = to + n * out_batch + 2 * i * out_key;
          out[0] = state(now.re), out[out_key] = state(now.im);
        }
        sum[n] = fma(read.re, now.re, fma(read.im, now.im, sum[n]));
      }
    }
    if (from != nullptr) from += 2 * at_once * in_key;
    if (to != nullptr) to += 2 * at_once * out_key;
  }
#pragma unroll
  for (int n = 0; n < step_sequences; ++n)
    if (n < left) walk.turn_to(first + n), walk.finish(0, sum[n]);
}

}  // namespace sextant::gpu::diagonal
