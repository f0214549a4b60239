// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: what a design adds to answers, a weight per channel or the convolution around a pixel.
#pragma once

#include <sextant/cuda/global_mma/products.cuh>

namespace sextant::gpu::pooling {

/// Whether a unit's taps lie in a row, 9 of each channel, at a multiple of 16 bytes: then they are copied as they are.
template <class Traits> __device__ __forceinline__ bool taps_in_row(const device_call<float>& c, const warp_place& at) {
  if (!Traits::local || Traits::exact || at.channels < unit_channels) return false;
  const std::byte* const first = c.lepe.at(0, 0, at.h) + at.first_channel * c.lepe.value;
  return c.lepe.value == taps * 4 && c.lepe_row == 12 && c.lepe_column == 4 &&
         reinterpret_cast<std::uintptr_t>(first) % 16 == 0;
}

/// Begins to copy a unit's weights: of each channel d, or the convolution's bias, and behind those of all channels each tap's, or
/// the taps in a row.
template <class Traits>
__device__ __forceinline__ void send_weights(const device_call<float>& c, const tile_plan& p, const warp_place& at,
                                             float* to) {
  const tensor<float>& first = Traits::learned ? c.d : c.lepe_bias;
  const int thread = at.warp * 32 + at.lane, threads = p.warps() * 32;
  const bool in_row = taps_in_row<Traits>(c, at);
  for (int i = thread; i < (in_row ? 1 : Traits::weights) * unit_channels; i += threads) {
    const int channel = i % unit_channels, tap = i / unit_channels - 1;
    const tensor<float>& x = tap < 0 ? first : c.lepe;
    if (!x || channel >= at.channels) to[i] = 0.0f;
    else
      ptx::copy_async<4>(ptx::shared_address(to + i),
                         x.at(0, 0, at.h) + (at.first_channel + channel) * x.value +
                             (tap < 0 ? 0 : tap / 3 * c.lepe_row + tap % 3 * c.lepe_column));
  }
  if (in_row)
    for (int i = thread; i < taps * unit_channels / 4; i += threads)
      ptx::copy_async<16>(ptx::shared_address(to + unit_channels + 4 * i),
                          c.lepe.at(0, 0, at.h) + at.first_channel * c.lepe.value + 16 * i);
}

/// Makes factors of the weights: of 16 bits taps[tap][n / 2][g] are what lane (g, g / 2) has of the diagonal matrices for Y[n] and
/// Y[n + 1], a weight of its column in TF32 beside a zero. And zeros for the other lanes, and for pixels outside.
template <class Traits>
__device__ __forceinline__ void store_taps(const device_call<float>& c, const tile_plan& p, const warp_place& at,
                                           const float* weights, unsigned char* taps_at) {
  const int thread = at.warp * 32 + at.lane, threads = p.warps() * 32;
  for (int i = thread; i < (Traits::taps_and_zeros - Traits::zeros_at) / 16; i += threads)
    reinterpret_cast<uint4*>(taps_at + Traits::zeros_at)[i] = {0, 0, 0, 0};
  if constexpr (!Traits::exact) {
    const bool in_row = taps_in_row<Traits>(c, at);
    for (int i = thread; i < taps * unit_channels; i += threads) {
      const int tap = i / unit_channels, g = i % unit_channels / 4, n = i % 4;
      const int channel = channel_of_answer<typename Traits::token>(n, g);
      const std::uint32_t w =
          ptx::as_tf32(weights[unit_channels + (in_row ? channel * taps + tap : tap * unit_channels + channel)]);
      reinterpret_cast<uint2*>(taps_at)[((tap * 2 + n / 2) * 8 + g) * 2 + n % 2] = {g % 2 == 0 ? w : 0,
                                                                                    g % 2 == 0 ? 0 : w};
    }
  }
}

/// The 3 x 3 convolution of values. The block has a window of their rows in shared memory, which moves with its rounds from the
/// last to the first: all that lies around the pixels of `stages` rounds. Rows above and below the picture are zeros there.
template <class Traits> struct value_window {
  using token = typename Traits::token;
  static constexpr int pieces = unit_channels * Traits::size / 16;
  using four_answers = float[2][4][4];  ///< of tokens 4 g .. 4 g + 3 of the warp's tile: [i] of 4 g + i and 4 g + i + 2

  const device_call<float>& c;
  const tile_plan& p;
  const warp_place& at;
  std::uint32_t rows;  ///< in shared memory: token u at (u - first) mod `window`
  int slot;            ///< of the first row around the round at hand

  __device__ __forceinline__ value_window(const device_call<float>& call, const tile_plan& plan,
                                          const warp_place& place, unsigned char* shared)
      : c{call}, p{plan}, at{place}, rows{ptx::shared_address(shared + plan.values)} {
    slot = at.rounds * chunk() % p.window;
  }
  /// Begins to copy what lies around the last rounds, and makes the one behind the last that at hand.
  __device__ __forceinline__ void begin() const {
    const int first = max(at.rounds - Traits::stages + 1, 0);
    copy(first, wrapped(slot - (at.rounds - first) * chunk()),
         (at.rounds - first) * chunk() + 2 * int(c.grid_width) + 2);
  }
  /// Goes on to round `round`, whose window is there, and begins to copy what the one `stages` - 1 before it needs besides.
  __device__ __forceinline__ void go_to(int round) {
    slot = wrapped(slot - chunk());
    const int ahead = round - Traits::stages + 1;
    if (ahead >= 0) copy(ahead, wrapped(slot - (Traits::stages - 1) * chunk()), chunk());
  }
  /// Adds the convolution to the answers of the warp's tile, which begins with token t. Where rows of the picture are no whole
  /// fours, any of a lane's pixels may be the first or last of one.
  __device__ __forceinline__ void add(four_answers& Y, int t, const float* weights,
                                      const unsigned char* taps_at) const {
    if (c.grid_width % 4 == 0) add_rows<true>(Y, t, weights, taps_at);
    else add_rows<false>(Y, t, weights, taps_at);
  }

 private:
  __device__ __forceinline__ int chunk() const { return p.chunk<Traits>(); }
  __device__ __forceinline__ int wrapped(int i) const { return i < 0 ? i + p.window : i; }

  /// Copies `count` rows from the first one around a round on, which lies at `from`.
  __device__ __forceinline__ void copy(int round, int from, int count) const {
    const int thread = at.warp * 32 + at.lane, piece = thread % pieces, at_once = p.warps() * 32 / pieces;
    const int first = at.first_token + round * chunk() - int(c.grid_width) - 1;
    const bool there = piece * (16 / Traits::size) < at.channels;
    const std::byte* const v = at.row_of<Traits>(c.v, at.h, at.first_channel + piece * (16 / Traits::size));
    for (int i = thread / pieces; i < count; i += at_once) {
      const int t = first + i;
      const bool copies = there && t >= 0 && t < at.length;
      const unsigned its = unsigned(from + i), place = min(its, its - unsigned(p.window));
      const std::uint32_t to = rows + place * Traits::spread_bytes + piece * 16;
      const std::byte* const row = row_of_token(v, c.v.time, copies ? t : 0);
      ptx::copy_async_or_zeros(to, row, copies);
      if (place < tile_plan::rows_again) ptx::copy_async_or_zeros(to + p.window * Traits::spread_bytes, row, copies);
    }
  }
  template <bool Aligned>
  __device__ __forceinline__ void add_rows(four_answers& Y, int t, const float* weights,
                                           const unsigned char* taps_at) const {
    const int width = int(c.grid_width), first = t + 4 * at.g;
    const auto column = [&](int i) { return pixel_of(first + i, width, p.width_inverse).column; };
    const std::uint32_t factors = ptx::shared_address(taps_at), zeros = factors + Traits::zeros_at + at.r * 16;
    // Lanes without a number in the diagonal read zeros instead, always the same ones.
    const bool in_diagonal = at.r == at.g / 2;
    const std::uint32_t own_factors = in_diagonal ? factors + at.g * 16 : factors + Traits::zeros_at,
                        step = in_diagonal ? 128 : 0;
#pragma unroll 1
    for (int dy = 0; dy < 3; ++dy) {
      const unsigned behind = unsigned(slot + at.warp * Traits::tokens + 4 * at.g + dy * width);
      const std::uint32_t from = rows + min(behind, behind - unsigned(p.window)) * Traits::spread_bytes + at.r * 16;
#pragma unroll
      for (int half = 0; half < (Traits::exact ? 2 : 1); ++half) {
        const auto pixel_at = [&](int j, bool outside) {
          return load((outside ? zeros : from + j * Traits::spread_bytes) + 64 * half);
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
          if constexpr (Traits::exact)
            add_tap(Y, half, its,
                    load(ptx::shared_address(weights + (1 + tap) * unit_channels + 16 * half + 4 * at.r)));
          else multiply_tap(Y, its, own_factors + 2 * tap * step, step);
        }
      }
    }
  }
  static __device__ __forceinline__ uint4 load(std::uint32_t from) {
    uint4 x;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w) : "r"(from));
    return x;
  }
  /// By products with diagonal matrices in TF32, in which values of 16 bits are exact; rows g and g + 8 of the first factor are
  /// two pixels' neighbours, its columns the lower channels of the lanes' words and then the upper ones.
  static __device__ __forceinline__ void multiply_tap(four_answers& Y, const uint4 (&its)[4], std::uint32_t factors,
                                                      std::uint32_t step) {
#pragma unroll
    for (int n = 0; n < 4; n += 2) {
      const uint4 w = load(factors + n / 2 * step);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint4 &low = its[i], &high = its[i + 2];
        multiply_pair(Y[i][n], n == 0 ? low.x : low.z, n == 0 ? high.x : high.z, w.x, w.y);
        multiply_pair(Y[i][n + 1], n == 0 ? low.y : low.w, n == 0 ? high.y : high.w, w.z, w.w);
      }
    }
  }
  static __device__ __forceinline__ void multiply_pair(float (&Y)[4], std::uint32_t low, std::uint32_t high,
                                                       std::uint32_t w0, std::uint32_t w1) {
    float x[4];
    gpu::detail::widen_pair<token>(low, x[0], x[2]);
    gpu::detail::widen_pair<token>(high, x[1], x[3]);
    const std::uint32_t a[4] = {__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]),
                                __float_as_uint(x[3])};
    ptx::multiply_add_tf32(Y, a, w0, w1);
  }
  /// By multiply-adds, for the channels of one of the lane's two pieces.
  static __device__ __forceinline__ void add_tap(four_answers& Y, int half, const uint4 (&its)[4], const uint4& w) {
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
