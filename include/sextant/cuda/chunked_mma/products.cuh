// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: the products of one warp, whatever its tokens are stored as.
#pragma once

#include <sextant/cuda/ptx/async_copy.cuh>  // shared_address
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::mma {

/// Two neighbouring numbers of a row.
template <class Token> __device__ __forceinline__ float2 load_pair(const Token* from) {
  if constexpr (sizeof(Token) == 4) return *reinterpret_cast<const float2*>(from);
  else {
    float2 pair;
    detail::widen_pair<Token>(*reinterpret_cast<const std::uint32_t*>(from), pair.x, pair.y);
    return pair;
  }
}
template <class Token> __device__ __forceinline__ void store_pair(Token* to, float x, float y) {
  if constexpr (sizeof(Token) == 4) *reinterpret_cast<float2*>(to) = {x, y};
  else *reinterpret_cast<std::uint32_t*>(to) = detail::round_pair<Token>(x, y);
}

/// Four neighbouring numbers of a row.
template <class Token> __device__ __forceinline__ float4 load_four(const Token* from) {
  if constexpr (sizeof(Token) == 4) return *reinterpret_cast<const float4*>(from);
  else {
    const uint2 words = *reinterpret_cast<const uint2*>(from);
    float4 four;
    detail::widen_pair<Token>(words.x, four.x, four.y), detail::widen_pair<Token>(words.y, four.z, four.w);
    return four;
  }
}

/// The state that a warp holds: 16 channels (rows) by 64 keys, S[j] being the sums of keys 8 j .. 8 j + 7.
inline constexpr int slab_keys = 64;
using slab_state = float[slab_keys / 8][4];

/// S <- (1 + by) S: by(j) answers the numbers of keys 8 j + 2 t and 8 j + 2 t + 1, where lane l has t = l % 4.
template <class By> __device__ __forceinline__ void decay(slab_state& S, const By& by) {
#pragma unroll
  for (int j = 0; j < slab_keys / 8; ++j) {
    const float2 f = by(j);
    S[j][0] = fmaf(S[j][0], f.x, S[j][0]), S[j][1] = fmaf(S[j][1], f.y, S[j][1]);
    S[j][2] = fmaf(S[j][2], f.x, S[j][2]), S[j][3] = fmaf(S[j][3], f.y, S[j][3]);
  }
}
/// S <- by S, likewise.
template <class By> __device__ __forceinline__ void multiply_keys(slab_state& S, const By& by) {
#pragma unroll
  for (int j = 0; j < slab_keys / 8; ++j) {
    const float2 f = by(j);
    S[j][0] *= f.x, S[j][1] *= f.y, S[j][2] *= f.x, S[j][3] *= f.y;
  }
}

/// The products that a warp of the chunked kernel takes over 16 tokens, V^T being 16 channels by 16 tokens:
///   query_state    Y^T = S^T Q^T                       Y[n]: tokens 8 n .. 8 n + 7
///   apply_weights  Y^T += V^T W^T                      W: of earlier tokens (columns) for later ones (rows)
///   enter          S^T += V^T K
///   score          sums += Q K^T for 8 of the keys' tokens
/// Rows lie in shared memory, `stride` numbers from one to the next. For tokens of 16 bits: S is rounded to them where it
/// is queried (`Twice`: bfloat16 is, and once more what that leaves out), for float16 after division by a power of two that
/// keeps it in range; weights are sums of two numbers of 16 bits, the second `part` numbers behind the first, as a single one
/// may be all that a token's answer is made of.
template <class Token> struct warp_products {
  static constexpr int q_padding = 8, k_padding = 8, v_padding = 8;  ///< numbers behind a row that spread it over banks
  static constexpr int weight_stride = 24, weight_parts = 2;
  using values = std::uint32_t[4];

  template <bool Twice>
  static __device__ __forceinline__ void query_state(float (&Y)[2][4], const slab_state& S, const Token* q, int stride,
                                                     int lane) {
    float by = 1.0f, back = 1.0f;
    if constexpr (std::is_same_v<Token, float16>) keep_in_range(S, by, back);
    const std::uint32_t rows = ptx::shared_address(q + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8);
#pragma unroll
    for (int i = 0; i < slab_keys / 16; ++i) {
      const std::uint32_t a[4] = {rounded(S[2 * i], 0, by), rounded(S[2 * i], 2, by), rounded(S[2 * i + 1], 0, by),
                                  rounded(S[2 * i + 1], 2, by)};
      std::uint32_t b[4];
      ptx::load_matrices(b, rows + i * 32);
      ptx::multiply_add<Token>(Y[0], a, b[0], b[1]);
      ptx::multiply_add<Token>(Y[1], a, b[2], b[3]);
      if constexpr (Twice && std::is_same_v<Token, bfloat16>) {
        const std::uint32_t rest[4] = {rest_of(S[2 * i], 0, a[0]), rest_of(S[2 * i], 2, a[1]),
                                       rest_of(S[2 * i + 1], 0, a[2]), rest_of(S[2 * i + 1], 2, a[3])};
        ptx::multiply_add<Token>(Y[0], rest, b[0], b[1]);
        ptx::multiply_add<Token>(Y[1], rest, b[2], b[3]);
      }
    }
    if constexpr (std::is_same_v<Token, float16>)
#pragma unroll
      for (int i = 0; i < 8; ++i) Y[i / 4][i % 4] *= back;
  }
  static __device__ __forceinline__ void load_values(values& V, const Token* v, int stride, int lane) {
    ptx::load_transposed(V, ptx::shared_address(v + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8));
  }
  /// V^T with each token's column multiplied by its factor; `by` points to those of the 16 tokens.
  static __device__ __forceinline__ void scale_values(values& V, const float* by, int lane) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 f = *reinterpret_cast<const float2*>(by + i / 2 * 8 + lane % 4 * 2);
      float low, high;
      detail::widen_pair<Token>(V[i], low, high);
      V[i] = detail::round_pair<Token>(low * f.x, high * f.y);
    }
  }
  static __device__ __forceinline__ void apply_weights(float (&Y)[2][4], const values& V, const Token* weights,
                                                       int part, int lane) {
    const std::uint32_t rows =
        ptx::shared_address(weights + (lane / 16 * 8 + lane % 8) * weight_stride + lane / 8 % 2 * 8);
#pragma unroll
    for (int i = 0; i < weight_parts; ++i) {
      std::uint32_t b[4];
      ptx::load_matrices(b, rows + i * part * int(sizeof(Token)));
      ptx::multiply_add<Token>(Y[0], V, b[0], b[1]);
      ptx::multiply_add<Token>(Y[1], V, b[2], b[3]);
    }
  }
  /// Two neighbouring weights, as their parts.
  static __device__ __forceinline__ void store_weights(Token* to, int part, float x, float y) {
    const std::uint32_t word = detail::round_pair<Token>(x, y);
    float low, high;
    detail::widen_pair<Token>(word, low, high);
    *reinterpret_cast<std::uint32_t*>(to) = word;
    store_pair(to + part, x - low, y - high);
  }
  static __device__ __forceinline__ void enter(slab_state& S, const values& V, const Token* k, int stride, int lane) {
    const std::uint32_t rows = ptx::shared_address(k + (lane / 8 % 2 * 8 + lane % 8) * stride + lane / 16 * 8);
#pragma unroll
    for (int i = 0; i < slab_keys / 16; ++i) {
      std::uint32_t b[4];
      ptx::load_transposed(b, rows + i * 32);
#pragma unroll
      for (int n = 0; n < 2; ++n) ptx::multiply_add<Token>(S[2 * i + n], V, b[2 * n], b[2 * n + 1]);
    }
  }
  static __device__ __forceinline__ void score(float (&sums)[4], const Token* q, int q_stride, const Token* k,
                                               int k_stride, int keys, int lane) {
    std::uint32_t q_rows = ptx::shared_address(q + lane % 16 * q_stride + lane / 16 * 8);
    std::uint32_t k_rows = ptx::shared_address(k + lane % 8 * k_stride + lane / 8 % 2 * 8);
    float odd[4] = {};
#pragma unroll 2
    for (int i = 0; i < keys; i += 32, q_rows += 64, k_rows += 64) {
      std::uint32_t a[4], b[2], next_a[4], next_b[2];
      ptx::load_matrices(a, q_rows), ptx::load_two_matrices(b, k_rows);
      ptx::load_matrices(next_a, q_rows + 32), ptx::load_two_matrices(next_b, k_rows + 32);
      ptx::multiply_add<Token>(sums, a, b[0], b[1]);
      ptx::multiply_add<Token>(odd, next_a, next_b[0], next_b[1]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[i] += odd[i];
  }

 private:
  static __device__ __forceinline__ std::uint32_t rounded(const float (&s)[4], int at, float by) {
    if constexpr (std::is_same_v<Token, float16>) return detail::round_pair<Token>(s[at] * by, s[at + 1] * by);
    else return (void)by, detail::round_pair<Token>(s[at], s[at + 1]);
  }
  /// What a rounding has left out.
  static __device__ __forceinline__ std::uint32_t rest_of(const float (&s)[4], int at, std::uint32_t word) {
    float low, high;
    detail::widen_pair<Token>(word, low, high);
    return detail::round_pair<Token>(s[at] - low, s[at + 1] - high);
  }
  /// The power of two that brings the largest number of S to between 2^14 and 2^15, and its reciprocal.
  static __device__ __forceinline__ void keep_in_range(const slab_state& S, float& by, float& back) {
    float most = 0.0f;
#pragma unroll
    for (int i = 0; i < slab_keys / 2; ++i) most = fmaxf(most, fabsf(S[i / 4][i % 4]));
    const unsigned exponent = __reduce_max_sync(~0u, __float_as_uint(most)) >> 23;
    if (exponent < 15 || exponent == 255) return;  // as good as nothing; not a number
    by = __uint_as_float((268 - exponent) << 23);
    back = __uint_as_float((exponent - 14) << 23);
  }
};

/// The same in float, by three products in TF32 of numbers split into upper and lower parts: what is left out is 2^-22 of a
/// product. The tensor cores' sums are cut and not rounded, so what a product gives is added to the state afterwards.
/// Terms of a product come in the order 0, 2, 4, 6, 1, 3, 5, 7, which is that of neighbours in S and in rows.
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

  template <bool Twice>
  static __device__ __forceinline__ void query_state(float (&Y)[2][4], const slab_state& S, const float* q, int stride,
                                                     int lane) {
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
  static __device__ __forceinline__ void load_values(values& V, const float* v, int stride, int lane) {
#pragma unroll
    for (int i = 0; i < 8; ++i) V[i] = v[(i / 4 * 8 + lane % 4 * 2 + i % 4 / 2) * stride + lane / 4 + i % 2 * 8];
  }
  static __device__ __forceinline__ void scale_values(values& V, const float* by, int lane) {
#pragma unroll
    for (int i = 0; i < 8; ++i) V[i] *= by[i / 4 * 8 + lane % 4 * 2 + i % 4 / 2];
  }
  static __device__ __forceinline__ void split_values(parts<4> (&a)[2], const values& V) {
#pragma unroll
    for (int i = 0; i < 8; ++i) a[i / 4].split(i % 4, V[i]);
  }
  static __device__ __forceinline__ void apply_weights(float (&Y)[2][4], const values& V, const float* weights, int,
                                                       int lane) {
    parts<4> a[2];
    split_values(a, V);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      multiply(Y[i / 2], a[i % 2],
               load_factor(weights + (lane / 4 + i / 2 * 8) * weight_stride + i % 2 * 8 + lane % 4 * 2));
  }
  static __device__ __forceinline__ void store_weights(float* to, int, float x, float y) { store_pair(to, x, y); }
  static __device__ __forceinline__ void enter(slab_state& S, const values& V, const float* k, int stride, int lane) {
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
  static __device__ __forceinline__ void score(float (&sums)[4], const float* q, int q_stride, const float* k,
                                               int k_stride, int keys, int lane) {
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
