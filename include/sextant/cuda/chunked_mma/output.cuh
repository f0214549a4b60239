// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: from what the warps answered to y.
#pragma once

#include <sextant/cuda/chunked_mma/normaliser.cuh>
#include <sextant/cuda/tile/activation.cuh>

namespace sextant::gpu::mma {

/// Four neighbours of a row in memory, as one word or one by one; those from `count` on are zeros.
template <class Token> __device__ __forceinline__ float4 read_four(const std::byte* from, bool is_word, int count) {
  const Token* const at = reinterpret_cast<const Token*>(from);
  if (is_word) return load_four(at);
  float4 x{};
  if (count > 0) x.x = ptx::as_float(at[0]);
  if (count > 1) x.y = ptx::as_float(at[1]);
  if (count > 2) x.z = ptx::as_float(at[2]);
  if (count > 3) x.w = ptx::as_float(at[3]);
  return x;
}
template <class Token> __device__ __forceinline__ void write_four(std::byte* to, bool is_word, int count, float4 x) {
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
///   y_t = factor_t (sum over slabs) + d v_t, times silu of the output gate
/// `values` of the block's channels exist; the chunk begins at row t0 and has `tokens`. Where an input gate per channel has
/// passed, v is read again.
template <class Token>
__device__ void write_rows(const device_call<float>& c, const block_plan& plan, const chunk_memory<Token>& memory,
                           int values, int t0, int tokens, bool v_is_gated) {
  const int shift = __ffs(plan.slice) - 3;  // of the threads of a row
  const int channel = int(threadIdx.x) % (1 << shift) * 4, first = int(threadIdx.x) >> shift;
  const int rows_apart = int(blockDim.x) >> shift, count = values - channel;
  if (count <= 0) return;
  const bool is_word = plan.pieces_of_y && count >= 4;
  const chunk_gates& gates = *memory.gates;
  const std::byte* const d = gates.d;
  const auto number_of_d = [&](int i) {
    return d != nullptr && i < count ? *reinterpret_cast<const float*>(d + (channel + i) * c.d.value) : 0.0f;
  };
  const float4 of_v{number_of_d(0), number_of_d(1), number_of_d(2), number_of_d(3)};
  const auto start = [&](const row_source& source) { return source.first + (t0 + first) * source.step; };
  std::byte* y_row = start(gates.y) + channel * c.y.element;
  const index_t y_step = rows_apart * gates.y.step;
  for (int t = first; t < tokens; t += rows_apart, y_row += y_step) {
    float4 y{};
    const float* part = memory.y + t * plan.y_stride + channel;
    for (int slab = 0; slab < plan.slabs; ++slab, part += plan.tokens * plan.y_stride) {
      const float4 its = load_four(part);
      y.x += its.x, y.y += its.y, y.z += its.z, y.w += its.w;
    }
    const float factor = c.normalises() ? gates.factor[t] : c.scale;
    y.x *= factor, y.y *= factor, y.z *= factor, y.w *= factor;
    if (d != nullptr) {
      const float4 v =
          v_is_gated ? read_four<Token>(gates.loaded[2].first + (t0 + t) * gates.loaded[2].step + channel * c.v.element,
                                        false, count)
                     : load_four(memory.v + t * plan.v_stride + channel);
      y.x = fmaf(of_v.x, v.x, y.x), y.y = fmaf(of_v.y, v.y, y.y);
      y.z = fmaf(of_v.z, v.z, y.z), y.w = fmaf(of_v.w, v.w, y.w);
    }
    if (c.output_gate) {
      constexpr bool exact = sizeof(Token) == 4;
      const row_source& source = gates.output_gate;
      const float4 gate =
          read_four<Token>(source.first + (t0 + t) * source.step + channel * c.y.element, is_word, count);
      y.x *= silu<exact>(gate.x), y.y *= silu<exact>(gate.y), y.z *= silu<exact>(gate.z), y.w *= silu<exact>(gate.w);
    }
    write_four<Token>(y_row, is_word, count, y);
  }
}

}  // namespace sextant::gpu::mma
