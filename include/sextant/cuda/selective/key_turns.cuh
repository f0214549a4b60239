// SPDX-License-Identifier: Apache-2.0
/// @file  Rotary positions: the two pairs of keys that a lane maps, turned token after token.
#pragma once

#include <sextant/cuda/selective/layout.cuh>
#include <sextant/cuda/tile/rotation.cuh>

namespace sextant::gpu::lanes {

/// Turns pairs (key, key + 1) and (key + 2, key + 3) of a key head at tokens t, t + Apart, ... of rounds of 8, `Takes` of
/// them. With rotary_1d the first one's angle is exact, the others' are a turn after it, always the same.
template <class Layout, int Takes, int Apart> struct key_turns {
  static constexpr int pairs = 2;
  array<std::uint64_t, pairs> per_unit;  ///< of the coordinate
  array<float2, pairs> of_step;          ///< by which Apart tokens turn further
  array<bool, pairs> by_row;
  index_t place;  ///< of the first token in round 0: coordinate, or pixel
  unsigned width = 1;

  template <class Design, class Sequence>
  __device__ __forceinline__ key_turns(const Design& design, const Sequence& x, const block_place& at, int key, int t) {
    const index_t K = x.k.template extent<axis::key>();
    place = at.template start<Layout::reversed>() - at.origin + (Layout::reversed ? -t : t);
    if constexpr (Layout::turns_1d) place += x.first_position;
    if constexpr (Layout::turns_2d) width = unsigned(x.grid.width);
#pragma unroll
    for (int i = 0; i < pairs; ++i) {
      index_t pair = key / 2 + i, all = K / 2;
      by_row[i] = false;
      if constexpr (Layout::turns_2d) {
        all = x.k.template extent<axis::head>() * K / 4, pair += at.key_head * (K / 2);
        by_row[i] = pair < all, pair %= all;
      }
      per_unit[i] = turns_per_unit(design.position.base, double(pair), double(all));
      const std::uint64_t further = std::uint64_t(Apart) * per_unit[i];
      of_step[i] = cosine_and_sine<true>(Layout::reversed ? std::uint64_t(0) - further : further);
    }
  }
  /// The cosines and sines of both pairs at each of the lane's tokens of round r.
  __device__ __forceinline__ void angles(int r, array<array<float2, pairs>, Takes>& to) const {
    const index_t first = place + index_t(Layout::reversed ? -r : r) * Layout::round;
#pragma unroll
    for (int i = 0; i < Takes; ++i) {
      [[maybe_unused]] const unsigned pixel = unsigned(first + (Layout::reversed ? -i : i) * Apart);
      [[maybe_unused]] unsigned row = 0, column = 0;
      if constexpr (Layout::turns_2d) row = pixel / width, column = pixel - row * width;
#pragma unroll
      for (int j = 0; j < pairs; ++j) {
        if constexpr (Layout::turns_2d)
          to[i][j] = cosine_and_sine<Layout::exact>((by_row[j] ? row : column) * per_unit[j]);
        else if (i > 0) to[i][j] = turned(to[i - 1][j], of_step[j]);
        else to[i][j] = cosine_and_sine<Layout::exact>(std::uint64_t(first) * per_unit[j]);
      }
    }
  }
};

/// In place of them where the design has no positions.
struct no_turns {
  template <class... From> __device__ __forceinline__ explicit no_turns(const From&...) {}
};

}  // namespace sextant::gpu::lanes
