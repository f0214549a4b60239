// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: the products of one warp where tokens are float.
#pragma once

#include <sextant/cuda/chunked_mma/products.cuh>

namespace sextant::gpu::mma {

/// The same in float, by three products in TF32 of numbers split into upper and lower parts: what is left out is 2^-22
/// of a product. The tensor cores' sums are cut and not rounded, so what a product gives is added to the state
/// afterwards. Terms of a product come in the order 0, 2, 4, 6, 1, 3, 5, 7, which is that of neighbours in S and in
/// rows.
template <> struct warp_products<float> {
  static constexpr int q_padding = 8, k_padding = 4, v_padding = 4;
  static constexpr int weight_stride = 24, weight_parts = 1;
  using values = float[8];  // channels g and g + 8 of token 2 t, of 2 t + 1; the same of tokens + 8

  /// A factor in two parts.
  template <unsigned Count> struct parts {
    std::uint32_t upper[Count], lower[Count];
    __device__ __forceinline__ void split(int i, float x) {
      upper[i] = ptx::as_tf32(x);
      lower[i] = ptx::as_tf32(x - __uint_as_float(upper[i]));
    }
  };
  static __device__ __forceinline__ void multiply(float (&sums)[4], const parts<4>& a, const parts<2>& b) {
    ptx::multiply_add_tf32(sums, a.lower, b.upper[0], b.upper[1]);
    ptx::multiply_add_tf32(sums, a.upper, b.lower[0], b.lower[1]);
    ptx::multiply_add_tf32(sums, a.upper, b.upper[0], b.upper[1]);
  }
  static __device__ __forceinline__ parts<2> load_factor(const float* pair) {
    const float2 x = *reinterpret_cast<const float2*>(pair);
    parts<2> b;
    b.split(0, x.x), b.split(1, x.y);
    return b;
  }

  template <bool Twice, bool Parts>
  static __device__ __forceinline__ void query_state(float (&Y)[2][4], const slab_state& S, const float* q,
                                                     const float*, bool, int stride, int lane) {
    const float* const row = q + lane / 4 * stride + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < slab_keys / 8; j += 2) {
      float added[2][4] = {};
#pragma unroll
      for (int i = j; i < j + 2; ++i) {
        parts<4> a;
        a.split(0, S[i][0]), a.split(1, S[i][2]), a.split(2, S[i][1]), a.split(3, S[i][3]);
#pragma unroll
        for (int n = 0; n < 2; ++n) multiply(added[n], a, load_factor(row + 8 * n * stride + 8 * i));
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) Y[i / 4][i % 4] += added[i / 4][i % 4];
    }
  }
  static __device__ __forceinline__ void load_values(values& V, const float* v, const float*, bool, int stride,
                                                     int lane) {
#pragma unroll
    for (int i = 0; i < 8; ++i) V[i] = v[(i / 4 * 8 + lane % 4 * 2 + i % 4 / 2) * stride + lane / 4 + i % 2 * 8];
  }
  static __device__ __forceinline__ void scale_values(values& V, bool, const float* by, int lane) {
#pragma unroll
    for (int i = 0; i < 8; ++i) V[i] *= by[i / 4 * 8 + lane % 4 * 2 + i % 4 / 2];
  }
  static __device__ __forceinline__ void split_values(parts<4> (&a)[2], const values& V) {
#pragma unroll
    for (int i = 0; i < 8; ++i) a[i / 4].split(i % 4, V[i]);
  }
  static __device__ __forceinline__ void apply_weights(float (&Y)[2][4], const values& V, bool, const float* weights,
                                                       int, int lane) {
    parts<4> a[2];
    split_values(a, V);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      multiply(Y[i / 2], a[i % 2],
               load_factor(weights + (lane / 4 + i / 2 * 8) * weight_stride + i % 2 * 8 + lane % 4 * 2));
  }
  static __device__ __forceinline__ void store_weights(float* to, int, float x, float y) { store_pair(to, x, y); }
  template <bool KeyParts>
  static __device__ __forceinline__ void enter(slab_state& S, const values& V, bool, const float* k, const float*,
                                               int stride, int lane) {
    parts<4> a[2];
    split_values(a, V);
    const float* const at = k + lane % 4 * 2 * stride + lane / 4;
#pragma unroll
    for (int j = 0; j < slab_keys / 8; ++j) {
      float added[4] = {};
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        parts<2> b;
        b.split(0, at[8 * i * stride + 8 * j]), b.split(1, at[(8 * i + 1) * stride + 8 * j]);
        multiply(added, a[i], b);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) S[j][i] += added[i];
    }
  }
  template <bool Parts>
  static __device__ __forceinline__ void score(float (&sums)[4], const float* q, const float*, bool, int q_stride,
                                               const float* k, const float*, bool, int k_stride, int keys, int lane) {
    const float* const q_row = q + lane / 4 * q_stride + lane % 4 * 2;
    const float* const k_row = k + lane / 4 * k_stride + lane % 4 * 2;
    // Eight products at a time are added outside the tensor core.
#pragma unroll 2
    for (int i = 0; i < keys; i += 8) {
      const float2 low = load_pair(q_row + i), high = load_pair(q_row + 8 * q_stride + i);
      parts<4> a;
      a.split(0, low.x), a.split(1, high.x), a.split(2, low.y), a.split(3, high.y);
      float added[4] = {};
      multiply(added, a, load_factor(k_row + i));
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[j] += added[j];
    }
  }
};

}  // namespace sextant::gpu::mma
