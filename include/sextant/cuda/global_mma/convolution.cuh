// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: the 3 x 3 convolution of values, in 16 bits by the tensor cores, in float by multiply-adds.
#pragma once

#include <sextant/cuda/global_mma/products.cuh>
#include <sextant/cuda/global_mma/window.cuh>
#include <sextant/cuda/ptx/shared_words.cuh>

namespace sextant::gpu::pooling {

/// Adds the convolution to the answers of a warp's tile, of which a lane has tokens g, g + 8, g + 16 and g + 24 and channels 8 n +
/// 2 r and + 1. By products with diagonal matrices: rows of the first factor are pixels' neighbours, 8 channels of one tap and the
/// same channels of another one; the second factor has both taps' weights in its diagonals, rounded once. Of the four pairs of
/// taps the first three are the left and the right one of a row, whose pixel may lie beyond the picture; then the middle ones of
/// the upper and the lower row. The pixel itself is alone.
template <class Traits> struct convolution {
  using token = typename Traits::token;
  using answers = float[2][4][4];
  static constexpr int pairs = 5;

  /// What the convolution knows of all channels: a bit for each whose values are not all finite, and the weights' scale.
  struct knowledge {
    unsigned spoiled;
    float scale;
  };
  /// The channels whose values are not all finite: then no key's sum is. A product with a diagonal matrix would carry a NaN to
  /// other channels, and the answers of its own are no numbers for any token.
  static __device__ __forceinline__ unsigned spoiled_channels(const float* S, const warp_place& at) {
    return __ballot_sync(~0u, !isfinite(S[at.lane]));
  }
  static __device__ __forceinline__ knowledge known(const unsigned char* factors_at) {
    return *reinterpret_cast<const knowledge*>(factors_at + Traits::known_at);
  }
  /// The power of two that weights are multiplied by: half precision has neither large ones nor small ones. By whole warps.
  static __device__ __forceinline__ float scale_of(const float* weights, const warp_place& at) {
    if constexpr (std::is_same_v<token, bfloat16>) return 1.0f;
    float most = 0.0f;
    for (int i = 0; i < taps; ++i) most = fmaxf(most, fabsf(weights[(1 + i) * unit_channels + at.lane]));
    most = __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(most)));
    // 2^-e of 2^e <= most < 2^(e + 1), which leaves room for a rounding upwards
    const unsigned exponent = min(max(__float_as_uint(most) >> 23, 1u), 253u);
    return __uint_as_float(254u - exponent << 23);
  }
  /// Makes factors of the weights: factors[pair][n][g] are the two that lane (g, g / 2) has; and zeros.
  static __device__ __forceinline__ void store_factors(const device_call<float>& c, const tile_plan& p,
                                                       const warp_place& at, const float* weights, unsigned spoiled,
                                                       unsigned char* to) {
    const int thread = at.warp * 32 + at.lane, threads = p.warps() * 32;
    const bool in_row = taps_in_row<Traits>(c, at);
    const float scale = scale_of(weights, at);
    if (thread < Traits::row_bytes / 16) reinterpret_cast<uint4*>(to + Traits::zeros_at)[thread] = {0, 0, 0, 0};
    if (thread == 0) *reinterpret_cast<knowledge*>(to + Traits::known_at) = {spoiled, scale};
    for (int i = thread; i < pairs * unit_channels; i += threads) {
      const int pair = i / unit_channels, channel = i % unit_channels;
      const auto weight = [&](int tap) {
        return scale * weights[unit_channels + (in_row ? channel * taps + tap : tap * unit_channels + channel)];
      };
      const auto placed = [&](token x) {
        return channel % 2 == 0 ? std::uint32_t(x.bits) : std::uint32_t(x.bits) << 16;
      };
      const float first = weight(pair < 3 ? 3 * pair : pair == 3 ? 1 : 4), second = weight(pair < 3 ? 3 * pair + 2 : 7);
      reinterpret_cast<uint2*>(to)[i] = {placed(ptx::as_stored<token>(first)), placed(ptx::as_stored<token>(second))};
    }
  }
  /// `t`: the tile's first token.
  static __device__ __forceinline__ void add(answers& Y, const value_window<Traits, false>& window,
                                             const warp_place& at, int t, const unsigned char* factors_at) {
    static_assert(Traits::tokens == 32);
    const std::uint32_t factors = ptx::shared_address(factors_at), its_factors = factors + at.g * 8;
    const int width = int(window.c.grid_width), pixel = at.lane % 16;
    const bool second = at.lane >= 16, has_factors = at.r == at.g / 2;
    const int first_row = at.warp * Traits::tokens + pixel;
    bool outside[2];
#pragma unroll
    for (int half = 0; half < 2; ++half)
      outside[half] = pixel_of(t + 16 * half + pixel, width, window.p.width_inverse).column == (second ? width - 1 : 0);
    uint2 w[2] = {};  // of lanes without factors they stay zeros
#pragma unroll
    for (int pair = 0; pair < pairs - 1; ++pair) {
      const int behind = pair < 3 ? pair * width + (second ? 2 : 0) : (second ? 2 * width : 0) + 1;
      std::uint32_t from[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        from[half] = window.row(first_row + 16 * half + behind);
        if (pair < 3 && outside[half]) from[half] = factors + Traits::zeros_at;
      }
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        uint2& its = w[n % 2];
        ptx::load_words_if(its, its_factors + (pair * 4 + n) * 64, has_factors);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          std::uint32_t a[4];
          ptx::load_matrices(a, from[half] ^ 16 * n);
          ptx::multiply_add<token>(Y[half][n], a, its.x, its.y);
        }
      }
    }
    const std::uint32_t from = window.row(first_row + (second ? 16 : 0) + width + 1);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      uint2& its = w[n % 2];
      ptx::load_words_if(its, its_factors + ((pairs - 1) * 4 + n) * 64, has_factors);
      std::uint32_t a[4];
      ptx::load_matrices(a, from ^ 16 * n);
#pragma unroll
      for (int half = 0; half < 2; ++half)
        ptx::multiply_add_few<token>(Y[half][n], a[2 * half], a[2 * half + 1], its.x);
    }
  }
  /// The same of a tile of 16 pixels and those below them: of four rows of the picture the middle ones are neighbours of both. A
  /// lane has pixels g and g + 8 of either.
  static __device__ __forceinline__ void add(answers& Y, const value_window<Traits, true>& window, const warp_place& at,
                                             const tile_tokens<true>& tokens, int round,
                                             const unsigned char* factors_at) {
    const std::uint32_t factors = ptx::shared_address(factors_at), its_factors = factors + at.g * 8;
    const bool second = at.lane >= 16, has_factors = at.r == at.g / 2;
    const upper_pixel its = tokens.upper(at.lane % 16);
    const bool outside = its.where.column == (second ? tokens.width - 1 : 0);
    const int above = its.token - tokens.width - 1 - window.first_around(round);  // the row of its upper left neighbour
    std::uint32_t beside[4], middle[2];  // left and right neighbours by row; the middle ones of two rows
#pragma unroll
    for (int row = 0; row < 4; ++row)
      beside[row] = outside ? factors + Traits::zeros_at : window.row(above + row * tokens.width + (second ? 2 : 0));
#pragma unroll
    for (int i = 0; i < 2; ++i) middle[i] = window.row(above + (2 * i + (second ? 1 : 0)) * tokens.width + 1);
    uint2 w[2] = {};  // of lanes without factors they stay zeros
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const auto load_weights = [&](uint2& to, int pair) {
        ptx::load_words_if(to, its_factors + (pair * 4 + n) * 64, has_factors);
      };
      const auto add_taps = [&](int half, const std::uint32_t(&a)[4], const uint2& by) {
        ptx::multiply_add<token>(Y[half][n], a, by.x, by.y);
      };
#pragma unroll
      for (int row = 0; row < 4; ++row) {
        std::uint32_t a[4];
        ptx::load_matrices(a, beside[row] ^ 16 * n);
        if (row < 3) load_weights(w[row % 2], row), add_taps(0, a, w[row % 2]);
        if (row > 0) add_taps(1, a, w[(row + 1) % 2]);
      }
      std::uint32_t upper[4], lower[4];
      ptx::load_matrices(upper, middle[0] ^ 16 * n);
      ptx::load_matrices(lower, middle[1] ^ 16 * n);
      load_weights(w[0], 3), load_weights(w[1], 4);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        add_taps(half, {upper[2 * half], upper[2 * half + 1], lower[2 * half], lower[2 * half + 1]}, w[0]);
        const std::uint32_t(&own)[4] = half == 0 ? upper : lower;
        ptx::multiply_add_few<token>(Y[half][n], own[2 - 2 * half], own[3 - 2 * half], w[1].x);
      }
    }
  }
};

/// The same of floats, of tokens 4 g .. 4 g + 3 and channels of pieces r and r + 4: Y[i] are those of 4 g + i and 4 g + i + 2. A
/// lane has six values in a row for four pixels.
template <class Traits>
requires(Traits::exact) struct convolution<Traits> {
  using answers = float[2][4][4];

  static __device__ __forceinline__ unsigned spoiled_channels(const float*, const warp_place&) { return 0; }
  static __device__ __forceinline__ void store_factors(const device_call<float>&, const tile_plan&,
                                                       const warp_place& at, const float*, unsigned,
                                                       unsigned char* to) {
    const int thread = at.warp * 32 + at.lane;
    if (thread < Traits::row_bytes / 16) reinterpret_cast<uint4*>(to + Traits::zeros_at)[thread] = {0, 0, 0, 0};
  }
  static __device__ __forceinline__ void add(answers& Y, const value_window<Traits, false>& window,
                                             const warp_place& at, int t, const unsigned char* zeros_at,
                                             const float* weights) {
    // Where rows of the picture are no whole fours, any of a lane's pixels may be the first or last of one.
    if (window.c.grid_width % 4 == 0) add_rows<true>(Y, window, at, t, zeros_at, weights);
    else add_rows<false>(Y, window, at, t, zeros_at, weights);
  }

 private:
  template <bool Aligned>
  static __device__ __forceinline__ void add_rows(answers& Y, const value_window<Traits, false>& window,
                                                  const warp_place& at, int t, const unsigned char* zeros_at,
                                                  const float* weights) {
    const int width = int(window.c.grid_width), first = t + 4 * at.g;
    const auto column = [&](int i) { return pixel_of(first + i, width, window.p.width_inverse).column; };
    const std::uint32_t zeros = ptx::shared_address(zeros_at) + Traits::zeros_at + at.r * 16;
#pragma unroll 1
    for (int dy = 0; dy < 3; ++dy) {
      const std::uint32_t from = window.row(at.warp * Traits::tokens + 4 * at.g + dy * width) + at.r * 16;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const auto pixel_at = [&](int j, bool outside) {
          return ptx::load_four_words((outside ? zeros : from + j * Traits::spread_bytes) + 64 * half);
        };
        uint4 x[6];
        if constexpr (Aligned) {
#pragma unroll
          for (int j = 0; j < 6; ++j)
            x[j] = pixel_at(j, (j == 0 && column(0) == 0) || (j == 5 && column(3) == width - 1));
        }
#pragma unroll
        for (int dx = 0; dx < 3; ++dx) {
          uint4 its[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            if constexpr (Aligned) its[i] = x[i + dx];
            else its[i] = pixel_at(i + dx, (dx == 0 && column(i) == 0) || (dx == 2 && column(i) == width - 1));
          }
          const int tap = 3 * dy + dx;
          add_tap(
              Y, half, its,
              ptx::load_four_words(ptx::shared_address(weights + (1 + tap) * unit_channels + 16 * half + 4 * at.r)));
        }
      }
    }
  }
  /// For the channels of one of the lane's two pieces.
  static __device__ __forceinline__ void add_tap(answers& Y, int half, const uint4 (&its)[4], const uint4& w) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float(&low)[4] = Y[i % 2][2 * half];
      float(&high)[4] = Y[i % 2][2 * half + 1];
      const int e = i / 2 * 2;
      low[e] = fmaf(__uint_as_float(its[i].x), __uint_as_float(w.x), low[e]);
      low[e + 1] = fmaf(__uint_as_float(its[i].y), __uint_as_float(w.y), low[e + 1]);
      high[e] = fmaf(__uint_as_float(its[i].z), __uint_as_float(w.z), high[e]);
      high[e + 1] = fmaf(__uint_as_float(its[i].w), __uint_as_float(w.w), high[e + 1]);
    }
  }
};

}  // namespace sextant::gpu::pooling
