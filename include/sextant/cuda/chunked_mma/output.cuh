// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: from what the warps answered to y.
#pragma once

#include <sextant/cuda/chunked_mma/normaliser.cuh>
#include <sextant/cuda/tile/activation.cuh>

namespace sextant::gpu::mma {

/// Four neighbours of a row in memory as they are stored, read as one word or one by one; those from `count` on are
/// zeros.
template <class Token> using four_numbers = std::conditional_t<sizeof(Token) == 4, uint4, uint2>;
template <class Token>
__device__ __forceinline__ four_numbers<Token> read_four(const std::byte* from, bool is_word, int count) {
  if (is_word) return *reinterpret_cast<const four_numbers<Token>*>(from);
  using number = std::conditional_t<sizeof(Token) == 4, unsigned, unsigned short>;
  const number* const at = reinterpret_cast<const number*>(from);
  const unsigned x = at[0], y = count > 1 ? at[1] : 0, z = count > 2 ? at[2] : 0, w = count > 3 ? at[3] : 0;
  if constexpr (sizeof(Token) == 4) return {x, y, z, w};
  else return {x | y << 16, z | w << 16};
}
template <class Token> __device__ __forceinline__ float4 widened(const four_numbers<Token>& words) {
  return load_four(reinterpret_cast<const Token*>(&words));
}
template <class Token> __device__ __forceinline__ void write_four(std::byte* to, bool is_word, int count, float4 x) {
  Token* const at = reinterpret_cast<Token*>(to);
  if (is_word) return store_four(at, x);
  if (count > 0) at[0] = ptx::as_stored<Token>(x.x);
  if (count > 1) at[1] = ptx::as_stored<Token>(x.y);
  if (count > 2) at[2] = ptx::as_stored<Token>(x.z);
  if (count > 3) at[3] = ptx::as_stored<Token>(x.w);
}

/// Writes a chunk's rows of y: each thread four neighbouring channels, the same ones in every row, `Together` rows at a
/// time.
///   y_t = factor_t (sum over slabs) + d v_t, times silu of the output gate
/// `values` of the block's channels exist; the chunk begins at row t0 and has `tokens`.
template <int Together, class Token>
__device__ void write_rows(const device_call<float>& c, const block_plan& plan, const chunk_memory<Token>& memory,
                           int values, int t0, int tokens) {
  constexpr bool exact = sizeof(Token) == 4;
  const int shift = __ffs(plan.slice) - 3;  // of the threads of a row
  const int channel = int(threadIdx.x) % (1 << shift) * 4, first = int(threadIdx.x) >> shift;
  const int rows_apart = int(blockDim.x) >> shift, count = values - channel;
  if (count <= 0) return;
  const bool is_word = plan.pieces_of_y && count >= 4;
  const bool gates_y = bool(c.output_gate), adds_v = bool(c.d);
  const chunk_gates& gates = *memory.gates;
  const auto place_of = [&](const row_source& source, int t, index_t element) {
    return source.first + (t0 + t) * source.step + channel * element;
  };
  std::byte* y_row = place_of(gates.y, first, c.y.element);
  const index_t y_step = rows_apart * gates.y.step;
  const int part_step = rows_apart * plan.y_stride;
  const float* part = memory.y + first * plan.y_stride + channel;
#pragma unroll 1
  for (int from = first; from < tokens; from += Together * rows_apart) {
    const auto is_there = [&](int i) { return from + i * rows_apart < tokens; };
    // What is read from memory sets out before anything waits for it.
    four_numbers<Token> gate[Together] = {};
#pragma unroll
    for (int i = 0; i < Together; ++i) {
      const int t = from + i * rows_apart;
      if (gates_y && is_there(i))
        gate[i] = read_four<Token>(place_of(gates.output_gate, t, c.y.element), is_word, count);
    }
    float4 y[Together];
#pragma unroll
    for (int i = 0; i < Together; ++i)
      if (is_there(i)) y[i] = load_four(part + i * part_step);
#pragma unroll 1
    for (int slab = 1; slab < plan.slabs; ++slab)
#pragma unroll
      for (int i = 0; i < Together; ++i) {
        if (!is_there(i)) continue;
        const float4 its = load_four(part + slab * plan.tokens * plan.y_stride + i * part_step);
        y[i].x += its.x, y[i].y += its.y, y[i].z += its.z, y[i].w += its.w;
      }
#pragma unroll
    for (int i = 0; i < Together; ++i) {
      if (!is_there(i)) break;
      const int t = from + i * rows_apart;
      y[i] = times(y[i], c.normalises() ? gates.factor[t] : c.scale);
      if (adds_v) {
        const float4 d = load_four(memory.d + channel);
        const float4 x = load_four(memory.v + t * plan.v_stride + channel);
        y[i].x = fmaf(d.x, x.x, y[i].x), y[i].y = fmaf(d.y, x.y, y[i].y);
        y[i].z = fmaf(d.z, x.z, y[i].z), y[i].w = fmaf(d.w, x.w, y[i].w);
      }
      if (gates_y) {
        const float4 x = widened<Token>(gate[i]);
        y[i].x *= silu<exact>(x.x), y[i].y *= silu<exact>(x.y), y[i].z *= silu<exact>(x.z), y[i].w *= silu<exact>(x.w);
      }
      write_four<Token>(y_row, is_word, count, y[i]);
      y_row += y_step;
    }
    part += Together * part_step;
  }
}

}  // namespace sextant::gpu::mma
