// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: the rows of values around a block's pixels, in shared memory.
#pragma once

#include <sextant/cuda/global_mma/shortcut.cuh>
#include <sextant/cuda/ptx/shared_words.cuh>

namespace sextant::gpu::pooling {

/// The 3 x 3 convolution of values. The block has a window of their rows in shared memory, which moves with its rounds from the
/// last to the first: all that lies around the pixels of `stages` rounds. Rows above and below the picture are zeros there.
template <class Traits> struct value_window {
  using token = typename Traits::token;
  static constexpr int pieces = unit_channels * Traits::size / 16;

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
    copy<false>(first, wrapped(slot - (at.rounds - first) * chunk()),
                (at.rounds - first) * chunk() + 2 * int(c.grid_width) + 2);
  }
  /// Goes on to round `round`, whose window is there, and begins to copy what the one `stages` - 1 before it needs besides.
  __device__ __forceinline__ void go_to(int round) {
    slot = wrapped(slot - chunk());
    const int ahead = round - Traits::stages + 1;
    if (ahead >= 0) copy<true>(ahead, wrapped(slot - (Traits::stages - 1) * chunk()), chunk());
  }
  /// Where row `row` from the first one around the round at hand lies, in shared memory; of 16 bits, where its first piece does:
  /// piece n is at that place ^ 16 n.
  __device__ __forceinline__ std::uint32_t row(int row) const {
    const unsigned its = unsigned(slot + row);
    return placed(min(its, its - unsigned(p.window)), 0);
  }
  /// Puts zeros in the place of the numbers of some channels in the rows around the round at hand, a bit for each channel. All
  /// threads of the block; a barrier must follow.
  __device__ __forceinline__ void clear(unsigned channels) const {
    static_assert(Traits::size == 2);
    const int count = chunk() + 2 * int(c.grid_width) + 2;
    for (int i = at.warp * 32 + at.lane; i < count * unit_channels; i += p.warps() * 32)
      if ((channels >> i % unit_channels & 1) != 0)
        ptx::store_half_word((row(i / unit_channels) ^ i % unit_channels / 8 * 16) + i % 8 * 2, 0);
  }

 private:
  __device__ __forceinline__ int chunk() const { return p.chunk<Traits>(); }
  __device__ __forceinline__ int wrapped(int i) const { return i < 0 ? i + p.window : i; }

  /// Piece `piece` of a row: pieces of 16 bits change places with every second row, so that eight rows' meet in no bank and none
  /// lies across two of 64 bytes.
  __device__ __forceinline__ std::uint32_t placed(unsigned place, int piece) const {
    return rows + place * Traits::spread_bytes +
           (Traits::exact ? unsigned(piece) : unsigned(piece) ^ (place >> 1 & 3)) * 16;
  }
  /// Copies `count` rows from the first one around a round on, which lies at `from`; those of a round if One.
  template <bool One> __device__ __forceinline__ void copy(int round, int from, int count) const {
    const int thread = at.warp * 32 + at.lane, piece = thread % pieces, at_once = p.warps() * 32 / pieces;
    const int row = thread / pieces, first = at.first_token + round * chunk() - int(c.grid_width) - 1 + row;
    const bool there = piece * (16 / Traits::size) < at.channels;
    const std::byte* v =
        row_of_token(at.row_of<Traits>(c.v, at.h, at.first_channel + piece * (16 / Traits::size)), c.v.time, first);
    const index_t step = at_once * c.v.time;
    const auto copy_row = [&](int i) {
      const bool copies = there && unsigned(first + i) < unsigned(at.length);
      const unsigned its = unsigned(from + row + i), place = min(its, its - unsigned(p.window));
      const std::uint32_t to = placed(place, piece);
      ptx::copy_async_or_zeros(to, v, copies);
      if (Traits::exact && place < tile_plan::rows_again)
        ptx::copy_async_or_zeros(to + p.window * Traits::spread_bytes, v, copies);
      v += step;
    };
    if constexpr (One) {
#pragma unroll
      for (int i = 0; i < Traits::tokens / (32 / pieces); ++i) copy_row(i * at_once);
    } else
      for (int i = 0; i < count - row; i += at_once) copy_row(i);
  }
};

}  // namespace sextant::gpu::pooling
