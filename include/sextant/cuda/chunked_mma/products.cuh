// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: the products of one warp, whatever its tokens are stored as.
#pragma once

#include <sextant/cuda/chunked_mma/neighbours.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>  // shared_address
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>

namespace sextant::gpu::mma {

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
/// Rows lie in shared memory, `stride` numbers from one to the next. For tokens of 16 bits: S is rounded to them where
/// it is queried, for float16 after division by a power of two that keeps it in range. Weights are sums of two numbers
/// of 16 bits, the second `part` numbers behind the first. So are, of bfloat16, V where `both` says so, S where `Twice`
/// does, and where `Parts` does Q if `query_parts` and K if `key_parts`: there are rows of what rounding has left out.
template <class Token> struct warp_products {
  static constexpr int q_padding = 8, k_padding = 8, v_padding = 8;  ///< numbers behind a row that spread it over banks
  static constexpr int weight_stride = 24, weight_parts = 2;
  struct values {
    std::uint32_t upper[4], lower[has_parts<Token> ? 4 : 1];
  };

  template <bool Twice, bool Parts>
  static __device__ __forceinline__ void query_state(float (&Y)[2][4], const slab_state& S, const Token* q,
                                                     const Token* rest, bool query_parts, int stride, int lane) {
    float by = 1.0f, back = 1.0f;
    if constexpr (std::is_same_v<Token, float16>) keep_in_range(S, by, back);
    const int at = (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8;
    const std::uint32_t rows = ptx::shared_address(q + at), rest_rows = Parts ? ptx::shared_address(rest + at) : 0;
#pragma unroll
    for (int i = 0; i < slab_keys / 16; ++i) {
      const std::uint32_t a[4] = {rounded(S[2 * i], 0, by), rounded(S[2 * i], 2, by), rounded(S[2 * i + 1], 0, by),
                                  rounded(S[2 * i + 1], 2, by)};
      std::uint32_t b[4];
      ptx::load_matrices(b, rows + i * 32);
      ptx::multiply_add<Token>(Y[0], a, b[0], b[1]);
      ptx::multiply_add<Token>(Y[1], a, b[2], b[3]);
      if constexpr (Twice && has_parts<Token>) {
        const std::uint32_t left_out[4] = {
            rest_of(S[2 * i][0], S[2 * i][1], a[0]), rest_of(S[2 * i][2], S[2 * i][3], a[1]),
            rest_of(S[2 * i + 1][0], S[2 * i + 1][1], a[2]), rest_of(S[2 * i + 1][2], S[2 * i + 1][3], a[3])};
        ptx::multiply_add<Token>(Y[0], left_out, b[0], b[1]);
        ptx::multiply_add<Token>(Y[1], left_out, b[2], b[3]);
      }
      if (Parts && query_parts) {
        ptx::load_matrices(b, rest_rows + i * 32);
        ptx::multiply_add<Token>(Y[0], a, b[0], b[1]);
        ptx::multiply_add<Token>(Y[1], a, b[2], b[3]);
      }
    }
    if constexpr (std::is_same_v<Token, float16>)
#pragma unroll
      for (int i = 0; i < 8; ++i) Y[i / 4][i % 4] *= back;
  }
  static __device__ __forceinline__ void load_values(values& V, const Token* v, const Token* rest, bool both,
                                                     int stride, int lane) {
    const int at = (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8;
    ptx::load_transposed(V.upper, ptx::shared_address(v + at));
    if constexpr (has_parts<Token>) {
      if (both) ptx::load_transposed(V.lower, ptx::shared_address(rest + at));
    }
  }
  /// V^T with each token's column multiplied by its factor; `by` points to those of the 16 tokens. Both parts come out.
  static __device__ __forceinline__ void scale_values(values& V, bool both, const float* by, int lane) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 f = *reinterpret_cast<const float2*>(by + i / 2 * 8 + lane % 4 * 2);
      float low, high;
      detail::widen_pair<Token>(V.upper[i], low, high);
      low *= f.x, high *= f.y;
      if (has_parts<Token> && both) {
        float low_rest, high_rest;
        detail::widen_pair<Token>(V.lower[has_parts<Token> ? i : 0], low_rest, high_rest);
        low = fmaf(low_rest, f.x, low), high = fmaf(high_rest, f.y, high);
      }
      V.upper[i] = detail::round_pair<Token>(low, high);
      if constexpr (has_parts<Token>) V.lower[i] = rest_of(low, high, V.upper[i]);
    }
  }
  static __device__ __forceinline__ void apply_weights(float (&Y)[2][4], const values& V, bool both,
                                                       const Token* weights, int part, int lane) {
    const std::uint32_t rows =
        ptx::shared_address(weights + (lane / 16 * 8 + lane % 8) * weight_stride + lane / 8 % 2 * 8);
#pragma unroll
    for (int i = weight_parts - 1; i >= 0; --i) {
      std::uint32_t b[4];
      ptx::load_matrices(b, rows + i * part * int(sizeof(Token)));
      ptx::multiply_add<Token>(Y[0], V.upper, b[0], b[1]);
      ptx::multiply_add<Token>(Y[1], V.upper, b[2], b[3]);
      if constexpr (has_parts<Token>)
        if (i == 0 && both) {
          ptx::multiply_add<Token>(Y[0], V.lower, b[0], b[1]);
          ptx::multiply_add<Token>(Y[1], V.lower, b[2], b[3]);
        }
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
  template <bool KeyParts>
  static __device__ __forceinline__ void enter(slab_state& S, const values& V, bool both, const Token* k,
                                               const Token* rest, int stride, int lane) {
    const int at = (lane / 8 % 2 * 8 + lane % 8) * stride + lane / 16 * 8;
    const std::uint32_t rows = ptx::shared_address(k + at), rest_rows = KeyParts ? ptx::shared_address(rest + at) : 0;
#pragma unroll
    for (int i = 0; i < slab_keys / 16; ++i) {
      std::uint32_t b[4], b_rest[4];
      ptx::load_transposed(b, rows + i * 32);
      if constexpr (KeyParts) ptx::load_transposed(b_rest, rest_rows + i * 32);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        ptx::multiply_add<Token>(S[2 * i + n], V.upper, b[2 * n], b[2 * n + 1]);
        if constexpr (KeyParts) ptx::multiply_add<Token>(S[2 * i + n], V.upper, b_rest[2 * n], b_rest[2 * n + 1]);
        if constexpr (has_parts<Token>)
          if (both) ptx::multiply_add<Token>(S[2 * i + n], V.lower, b[2 * n], b[2 * n + 1]);
      }
    }
  }
  template <bool Parts>
  static __device__ __forceinline__ void score(float (&sums)[4], const Token* q, const Token* q_rest, bool query_parts,
                                               int q_stride, const Token* k, const Token* k_rest, bool key_parts,
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
      if (Parts && query_parts) {
        const std::uint32_t q_left_out = q_rows + std::uint32_t(q_rest - q) * int(sizeof(Token));
        std::uint32_t a_rest[4];
        ptx::load_matrices(a_rest, q_left_out);
        ptx::multiply_add<Token>(sums, a_rest, b[0], b[1]);
        ptx::load_matrices(a_rest, q_left_out + 32);
        ptx::multiply_add<Token>(odd, a_rest, next_b[0], next_b[1]);
      }
      if (Parts && key_parts) {
        const std::uint32_t k_left_out = k_rows + std::uint32_t(k_rest - k) * int(sizeof(Token));
        ptx::load_two_matrices(b, k_left_out), ptx::load_two_matrices(next_b, k_left_out + 32);
        ptx::multiply_add<Token>(sums, a, b[0], b[1]);
        ptx::multiply_add<Token>(odd, next_a, next_b[0], next_b[1]);
      }
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
  static __device__ __forceinline__ std::uint32_t rest_of(float x, float y, std::uint32_t word) {
    float low, high;
    detail::widen_pair<Token>(word, low, high);
    return detail::round_pair<Token>(x - low, y - high);
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

}  // namespace sextant::gpu::mma
