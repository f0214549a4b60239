// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: a warp's tiles as factors of matrix products, in 16 bits and in float.
#pragma once

#include <sextant/cuda/global_mma/feed.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::pooling {

// Rows and columns of products may stand for any keys, tokens and channels, as long as both factors agree. They are chosen so
// that a lane (g = lane / 4, r = lane % 4) has neighbours in memory:
//   S += K^T V      keys 4 g .. 4 g + 3 of tokens r, r + 4, r + 8, r + 12; sums[m][n]: rows g, g + 8 are keys 4 g + 2 m, and + 1
//   Y  = Q S        keys 8 r .. 8 r + 7 of two tokens, rows g and g + 8; Y[n]: columns 2 r, 2 r + 1 are the channels of 16-bit
//                   numbers 2 n and 2 n + 1 of piece r; of float those of pieces r and r + 4, as n goes on

/// Sums of the keys' products with values, of one lane.
using pooled = float[2][4][4];

/// The channel, among a unit's, that column `column` of Y[n] stands for.
template <class Traits> SEXTANT_FN constexpr int channel_of_answer(int n, int column) {
  return Traits::in_pairs ? 8 * n + column
         : Traits::exact  ? n / 2 * 16 + column / 2 * 4 + n % 2 * 2 + column % 2
                          : column / 2 * 8 + 2 * n + column % 2;
}

/// A number of S that a lane needs for Y: of key 8 r + key, for its column of Y[n].
template <class Traits>
__device__ __forceinline__ float number_of_state(const float* S, const warp_place& at, int key, int n) {
  return S[(8 * at.r + key) * row_stride + channel_of_answer<Traits>(n, at.g)];
}

/// Products of one warp over a tile. `Token`: bfloat16 or float16. Keys are rounded to it where they meet values; queries, cut
/// to 11 bits, meet S rounded to as many: in TF32, which has the range of a float and spares queries their conversion.
template <class Traits> struct tile_products {
  using token = typename Traits::token;
  static constexpr int at_once = 16;   ///< tokens of a tile that go into sums together
  using keys = float[4][4];            ///< [token r + 4 i from the first one on][key 4 g + j]
  using values = std::uint32_t[4][2];  ///< pairs of tokens of a channel: r and r + 4, r + 8 and r + 12

  static __device__ __forceinline__ void load_keys(keys& x, const unsigned char* tile, const warp_place& at,
                                                   int first) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint2 words =
          *reinterpret_cast<const uint2*>(tile + place_in_tile<token>(first + at.r + 4 * i, at.g / 2) + at.g % 2 * 8);
      gpu::detail::widen_pair<token>(words.x, x[i][0], x[i][1]);
      gpu::detail::widen_pair<token>(words.y, x[i][2], x[i][3]);
    }
  }
  static __device__ __forceinline__ void load_values(values& V, const unsigned char* tile, const warp_place& at,
                                                     int first) {
    const int row = first + at.lane % 8 / 2 + at.lane % 2 * 4 + at.lane / 8 % 2 * 8;
    const std::uint32_t from = ptx::shared_address(tile);
#pragma unroll
    for (int n = 0; n < 4; n += 2) {
      std::uint32_t b[4];
      ptx::load_transposed(b, from + place_of_value<Traits>(row, n + at.lane / 16));
      V[n][0] = b[0], V[n][1] = b[1], V[n + 1][0] = b[2], V[n + 1][1] = b[3];
    }
  }
  /// The channel of a lane's values number n.
  static __device__ __forceinline__ int channel_of(const warp_place& at, int n) { return 8 * n + at.g; }
  /// Each value times gate(raw number, n, which of the lane's tokens); raw numbers lie as values do.
  template <class Gate> static __device__ __forceinline__ void admit(values& V, const values& raw, const Gate& gate) {
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float v[2], x[2];
        gpu::detail::widen_pair<token>(V[n][i], v[0], v[1]);
        gpu::detail::widen_pair<token>(raw[n][i], x[0], x[1]);
        V[n][i] = gpu::detail::round_pair<token>(v[0] * gate(x[0], n, 2 * i), v[1] * gate(x[1], n, 2 * i + 1));
      }
  }
  static __device__ __forceinline__ void pool(pooled& sums, const keys& x, const values& V) {
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      std::uint32_t a[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        a[i] = gpu::detail::round_pair<token>(x[i / 2 * 2][2 * m + i % 2], x[i / 2 * 2 + 1][2 * m + i % 2]);
#pragma unroll
      for (int n = 0; n < 4; ++n) ptx::multiply_add<token>(sums[m][n], a, V[n][0], V[n][1]);
    }
  }
  /// The channel of sums[..][n][i].
  static __device__ __forceinline__ int channel_of_sum(const warp_place& at, int n, int i) {
    return 8 * n + 2 * at.r + i % 2;
  }

  /// Puts S into shared memory as lanes need it for Y: factors[s][n / 2][lane] has their numbers of keys 8 r + 2 s and + 1 for
  /// Y[n] and Y[n + 1]. By all warps; a barrier must follow.
  static __device__ __forceinline__ void store_factors(const tile_plan& p, const warp_place& at, const float* S,
                                                       uint4* to) {
    for (int i = at.warp; i < 8; i += p.warps()) {
      const auto number = [&](int key, int n) {
        return ptx::as_tf32(number_of_state<Traits>(S, at, i / 2 * 2 + key, i % 2 * 2 + n));
      };
      to[i * 32 + at.lane] = {number(0, 0), number(1, 0), number(0, 1), number(1, 1)};
    }
  }
  /// Numbers 8 r .. 8 r + 7 of a row of a tile of queries.
  static __device__ __forceinline__ void load_row(float (&x)[8], const unsigned char* tile, const warp_place& at,
                                                  int row) {
    widen(packet<token>{*reinterpret_cast<const uint4*>(tile + place_of_query<Traits>(row, at.r))}, x);
  }
  /// Of pairs of tokens' rows: what S has for them is read once.
  template <std::size_t Pairs>
  static __device__ __forceinline__ void answer(float (&Y)[Pairs][4][4], const float (&x)[Pairs][2][8],
                                                const uint4* factors) {
#pragma unroll
    for (int s = 0; s < 4; ++s)
#pragma unroll
      for (int n = 0; n < 4; n += 2) {
        const uint4 b = factors[(s * 2 + n / 2) * 32];
#pragma unroll
        for (int i = 0; i < int(Pairs); ++i) {
          const std::uint32_t a[4] = {__float_as_uint(x[i][0][2 * s]), __float_as_uint(x[i][1][2 * s]),
                                      __float_as_uint(x[i][0][2 * s + 1]), __float_as_uint(x[i][1][2 * s + 1])};
          ptx::multiply_add_tf32(Y[i][n], a, b.x, b.y);
          ptx::multiply_add_tf32(Y[i][n + 1], a, b.z, b.w);
        }
      }
  }
};

/// The same of floats, by three products in TF32 of numbers split into two: what is left out is 2^-22 of a product. The tensor
/// cores cut their sums, so that products are added outside.
template <class Traits>
requires(Traits::exact) struct tile_products<Traits> {
  using token = float;
  static constexpr int at_once = 8;
  using keys = float[2][4];    ///< [token r + 4 i from the first one on][key 4 g + j]
  using values = float[2][4];  ///< the same tokens, [channel 4 g + n]

  static __device__ __forceinline__ void load_keys(keys& x, const unsigned char* tile, const warp_place& at,
                                                   int first) {
#pragma unroll
    for (int i = 0; i < 2; ++i) load_four(x[i], tile + place_in_tile<token>(first + at.r + 4 * i, at.g));
  }
  static __device__ __forceinline__ void load_values(values& V, const unsigned char* tile, const warp_place& at,
                                                     int first) {
#pragma unroll
    for (int i = 0; i < 2; ++i) load_four(V[i], tile + place_of_value<Traits>(first + at.r + 4 * i, at.g));
  }
  static __device__ __forceinline__ int channel_of(const warp_place& at, int n) { return 4 * at.g + n; }
  template <class Gate> static __device__ __forceinline__ void admit(values& V, const values& raw, const Gate& gate) {
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int n = 0; n < 4; ++n) V[i][n] *= gate(raw[i][n], n, i);
  }
  static __device__ __forceinline__ void pool(pooled& sums, const keys& x, const values& V) {
    split_four a[2];
#pragma unroll
    for (int i = 0; i < 8; ++i) a[i / 4].split(i % 4, x[i % 4 / 2][2 * (i / 4) + i % 2]);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const uint4 b = split_two(V[0][n], V[1][n]);
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        float added[4] = {};
        multiply(added, a[m], b);
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[m][n][i] += added[i];
      }
    }
  }
  static __device__ __forceinline__ int channel_of_sum(const warp_place& at, int n, int i) {
    return 8 * at.r + 4 * (i % 2) + n;
  }

  /// factors[s][n][lane]: two keys' numbers for Y[n], in two parts.
  static __device__ __forceinline__ void store_factors(const tile_plan& p, const warp_place& at, const float* S,
                                                       uint4* to) {
    for (int i = at.warp; i < 16; i += p.warps()) {
      const int s = i / 4, n = i % 4;
      to[i * 32 + at.lane] =
          split_two(number_of_state<Traits>(S, at, 2 * s, n), number_of_state<Traits>(S, at, 2 * s + 1, n));
    }
  }
  static __device__ __forceinline__ void load_row(float (&x)[8], const unsigned char* tile, const warp_place& at,
                                                  int row) {
    float low[4], high[4];
    load_four(low, tile + place_of_query<Traits>(row, 2 * at.r));
    load_four(high, tile + place_of_query<Traits>(row, 2 * at.r + 1));
#pragma unroll
    for (int j = 0; j < 4; ++j) x[j] = low[j], x[4 + j] = high[j];
  }
  template <std::size_t Pairs>
  static __device__ __forceinline__ void answer(float (&Y)[Pairs][4][4], const float (&x)[Pairs][2][8],
                                                const uint4* factors) {
#pragma unroll
    for (int pair = 0; pair < int(Pairs); ++pair)
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        split_four a;
#pragma unroll
        for (int i = 0; i < 4; ++i) a.split(i, x[pair][i % 2][2 * s + i / 2]);
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          float added[4] = {};
          multiply(added, a, factors[(s * 4 + n) * 32]);
#pragma unroll
          for (int i = 0; i < 4; ++i) Y[pair][n][i] += added[i];
        }
      }
  }

 private:
  struct split_four {
    std::uint32_t upper[4], lower[4];
    __device__ __forceinline__ void split(int i, float x) {
      upper[i] = ptx::as_tf32(x);
      lower[i] = ptx::as_tf32(x - __uint_as_float(upper[i]));
    }
  };
  /// The upper parts of two numbers, then the lower ones.
  static __device__ __forceinline__ uint4 split_two(float x, float y) {
    const std::uint32_t a = ptx::as_tf32(x), b = ptx::as_tf32(y);
    return {a, b, ptx::as_tf32(x - __uint_as_float(a)), ptx::as_tf32(y - __uint_as_float(b))};
  }
  static __device__ __forceinline__ void multiply(float (&sums)[4], const split_four& a, const uint4& b) {
    ptx::multiply_add_tf32(sums, a.lower, b.x, b.y);
    ptx::multiply_add_tf32(sums, a.upper, b.z, b.w);
    ptx::multiply_add_tf32(sums, a.upper, b.x, b.y);
  }
  static __device__ __forceinline__ void load_four(float (&x)[4], const unsigned char* from) {
    const float4 four = *reinterpret_cast<const float4*>(from);
    x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
  }
};

}  // namespace sextant::gpu::pooling
