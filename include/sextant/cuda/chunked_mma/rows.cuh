// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: rows of a chunk on their way into shared memory.
#pragma once

#include <sextant/cuda/chunked_mma/memory.cuh>

namespace sextant::gpu::mma {

/// The rows of width numbers of a tensor that a block loads: `from` has its numbers of the sequence's first token.
template <class Token> __device__ row_feed feed_of(const row_source& from, int to, int stride, int width, bool pieces) {
  constexpr int piece = 16 / int(sizeof(Token));
  row_feed feed{from.first, from.step, to, stride, width, -1};
  if (pieces && width > 0) feed.shift = 32 - __clz(width / piece - 1);  // of the next power of two
  return feed;
}

/// Begins to copy `count` rows, the first of which is row t of the sequence, and writes zeros into those behind, up to
/// `rows`; by so many threads, of which this is number `thread`. Pieces of 16 bytes, or number by number.
template <class Token>
__device__ void copy_rows(const row_feed& feed, unsigned char* stage, int t, int count, int rows, int thread,
                          int threads) {
  Token* to = reinterpret_cast<Token*>(stage + feed.to);
  if (feed.shift >= 0) {
    constexpr int piece = 16 / int(sizeof(Token));
    // Threads of a row; where it has more pieces than there are threads, they come back to it.
    const bool many = 1 << feed.shift > threads;
    const int of_row = many ? threads : 1 << feed.shift, rows_at_once = many ? 1 : threads >> feed.shift;
    const int first = many ? 0 : thread >> feed.shift;
    if (first >= rows_at_once) return;
    const index_t step = rows_at_once * feed.step;
    const int apart = rows_at_once * feed.stride * int(sizeof(Token));
    for (int at = many ? thread : thread & (of_row - 1); at * piece < feed.width; at += of_row) {
      const std::byte* from = feed.first + (t + first) * feed.step + at * 16;
      std::uint32_t place = ptx::shared_address(to + first * feed.stride + at * piece);
      // Rows that are not there are not read, wherever their address may point.
#pragma unroll 4
      for (int row = first; row < rows; row += rows_at_once, from += step, place += apart)
        ptx::copy_async_or_zeros(place, from, row < count);
    }
  } else {
    for (int row = thread / 32; row < rows; row += threads / 32)
      for (int i = thread % 32; i < feed.width; i += 32)
        to[row * feed.stride + i] =
            row < count ? reinterpret_cast<const Token*>(feed.first + (t + row) * feed.step)[i] : Token(0.0f);
  }
}

}  // namespace sextant::gpu::mma
