// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: rows of a chunk on their way into shared memory, and through the map.
#pragma once

#include <sextant/cuda/chunked_mma/memory.cuh>
#include <sextant/cuda/tile/approximate.cuh>

namespace sextant::gpu::mma {

/// The scalar type of maps and of gates per key: what is rounded to 16 bits afterwards may be computed approximately.
template <class Token> using part_scalar = std::conditional_t<sizeof(Token) == 2, approximate, float>;

/// Where the rows of a chunk lie in memory: the first one, and from each to the next, in bytes.
struct row_walk {
  const std::byte* first;
  index_t step;

  __device__ row_walk(const tensor<float>& x, const stretch& s, index_t head, index_t t, index_t offset)
      : first{x.at(s.batch, s.place(t), head) + offset}, step{s.backwards ? -x.time : x.time} {}
};

/// Begins to copy `count` rows of `width` numbers, and writes zeros into those behind, up to `rows`. Pieces of 16 bytes, or
/// number by number.
template <class Token>
__device__ void copy_rows(Token* to, int stride, const row_walk& from, int count, int rows, int width, bool pieces) {
  if (pieces) {
    constexpr int piece = 16 / int(sizeof(Token));
    const int per_row = width / piece;
    const int shift = 32 - __clz(per_row - 1);  // of the next power of two
    const int at = int(threadIdx.x) & ((1 << shift) - 1);
    const int rows_at_once = int(blockDim.x) >> shift;
    if (at >= per_row || int(threadIdx.x) >> shift >= rows_at_once) return;
    for (int row = int(threadIdx.x) >> shift; row < rows; row += rows_at_once) {
      Token* const place = to + row * stride + at * piece;
      if (row < count) ptx::copy_async<16>(ptx::shared_address(place), from.first + row * from.step + at * 16);
      else *reinterpret_cast<uint4*>(place) = uint4{0, 0, 0, 0};
    }
  } else {
    const int lane = int(threadIdx.x) % 32;
    for (int row = int(threadIdx.x) / 32; row < rows; row += int(blockDim.x) / 32)
      for (int i = lane; i < width; i += 32)
        to[row * stride + i] =
            row < count ? reinterpret_cast<const Token*>(from.first + row * from.step)[i] : Token(0.0f);
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
