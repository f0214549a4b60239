// SPDX-License-Identifier: Apache-2.0
/// @file  Tokens in other places on a GPU: their mean, another order, keys apart, patches of 2 x 2.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>

namespace sextant::gpu {

namespace blockwise {

/// The mean over time. A block has a run of pieces of one sequence's channels, its warps every eighth token.
template <class E, bool Whole>
__global__ void __launch_bounds__(256)
    token_mean_kernel(const __grid_constant__ tokens<const E> x, const __grid_constant__ rows<E> y) {
  using real = real_of<E>;
  constexpr int count = piece<E, Whole>::count, warps = 8;
  __shared__ real parts[warps][32][count];
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const index_t sequence = blockIdx.y, channel = (index_t(blockIdx.x) * 32 + lane) * count;
  const bool there = channel < x.extent(2);
  const E* const from = x.data() + sequence * x.stride(0) + channel;
  real sums[count];
#pragma unroll
  for (auto& e : sums) e = 0;
  if (there)
#pragma unroll 4
    for (index_t t = warp; t < x.extent(1); t += warps) {
      real numbers[count];
      load_reals<Whole>(from + t * x.stride(1), numbers);
#pragma unroll
      for (int j = 0; j < count; ++j) sums[j] += numbers[j];
    }
#pragma unroll
  for (int j = 0; j < count; ++j) parts[warp][lane][j] = sums[j];
  __syncthreads();
  if (warp != 0 || !there) return;
  for (int other = 1; other < warps; ++other)
#pragma unroll
    for (int j = 0; j < count; ++j) sums[j] += parts[other][lane][j];
#pragma unroll
  for (auto& e : sums) e = x.extent(1) > 0 ? e / real(x.extent(1)) : real(0);
  store_reals<Whole>(y.data() + sequence * y.stride(0) + channel, sums);
}

/// Copies pieces from where `From` says: from(row of y, column) is an address, or null for zeros; adds those of `plus`.
template <class E, bool Whole, class From>
__global__ void gather_kernel(const __grid_constant__ From from, const __grid_constant__ tokens<E> y,
                              const __grid_constant__ tokens<const E> plus) {
  ptx::begin_early();
  constexpr int count = piece<E, Whole>::count;
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x, pieces = y.extent(2) / count;
  const index_t row = item / pieces, sequence = row / y.extent(1), t = row - sequence * y.extent(1);
  if (sequence >= y.extent(0)) return;
  const index_t column = (item - row * pieces) * count;
  piece<E, Whole> p{};
  if (const E* const at = from(row, column); at != nullptr) p = load_piece<Whole>(at);
  if (plus) {
    real_of<E> numbers[count], more[count];
    widen<E, Whole>(p, numbers);
    load_reals<Whole>(&plus(sequence, t, column), more);
#pragma unroll
    for (int j = 0; j < count; ++j) numbers[j] += more[j];
    p = narrowed<E, Whole>(numbers);
  }
  store_piece<Whole>(&y(sequence, t, column), p);
}
template <class E, class From>
status run_gather(const stream& on, const From& from, const tokens<E>& y, const tokens<const E>& plus, bool whole) {
  if (y.size() == 0) return {};
  if (y.size() >= most_items) return too_many();
  constexpr int threads = 256;
  if (whole)
    return launch_early(&gather_kernel<E, true, From>, blocks_for(y.size() / piece<E, true>::count, threads),
                        dim3(threads), 0, on.handle, from, y, plus);
  return launch_early(&gather_kernel<E, false, From>, blocks_for(y.size(), threads), dim3(threads), 0, on.handle, from,
                      y, plus);
}

/// Rows of four pixels each: those of rows 2 i and columns 2 j, then 2 i + 1 and 2 j, 2 i and 2 j + 1, 2 i + 1 and 2 j + 1.
template <class E> struct four_pixels {
  image<const E> x;
  index_t rows, columns;

  __device__ __forceinline__ const E* operator()(index_t row, index_t column) const {
    const index_t C = x.extent(3), which = column / C, picture = row / (rows * columns), place = row % (rows * columns);
    const index_t i = 2 * (place / columns) + which % 2, j = 2 * (place % columns) + which / 2;
    return i < x.extent(1) && j < x.extent(2) ? &x(picture, i, j, column - which * C) : nullptr;
  }
};

/// The halves of rows, zeros behind each.
template <class E> struct spread_halves {
  rows<const E> x;
  index_t of_x, of_y;  ///< numbers of a half

  __device__ __forceinline__ const E* operator()(index_t row, index_t column) const {
    const index_t half = column >= of_y, c = column - half * of_y;
    return c < of_x ? &x(row, half * of_x + c) : nullptr;
  }
};

/// Token t is token map(t) of x.
template <class E, class Map> struct mapped_token {
  tokens<const E> x;
  Map map;
  index_t length;

  __device__ __forceinline__ const E* operator()(index_t row, index_t column) const {
    return &x(row / length, index_t(map(row % length)), column);
  }
};

}  // namespace blockwise

/// y = the mean of a sequence's tokens, added in a fixed order; zeros where there are none. x [B, T, C], y [B, C]. Reads x once.
template <class E>
status token_mean(const stream& on, std::type_identity_t<blocks::tokens<const E>> x, blocks::rows<E> y) {
  if (const status fits = blocks::shapes::token_mean<E>(x, y); !fits) return fits;
  if (y.size() == 0) return {};
  if (x.extent(0) > 65535) return blockwise::too_many();
  const auto go = [&](auto kernel, index_t count) {
    return launch(kernel, dim3(unsigned((x.extent(2) / count + 31) / 32), unsigned(x.extent(0))), dim3(256), 0,
                  on.handle, x, y);
  };
  const bool whole = blockwise::has_pieces(x, x.extent(2)) && blockwise::has_pieces(y, x.extent(2));
  return whole ? go(&blockwise::token_mean_kernel<E, true>, blockwise::piece<E, true>::count)
               : go(&blockwise::token_mean_kernel<E, false>, 1);
}

/// Rows of 2 x 2 pixels, in the order of the Swin transformer's PatchMerging: [2 i, 2 j], [2 i + 1, 2 j], [2 i, 2 j + 1],
/// [2 i + 1, 2 j + 1]; zeros beyond an odd edge. y [B ceil(H / 2) ceil(W / 2), 4 C]. Reads x once and writes y once.
template <class E>
status merge_patches(const stream& on, std::type_identity_t<blocks::image<const E>> x, blocks::rows<E> y) {
  const index_t rows = (x.extent(1) + 1) / 2, columns = (x.extent(2) + 1) / 2, C = x.extent(3);
  if (const status fits = blocks::shapes::merge_patches<E>(x, y); !fits) return fits;
  if (y.size() == 0) return {};
  return blockwise::run_gather<E>(on, blockwise::four_pixels<E>{x, rows, columns}, blocks::tokens_of(y, 1, y.extent(0)),
                                  {}, blockwise::has_pieces(x, C) && blockwise::has_pieces(y, C));
}

/// How many columns each half of a scan's keys and queries has where they are to be copied for it, as spread_keys() does: rows
/// that the selective scan reads are whole pieces of 16 bytes. 0: they are read as they lie, as up to 4 keys are.
template <class E> index_t columns_of_keys(const stream&, const blocks::rows<E>& keys) {
  constexpr index_t count = 16 / index_t(sizeof(E));
  if (sizeof(E) == 8 || keys.extent(1) <= 4 || blockwise::has_pieces(keys, keys.extent(1))) return 0;
  return (keys.extent(1) + count - 1) / count * count;
}

/// The halves of x's rows, [n, 2 c], as those of y's, [n, 2 C], zeros behind each where C is more. Reads x once and writes y once.
template <class E>
status spread_keys(const stream& on, std::type_identity_t<blocks::rows<const E>> x, blocks::rows<E> y) {
  if (const status fits = blocks::shapes::spread_keys<E>(x, y); !fits) return fits;
  return blockwise::run_gather<E>(on, blockwise::spread_halves<E>{x, x.extent(1) / 2, y.extent(1) / 2},
                                  blocks::tokens_of(y, 1, y.extent(0)), {}, false);
}

/// Token t of y is token map(t) of x, plus token t of `plus`, if given. `map` is a copyable struct, index_t(index_t) const, called
/// on the device (SEXTANT_FN). plus may be y; y overlaps x nowhere. Reads x and plus once and writes y once.
template <class E, class Map>
status reorder(const stream& on, std::type_identity_t<blocks::tokens<const E>> x, const Map& map, blocks::tokens<E> y,
               std::type_identity_t<blocks::tokens<const E>> plus = {}) {
  if (const status fits = blocks::shapes::reorder<E>(x, y, plus); !fits) return fits;
  const index_t C = y.extent(2);
  const bool whole =
      blockwise::has_pieces(x, C) && blockwise::has_pieces(y, C) && (!plus || blockwise::has_pieces(plus, C));
  return blockwise::run_gather<E>(on, blockwise::mapped_token<E, Map>{x, map, y.extent(1)}, y, plus, whole);
}

}  // namespace sextant::gpu
