// SPDX-License-Identifier: Apache-2.0
/// @file  A forget gate that varies over keys and channels, each thread's share of it.
#pragma once

#include <cstddef>  // size_t

#include <sextant/cuda/tile/packet.cuh>
#include <sextant/cuda/tile/token.cuh>

namespace sextant::gpu::decoding {

/// A thread's share of a gate that varies over keys and channels: the numbers that themselves vary over both.
template <class Design, int Keys, int Channels> struct gates_of_both {
  static constexpr bool both = granularity<typename Design::forget_type> == per::key_channel;
  static constexpr bool raw_of_both = raw_granularity<typename Design::forget_type> == per::key_channel;
  static constexpr bool rate_of_both = rate_granularity<typename Design::forget_type> == per::key_channel;
  static constexpr std::size_t channels = Channels, raws = raw_of_both ? Keys : 1, rates = rate_of_both ? Keys : 1;
  float raw[raws][channels], rate[rates][channels];

  /// Reads those of `count` keys from k on, of the channels from v on.
  template <class Precision>
  __device__ __forceinline__ void read(const token_of<Design, Precision>& token, int k, int v, int count) {
    (void)token, (void)k, (void)v, (void)count;
    if constexpr (raw_of_both) {
#pragma unroll
      for (int p = 0; p < Keys; ++p)
#pragma unroll
        for (int j = 0; j < Channels; ++j)
          if (p < count) raw[p][j] = float(token.x.forget(token.b, token.t, token.h, k + p, v + j));
    }
    if constexpr (rate_of_both) {
      // Rates lie [H, V, K']: four keys of a channel side by side.
      const auto& a = token.x.a;
      const std::uintptr_t steps = std::uintptr_t(a.template stride<axis::value>() | a.template stride<axis::head>());
      const bool by_four = a.template stride<axis::key>() == 1 && steps % 4 == 0 && holds_packets(a.data());
      if (Keys % 4 == 0 && k % 4 == 0 && count >= Keys && by_four) {
#pragma unroll
        for (int j = 0; j < Channels; ++j)
#pragma unroll
          for (int p = 0; p + 3 < Keys; p += 4) {
            const float4 four = __ldg(reinterpret_cast<const float4*>(&a(token.h, v + j, k + p)));
            rate[p][j] = four.x, rate[p + 1][j] = four.y, rate[p + 2][j] = four.z, rate[p + 3][j] = four.w;
          }
      } else {
#pragma unroll
        for (int p = 0; p < Keys; ++p)
#pragma unroll
          for (int j = 0; j < Channels; ++j)
            if (p < count) rate[p][j] = a(token.h, v + j, k + p);
      }
    }
  }
  /// The gate of key p and channel j, from what varies per key, per channel and per head.
  __device__ __forceinline__ float value(const Design& design, int p, int j, float of_key, float of_channel,
                                         float raw_of_head, float rate_of_head) const {
    using forget_type = typename Design::forget_type;
    constexpr per r = raw_granularity<forget_type>, a = rate_granularity<forget_type>;
    const auto which = [=](per varies, float of_both, float of_head) {
      if (varies == per::key_channel) return of_both;
      return varies == per::key ? of_key : varies == per::channel ? of_channel : of_head;
    };
    return gate_value(design.forget_gate, which(r, raw[raw_of_both ? p : 0][j], raw_of_head),
                      which(a, rate[rate_of_both ? p : 0][j], rate_of_head));
  }
};

}  // namespace sextant::gpu::decoding
