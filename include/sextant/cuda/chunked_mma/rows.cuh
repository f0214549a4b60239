// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: rows of a chunk on their way into shared memory, and through the map.
#pragma once

#include <sextant/cuda/chunked_mma/memory.cuh>
#include <sextant/cuda/tile/approximate.cuh>

namespace sextant::gpu::mma {

/// The scalar type of maps and of gates per key: what is rounded to 16 bits afterwards may be computed approximately.
template <class Token> using part_scalar = std::conditional_t<sizeof(Token) == 2, approximate, float>;

/// Begins to copy `count` rows of `width` numbers, the first of which is row t of the sequence, and writes zeros into those
/// behind, up to `rows`. Pieces of 16 bytes, or number by number.
template <class Token>
__device__ void copy_rows(Token* to, int stride, const row_source& source, int t, int count, int rows, int width,
                          bool pieces) {
  if (pieces) {
    constexpr int piece = 16 / int(sizeof(Token));
    const int per_row = width / piece;
    const int shift = 32 - __clz(per_row - 1);  // of the next power of two
    const int at = int(threadIdx.x) & ((1 << shift) - 1), first = int(threadIdx.x) >> shift;
    const int rows_at_once = int(blockDim.x) >> shift;
    if (at >= per_row || first >= rows_at_once) return;
    const std::byte* from = source.first + (t + first) * source.step + at * 16;
    const index_t step = rows_at_once * source.step;
    to += first * stride + at * piece;
    for (int row = first; row < rows; row += rows_at_once, from += step, to += rows_at_once * stride) {
      if (row < count) ptx::copy_async<16>(ptx::shared_address(to), from);
      else *reinterpret_cast<uint4*>(to) = uint4{0, 0, 0, 0};
    }
  } else {
    const int lane = int(threadIdx.x) % 32;
    for (int row = int(threadIdx.x) / 32; row < rows; row += int(blockDim.x) / 32)
      for (int i = lane; i < width; i += 32)
        to[row * stride + i] =
            row < count ? reinterpret_cast<const Token*>(source.first + (t + row) * source.step)[i] : Token(0.0f);
  }
}

/// phi(scale x) of `width` numbers in each of `count` rows, in place; what lies behind them stays as it is.
template <class Token, class Map>
__device__ void map_rows(const Map& map, Token* rows, int stride, int count, int width, float scale) {
  using scalar = part_scalar<Token>;
  const int lane = int(threadIdx.x) % 32;
  for (int row = int(threadIdx.x) / 32; row < count; row += int(blockDim.x) / 32)
    for (int i = 2 * lane; i < width; i += 64) {
      Token* const at = rows + row * stride + i;
      const float2 x = load_pair(at);
      const float low = float(map.value(scalar(x.x * scale)));
      store_pair(at, low, i + 1 < width ? float(map.value(scalar(x.y * scale))) : x.y);
    }
}

}  // namespace sextant::gpu::mma
