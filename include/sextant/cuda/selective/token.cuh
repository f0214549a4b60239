// SPDX-License-Identifier: Apache-2.0
/// @file  One token of the recurrence for the 8 channels of a warp, their states in registers: by small matrix products
/// where tokens have 16 bits, by multiply-adds of float where they have 32.
#pragma once

#include <sextant/cuda/ptx/mma.cuh>
#include <sextant/cuda/selective/gates.cuh>

namespace sextant::gpu::lanes {

/// The states of a warp's 8 channels: lane 4 g + q holds those of channel g and keys 16 u + 4 q .. 16 u + 4 q + 3, u < K / 16,
/// in an order that is the arithmetic's.
template <class Layout> struct warp_states {
  static constexpr int tiles = Layout::keys / 16;
  static constexpr decay_kind decay = Layout::decay;
  float S[tiles][4], rate[tiles][4];  ///< rate: of the forget gate, or its value where it reads no token

  /// F of a token from the number that the forget gate reads of it, or that it is.
  template <class Gate> __device__ __forceinline__ void decays(const Gate& gate, float number, float (&F)[tiles][4], int t) const {
    const forget_of_design<Layout> forget{gate};
#pragma unroll
    for (int u = 0; u < tiles; ++u)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool by_polynomial = Layout::polynomial_every > 0 && ((t * tiles + u) * 4 + i) % Layout::polynomial_every == 0;
        if constexpr (decay == decay_kind::state) F[u][i] = forget(number, rate[u][i], by_polynomial);
        else if constexpr (decay == decay_kind::fixed) F[u][i] = rate[u][i];
        else F[u][i] = number;
      }
  }
};

/// By products in tf32. A tile of 16 keys is the accumulator [16 x 8] of one: rows g and g + 8 are channel g with the even
/// and the odd keys, columns are pairs of keys.
///   S <- F (.) S            in floats
///   S <- S + w k            one product with 4 columns: w = I v as the sum of two tf32 (21 bits) for even and for odd keys
///   y <- S q                two products, of the first 10 bits of S's mantissas
/// so that a state costs two multiplications, an exponential and three quarters of a product, and nothing is summed over
/// lanes. S itself is float all along. The products for y have rows for 8 tokens' q, of which row t is kept.
template <class Layout> struct by_products {
  static constexpr int tiles = Layout::keys / 16, entry = 4;
  static constexpr int pack = 2, finished = 1;  ///< a lane finishes 2 channels of one token
  static_assert(Layout::round == 8);

  const int g, q;
  const unsigned even, odd;  ///< which keys this lane's column of A is for, as masks
  float rows[tiles][4];          ///< phi(q) of token g
  struct operands {
    float w, number, k[tiles];
  };

  __device__ __forceinline__ explicit by_products(int lane)
      : g{lane / 4}, q{lane % 4}, even{q % 2 == 0 ? ~0u : 0u}, odd{q % 2 == 1 ? ~0u : 0u} {}

  static __device__ __forceinline__ void write(float* table, float w, float number) {
    const float high = ptx::cut_to_tf32(w);
    store_together(table, together<float, 4>{{high, number, w - high, number}});
  }
  __device__ __forceinline__ void begin_round(const float* of_round) {
#pragma unroll
    for (int u = 0; u < tiles; ++u) {
      const auto row = load_together<4>(of_round + g * Layout::row + Layout::keys + 16 * u + 4 * q);
#pragma unroll
      for (int i = 0; i < 4; ++i) rows[u][i] = row.at[i];
    }
  }
  __device__ __forceinline__ void load(const float* table, const float* of_round, int t, operands& o) const {
    const auto both = load_together<2>(table + (t * Layout::warp_channels + g) * entry + q / 2 * 2);
    o.w = both.at[0], o.number = both.at[1];
#pragma unroll
    for (int u = 0; u < tiles; ++u) o.k[u] = of_round[t * Layout::row + 16 * u + 2 * g + q % 2];
  }
  __device__ __forceinline__ void update(float (&S)[tiles][4], const float (&F)[tiles][4], const operands& o, int t,
                                         float (&y)[2]) const {
    const float of_even = __uint_as_float(__float_as_uint(o.w) & even), of_odd = __uint_as_float(__float_as_uint(o.w) & odd);
    float sums[2][4];  // rows 0 .. 7 of the even keys', 8 .. 15 of the odd keys' are what they should be
#pragma unroll
    for (int u = 0; u < tiles; ++u) {
#pragma unroll
      for (int i = 0; i < 4; ++i) S[u][i] *= F[u][i];
      ptx::multiply_16x8x4(S[u], of_even, of_odd, o.k[u]);
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if (u == 0) ptx::multiply_16x8x8_anew(sums[half], rows[u], S[u][2 * half], S[u][2 * half + 1]);
        else ptx::multiply_16x8x8(sums[half], rows[u], S[u][2 * half], S[u][2 * half + 1]);
    }
    if (g == t) y[0] = sums[0][0] + sums[1][2], y[1] = sums[0][1] + sums[1][3];
  }
  __device__ __forceinline__ void end_token(int, float (&)[2]) const {}
  /// The key of state i of a tile.
  __device__ __forceinline__ int key_of(int i) const { return 4 * q + i % 2 * 2 + i / 2; }
  /// The channel of the warp and the token of this lane's y number i.
  __device__ __forceinline__ int channel() const { return 2 * q; }
  __device__ __forceinline__ int token_of(int) const { return g; }
};

/// By multiply-adds: S <- F S + k w, y = q S, 4 keys to a lane; the 4 lanes of a channel add up 4 tokens' y at a time.
template <class Layout> struct by_multiply_adds {
  static constexpr int tiles = Layout::keys / 16, entry = 2;
  static constexpr int pack = 1, finished = Layout::round / 4;  ///< a lane finishes 1 channel of 2 tokens

  const int g, q;
  float part[4];  ///< of 4 tokens, from this lane's keys
  struct operands {
    float w, number, k[tiles][4], q[tiles][4];
  };

  __device__ __forceinline__ explicit by_multiply_adds(int lane) : g{lane / 4}, q{lane % 4} {}

  static __device__ __forceinline__ void write(float* table, float w, float number) {
    store_together(table, together<float, 2>{{w, number}});
  }
  __device__ __forceinline__ void begin_round(const float*) {}
  __device__ __forceinline__ void load(const float* table, const float* of_round, int t, operands& o) const {
    const auto both = load_together<2>(table + (t * Layout::warp_channels + g) * entry);
    o.w = both.at[0], o.number = both.at[1];
#pragma unroll
    for (int u = 0; u < tiles; ++u) {
      const auto k = load_together<4>(of_round + t * Layout::row + 16 * u + 4 * q);
      const auto of_q = load_together<4>(of_round + t * Layout::row + Layout::keys + 16 * u + 4 * q);
#pragma unroll
      for (int i = 0; i < 4; ++i) o.k[u][i] = k.at[i], o.q[u][i] = of_q.at[i];
    }
  }
  __device__ __forceinline__ void update(float (&S)[tiles][4], const float (&F)[tiles][4], const operands& o, int t,
                                         float (&)[finished]) {
    float sum = 0;
#pragma unroll
    for (int u = 0; u < tiles; ++u)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        S[u][i] = fmaf(F[u][i], S[u][i], o.k[u][i] * o.w);
        sum = u + i == 0 ? S[u][i] * o.q[u][i] : fmaf(S[u][i], o.q[u][i], sum);
      }
    part[t % 4] = sum;
  }
  __device__ __forceinline__ void end_token(int t, float (&y)[finished]) const {
    if (t % 4 == 3) y[t / 4] = sum_over_lanes();
  }
  __device__ __forceinline__ int key_of(int i) const { return 4 * q + i; }
  __device__ __forceinline__ int channel() const { return g; }
  __device__ __forceinline__ int token_of(int i) const { return 4 * i + q; }

 private:
  /// Sums of 4 tokens over the lanes of a channel: lane q is left with token q's.
  __device__ __forceinline__ float sum_over_lanes() const {
    const bool upper = (q & 2) != 0, odd = (q & 1) != 0;
    const float a = (upper ? part[2] : part[0]) + __shfl_xor_sync(~0u, upper ? part[0] : part[2], 2);
    const float b = (upper ? part[3] : part[1]) + __shfl_xor_sync(~0u, upper ? part[1] : part[3], 2);
    return (odd ? b : a) + __shfl_xor_sync(~0u, odd ? a : b, 1);
  }
};

}  // namespace sextant::gpu::lanes
