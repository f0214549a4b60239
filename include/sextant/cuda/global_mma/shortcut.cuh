// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: the weights of what a design adds to answers, per channel or of the convolution around a pixel.
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

}  // namespace sextant::gpu::pooling
