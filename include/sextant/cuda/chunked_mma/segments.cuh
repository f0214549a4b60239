// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: segments of one sequence side by side, and the state passed on between them.
#pragma once

#include <sextant/cuda/chunked_mma/plan.cuh>
#include <sextant/cuda/tile/stabiliser.cuh>

namespace sextant::gpu::mma {

// A long sequence of few heads is cut into segments. A first launch computes what each but the last adds to the state,
// and what it leaves of the one before; a second one passes the states on, from segment to segment; a third one
// computes y.

/// What segment `segment` of a head begins with, in memory of the device: S [keys][values], z [keys], and how much of
/// either the segment before has left, of each key [keys] or of all of them [1].
/// With a stabiliser m the first launch knows nothing of what came before: S and z are divided by exp(m) of the
/// segment's own tokens, `own_m`; `log_left` is the sum of the logarithms of its decays, and m what the next segment
/// begins with.
struct handed_state {
  float *S, *z, *left;
  double *own_m, *log_left, *m;

  static SEXTANT_FN index_t numbers(const device_call<float>& c) {
    return (c.keys * c.values + 2 * c.keys + 3) / 4 * 4;
  }
  /// Numbers of one, a multiple of 4.
  static SEXTANT_FN index_t size(const device_call<float>& c) { return numbers(c) + 8; }
  static SEXTANT_FN index_t bytes(const device_call<float>& c, const block_plan& p) {
    return p.segments == 1 ? 0 : size(c) * 4 * c.sequences * c.heads * p.segments;
  }
  SEXTANT_FN handed_state(const device_call<float>& c, const block_plan& p, index_t head, int segment) {
    S = p.handed + (head * p.segments + segment) * size(c);
    z = S + c.keys * c.values, left = z + c.keys;
    own_m = reinterpret_cast<double*>(S + numbers(c)), log_left = own_m + 1, m = own_m + 2;
  }
};

/// What a block works on.
struct block_place {
  int sequence, head, segment, first_channel;

  __device__ block_place(const device_call<float>& c, const block_plan& p) {
    const int segments = p.states_only ? p.segments - 1 : p.segments, heads = int(c.heads);
    const int of_all = int(blockIdx.x) / p.slices, of_heads = of_all / segments;
    sequence = of_heads / heads, head = of_heads % heads, segment = of_all % segments;
    first_channel = int(blockIdx.x) % p.slices * p.slice;
  }
};

/// Segment number `segment` of a sequence.
inline SEXTANT_FN stretch cut(stretch s, const block_plan& p, int segment) {
  if (p.segments == 1) return s;
  const index_t from = index_t(segment) * p.segment_tokens < s.length ? index_t(segment) * p.segment_tokens : s.length;
  const index_t length = s.length - from < p.segment_tokens ? s.length - from : p.segment_tokens;
  s.first += s.backwards ? s.length - from - length : from;
  s.length = length;
  return s;
}

/// Passes states on, number by number: with S_0 the initial state, S_j = left_j S_{j-1} + what segment j - 1 has added.
/// With a stabiliser, m_j = max(log_left_j + m_{j-1}, own_m_j) and both terms are multiplied by exp(what m leaves of
/// them).
template <class Call>
__global__ void __launch_bounds__(256)
    pass_on_kernel(const __grid_constant__ Call c, const __grid_constant__ block_plan p) {
  const unsigned head = blockIdx.y, n = head / unsigned(c.heads), h = head - n * unsigned(c.heads);
  const index_t numbers = c.keys * c.values;
  const index_t i = index_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= numbers + (c.normalises() ? c.keys : 0)) return;
  const bool is_z = i >= numbers;
  const index_t key = is_z ? i - numbers : i / c.values, channel = is_z ? 0 : i - key * c.values;
  const bool decays = !is_z || c.norm != norm_kind::sum_undecayed;
  const tensor<float>& from = is_z ? c.z_in : c.S_in;
  double m = c.m_in ? *reinterpret_cast<const float*>(c.m_in.at(n, 0, h)) : 0.0f;
  float state = from ? *reinterpret_cast<const float*>(from.at(n, 0, h) + key * from.key + channel * from.value) : 0.0f;
  for (int j = 0; j < p.segments; ++j) {
    const handed_state its(c, p, head, j);
    float& number = is_z ? its.z[key] : its.S[i];
    if (j > 0 && c.norm == norm_kind::abs_max) {
      const double before = *its.log_left + m, own = *its.own_m;
      m = larger(before, own);
      state = fmaf(expf(float(before - m)), state, expf(float(own - m)) * number);
    } else if (j > 0) {
      state = fmaf(decays ? its.left[p.keyed ? key : 0] : 1.0f, state, number);
    }
    if (i == 0) *its.m = m;
    number = state;
  }
}

}  // namespace sextant::gpu::mma
