// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: the rows of values around a block's pixels, in shared memory.
#pragma once

#include <sextant/cuda/global_mma/shortcut.cuh>
#include <sextant/cuda/ptx/shared_words.cuh>

namespace sextant::gpu::pooling {

/// The 3 x 3 convolution of values. The block has a window of their rows in shared memory, to which the first pass brings them.
/// Where all of them and the rows around them fit, they stay; else the last ones do, and the window moves with the rounds of the
/// second pass from the last to the first. Rows above and below the picture are zeros there. Tiles of two rows: a round's
/// begin and end up to a row of the picture before and behind those of as many tokens in a row.
template <class Traits, bool TwoRows> struct value_window {
  using token = typename Traits::token;
  static constexpr int pieces = unit_channels * Traits::size / 16;

  const device_call<float>& c;
  const tile_plan& p;
  const warp_place& at;
  std::uint32_t rows;  ///< in shared memory: the block's token u at u mod `window`
  int slot;            ///< of the first row around the round at hand
  int kept;            ///< the first row that is there when the first pass has ended

  __device__ __forceinline__ value_window(const device_call<float>& call, const tile_plan& plan,
                                          const warp_place& place, unsigned char* shared)
      : c{call}, p{plan}, at{place}, rows{ptx::shared_address(shared + plan.values)} {
    slot = wrapped(first_around(at.rounds - 1) % p.window) + chunk();
    kept = max(end() - p.window, 0);
    if (end() + before() <= p.window) kept = first_around(0);
  }
  /// Whether there are more rows than fit.
  __device__ __forceinline__ bool moves() const { return kept != first_around(0); }
  /// Begins to copy what the first pass has not brought of the rows around the last round, or of all rows if they stay.
  __device__ __forceinline__ void begin() const {
    const int first = moves() ? first_around(at.rounds - 1) : -before();
    copy<false>(first, wrapped(first % p.window), -first);
    const int tokens = end() - before();
    copy<false>(tokens, tokens % p.window, before());
  }
  /// Goes on to round `round`, whose rows are there, and begins to copy what the one before it needs besides.
  __device__ __forceinline__ void go_to(int round) {
    slot = wrapped(slot - chunk());
    const int first = first_around(round - 1);
    if (round > 0 && first < kept) copy<true>(first, wrapped(slot - chunk()), chunk());
  }
  /// The first row around a round.
  __device__ __forceinline__ int first_around(int round) const {
    return round * chunk() - before() - (TwoRows ? int(c.grid_width) : 0);
  }
  /// Where row `row` from the first one around the round at hand lies, in shared memory; of 16 bits, where its first piece does:
  /// piece n is at that place ^ 16 n.
  __device__ __forceinline__ std::uint32_t row(int row) const {
    const unsigned its = unsigned(slot + row);
    return placed(min(its, its - unsigned(p.window)), 0);
  }
  /// Puts zeros in the place of the numbers of some channels, a bit for each, in the rows around the round at hand, or in all rows
  /// if they stay. All threads of the block; a barrier must follow.
  __device__ __forceinline__ void clear(unsigned channels) const {
    static_assert(Traits::size == 2);
    const int count = moves() ? chunk() + 2 * before() + (TwoRows ? 2 * int(c.grid_width) - 1 : 0) : p.window;
    for (int i = at.warp * 32 + at.lane; i < count * unit_channels; i += p.warps() * 32)
      if ((channels >> i % unit_channels & 1) != 0)
        ptx::store_half_word((row(i / unit_channels) ^ i % unit_channels / 8 * 16) + i % 8 * 2, 0);
  }

 private:
  __device__ __forceinline__ int chunk() const { return p.chunk<Traits>(); }
  /// Rows before a pixel that are around it, and behind it; and the end of the rows around the block's.
  __device__ __forceinline__ int before() const { return int(c.grid_width) + 1; }
  __device__ __forceinline__ int end() const { return at.tiles * Traits::tokens + before(); }
  __device__ __forceinline__ int wrapped(int i) const { return i < 0 ? i + p.window : i; }

  /// Piece `piece` of a row: pieces of 16 bits change places with every second row, so that eight rows' meet in no bank and none
  /// lies across two of 64 bytes.
  __device__ __forceinline__ std::uint32_t placed(unsigned place, int piece) const {
    return rows + place * Traits::spread_bytes +
           (Traits::exact ? unsigned(piece) : unsigned(piece) ^ (place >> 1 & 3)) * 16;
  }
  /// Copies `count` rows from the block's row `its_first` on, which lies at `from`; as many as a round has if One.
  template <bool One> __device__ __forceinline__ void copy(int its_first, int from, int count) const {
    const int thread = at.warp * 32 + at.lane, piece = thread % pieces, at_once = p.warps() * 32 / pieces;
    const int row = thread / pieces, first = at.first_token + its_first + row;
    const bool there = piece * (16 / Traits::size) < at.channels;
    const std::byte* v =
        row_of_token(at.row_of<Traits>(c.v, at.h, at.first_channel + piece * (16 / Traits::size)), c.v.time, first);
    const index_t step = at_once * c.v.time;
    const auto copy_row = [&](int i) {
      const bool copies = there && unsigned(first + i) < unsigned(at.length);
      const unsigned its = unsigned(from + row + i), place = min(its, its - unsigned(p.window));
      const std::uint32_t to = placed(place, piece);
      ptx::copy_async_or_zeros(to, v, copies);
      if (Traits::exact && place < unsigned(tile_plan::rows_again<Traits>))
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
