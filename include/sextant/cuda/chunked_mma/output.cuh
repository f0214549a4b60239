// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: from what the warps answered to y.
#pragma once

#include <sextant/cuda/chunked_mma/scores.cuh>
#include <sextant/cuda/tile/activation.cuh>

namespace sextant::gpu::mma {

/// Four neighbours of a row in memory, as one word or one by one; those from `count` on are zeros.
template <class Token> __device__ __forceinline__ float4 load_four(const std::byte* from, bool is_word, int count) {
  const Token* const at = reinterpret_cast<const Token*>(from);
  float4 x{};
  if (is_word) {
    if constexpr (sizeof(Token) == 4) return *reinterpret_cast<const float4*>(at);
    else {
      const uint2 words = *reinterpret_cast<const uint2*>(at);
      detail::widen_pair<Token>(words.x, x.x, x.y), detail::widen_pair<Token>(words.y, x.z, x.w);
      return x;
    }
  }
  if (count > 0) x.x = ptx::as_float(at[0]);
  if (count > 1) x.y = ptx::as_float(at[1]);
  if (count > 2) x.z = ptx::as_float(at[2]);
  if (count > 3) x.w = ptx::as_float(at[3]);
  return x;
}
template <class Token> __device__ __forceinline__ void store_four(std::byte* to, bool is_word, int count, float4 x) {
  Token* const at = reinterpret_cast<Token*>(to);
  if (is_word) {
    if constexpr (sizeof(Token) == 4) *reinterpret_cast<float4*>(at) = x;
    else *reinterpret_cast<uint2*>(at) = {detail::round_pair<Token>(x.x, x.y), detail::round_pair<Token>(x.z, x.w)};
    return;
  }
  if (count > 0) at[0] = ptx::as_stored<Token>(x.x);
  if (count > 1) at[1] = ptx::as_stored<Token>(x.y);
  if (count > 2) at[2] = ptx::as_stored<Token>(x.z);
  if (count > 3) at[3] = ptx::as_stored<Token>(x.w);
}

/// Writes a chunk's rows of y: each thread four neighbouring channels, the same ones in every row.
///   y_t = (scale / divisor_t) (sum over slabs) + d v_t, times silu of the output gate
template <class Token> struct output_rows {
  const device_call<float>& c;
  const block_plan& plan;
  int head, channel, row, rows_apart, count;  // the channel counts from the block's first
  int first_channel;
  float4 d{};

  __device__ output_rows(const device_call<float>& call, const block_plan& its_plan, int its_head, int first, int values)
      : c{call}, plan{its_plan}, head{its_head}, first_channel{first} {
    const int shift = __ffs(plan.slice) - 3;  // of the threads of a row
    channel = int(threadIdx.x) % (1 << shift) * 4, row = int(threadIdx.x) >> shift, rows_apart = int(blockDim.x) >> shift;
    count = values - channel;
    if (c.d && count > 0)
      d = {d_of(0), d_of(1), d_of(2), d_of(3)};
  }
  __device__ float d_of(int i) const {
    return i < count ? *reinterpret_cast<const float*>(c.d.at(0, 0, head) + (first_channel + channel + i) * c.d.value) : 0.0f;
  }
  __device__ float divisor(const chunk_gates& gates, int t) const {
    const float qz = gates.qz[t] + gates.row_sum[t];
    if (c.norm == norm_kind::abs_max) return fmaxf(fabsf(c.scale * qz), gates.bound[t]) + c.eps;
    return qz + c.eps;
  }
  /// The rows of the chunk that begins at token t0; v in memory is gated where an input gate per channel has passed.
  __device__ void write(const chunk_memory<Token>& memory, const stretch& s, int t0, int tokens,
                        bool v_is_gated) const {
    if (count <= 0) return;
    const bool is_word = plan.pieces_of_y && count >= 4;
    for (int t = row; t < tokens; t += rows_apart) {
      const index_t at = s.place(t0 + t);
      const auto place = [&](const tensor<float>& x) { return x.at(s.batch, at, head) + (first_channel + channel) * x.value; };
      float4 gate{};
      if (c.output_gate) gate = load_four<Token>(place(c.output_gate), is_word, count);
      float4 y{};
      for (int slab = 0; slab < plan.slabs; ++slab) {
        const float4 part = *reinterpret_cast<const float4*>(memory.y + (slab * plan.tokens + t) * plan.y_stride + channel);
        y.x += part.x, y.y += part.y, y.z += part.z, y.w += part.w;
      }
      const float factor = c.normalises() ? c.scale * ptx::reciprocal_approx(divisor(*memory.gates, t)) : c.scale;
      y.x *= factor, y.y *= factor, y.z *= factor, y.w *= factor;
      if (c.d) {
        float4 v;
        if (v_is_gated) v = load_four<Token>(place(c.v), false, count);
        else {
          const float2 low = load_pair(memory.v + t * plan.v_stride + channel);
          const float2 high = load_pair(memory.v + t * plan.v_stride + channel + 2);
          v = {low.x, low.y, high.x, high.y};
        }
        y.x = fmaf(d.x, v.x, y.x), y.y = fmaf(d.y, v.y, y.y), y.z = fmaf(d.z, v.z, y.z), y.w = fmaf(d.w, v.w, y.w);
      }
      if (c.output_gate) {
        constexpr bool exact = sizeof(Token) == 4;
        y.x *= silu<exact>(gate.x), y.y *= silu<exact>(gate.y), y.z *= silu<exact>(gate.z), y.w *= silu<exact>(gate.w);
      }
      store_four<Token>(place(c.y), is_word, count, y);
    }
  }
};

}  // namespace sextant::gpu::mma
