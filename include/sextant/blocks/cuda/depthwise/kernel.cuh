// SPDX-License-Identifier: Apache-2.0
/// @file  Depthwise 3x3 on a GPU: strips of a picture whose rows come through a ring in shared memory.
#pragma once

#include <algorithm>    // max, min
#include <type_traits>  // integral_constant

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/blocks/module.hpp>
#include <sextant/cuda/ptx/async_copy.cuh>

namespace sextant::gpu::blockwise {

/// A call as the kernels see it. Strides count elements.
template <class E> struct depthwise_call {
  struct picture_strides {
    index_t batch;
    int row, column;
  };
  const E *x, *plus;
  const real_of<E>*weight, *bias;
  E* y;
  picture_strides of_x, of_y, of_plus;
  int height, width, rows, columns, channels;  ///< of x, of y, of both
  int pictures;
  activation act;
  bool plus_input;
  // The layer norm that follows, of all channels of a pixel of y; null: none.
  const real_of<E>*norm_weight = nullptr, *norm_bias = nullptr;
  real_of<E> eps = 0, part = 0;  ///< part: 1 / channels
  E* normed = nullptr;
  picture_strides of_normed{};
  // How blocks divide it: slices of 2^group_bits pieces of channels, tiles of columns, strips of rows.
  int group_bits, slices, tile_columns, tiles, strip_rows, strips;

  template <class View> static picture_strides strides_of(const View& v) {
    return {v.stride(0), int(v.stride(1)), int(v.stride(2))};
  }
  static depthwise_call of(const image<const E>& x, const modules::depthwise<E>& w, const image<E>& y,
                           const after_convolution<E>& after) {
    return {.x = x.data(),
            .plus = after.plus.data(),
            .weight = w.weight.data(),
            .bias = w.bias.data(),
            .y = y.data(),
            .of_x = strides_of(x),
            .of_y = strides_of(y),
            .of_plus = strides_of(after.plus),
            .height = int(x.extent(1)),
            .width = int(x.extent(2)),
            .rows = int(y.extent(1)),
            .columns = int(y.extent(2)),
            .channels = int(x.extent(3)),
            .pictures = int(x.extent(0)),
            .act = after.act,
            .plus_input = after.plus_input,
            .group_bits = 0,
            .slices = 1,
            .tile_columns = 1,
            .tiles = 1,
            .strip_rows = 1,
            .strips = 1};
  }
};

/// What a block makes: a slice of channels and a tile of columns of rows first_row .. end_row of a picture.
struct depthwise_part {
  int slice, first_column, first_row, end_row, picture;

  template <class E> static __device__ __forceinline__ depthwise_part of(const depthwise_call<E>& c) {
    int at = int(blockIdx.x);
    depthwise_part its;
    its.slice = at % c.slices;
    at /= c.slices;
    its.first_column = at % c.tiles * c.tile_columns;
    at /= c.tiles;
    its.first_row = at % c.strips * c.strip_rows, its.end_row = min(its.first_row + c.strip_rows, c.rows);
    its.picture = at / c.strips;
    return its;
  }
};

/// Divides the rows of a call, whose slices and tiles are known, into strips of whole steps of `out` rows, as long as leave two
/// blocks to a multiprocessor of a large GPU; the number of all blocks.
template <class E> index_t cut_into_strips(depthwise_call<E>& c, int out) {
  constexpr int enough_blocks = 256;
  const index_t of_strip = index_t(c.pictures) * c.slices * c.tiles, steps = (c.rows + out - 1) / out;
  const index_t strips = std::min(std::max<index_t>(1, enough_blocks / of_strip), steps);
  c.strip_rows = int((steps + strips - 1) / strips) * out;
  c.strips = (c.rows + c.strip_rows - 1) / c.strip_rows;
  return of_strip * c.strips;
}

/// Threads of a block at most.
inline constexpr int most_threads = 256;

/// The sizes of a step: rows of y, the rows of x they see, the rows of x that are new to it, the steps that copies run ahead, and
/// the rows that the ring holds.
template <int Stride, int Out> struct step_rows {
  static constexpr int out = Out, seen = Stride * (out - 1) + 3, fresh = Stride * out;
  static constexpr int ahead = fresh == 1   ? 5
                               : fresh == 2 ? 3
                                            : 2,
                       ring = (seen + ahead * fresh + fresh - 1) / fresh * fresh;
};
/// Rows of y that a step makes: 2, or 1 where a norm takes the registers of the other.
template <class E, bool Normed> inline constexpr int rows_of_step = Normed && sizeof(E) == 2 ? 1 : 2;

/// A block makes a tile of columns and a slice of channels of one strip of rows. Rows of x come by cp.async some steps ahead, each
/// of them once; zeros come for what is outside. A thread has one piece of channels in one column: its weights stay in registers
/// in full, a step makes 1 or 2 rows of y from the rows of x above each other. Where `Normed`, a pixel's pieces
/// are neighbouring lanes, all of its channels, and its numbers as they are stored are normalised on the way.
template <class E, int Stride, bool Acts, bool Normed>
__global__ void __launch_bounds__(most_threads, 2) depthwise_kernel(const __grid_constant__ depthwise_call<E> c) {
  constexpr int count = piece<E, true>::count;
  using real = real_of<E>;
  using step = step_rows<Stride, rows_of_step<E, Normed>>;
  extern __shared__ uint4 ring[];
  // Of the slice: the bias, the norm's weight and bias.
  __shared__ __align__(16) real biases[32 * count], scales[Normed ? 32 * count : 1], shifts[Normed ? 32 * count : 1];
  const int groups = 1 << c.group_bits;
  const int group = int(threadIdx.x) & (groups - 1), column = int(threadIdx.x) >> c.group_bits;
  const auto [slice, first_column, first_row, end_row, picture] = depthwise_part::of(c);
  const int channel = ((slice << c.group_bits) + group) * count;
  const int seen_columns = Stride * (c.tile_columns - 1) + 3, row_pieces = seen_columns << c.group_bits;

  const std::uint32_t shared = ptx::shared_address(ring) + 16u * threadIdx.x;
  // Rows from_row .. of x, the first of them to ring row `slot`, by each thread in its column of the tile and those a tile's
  // width further on.
  const auto send = [&](int from_row, int slot, auto rows_at_once) {
    const E* const x = c.x + picture * c.of_x.batch + channel;
#pragma unroll
    for (int r = 0; r < decltype(rows_at_once)::value; ++r) {
      const bool there = unsigned(from_row + r) < unsigned(c.height);
      for (int k = column; k < seen_columns; k += c.tile_columns) {
        const int from = Stride * first_column - 1 + k;
        const bool inside = there && unsigned(from) < unsigned(c.width);
        const int offset = inside ? (from_row + r) * c.of_x.row + from * c.of_x.column : 0;
        ptx::copy_async_or_zeros(shared + 16u * unsigned(slot * row_pieces + ((k - column) << c.group_bits)),
                                 x + offset, inside);
      }
      slot = slot + 1 == step::ring ? 0 : slot + 1;
    }
  };
  const bool copies = column < c.tile_columns, works = copies && first_column + column < c.columns;
  if (copies) send(Stride * first_row - 1, 0, std::integral_constant<int, step::seen>{});
  ptx::commit_copies();
#pragma unroll
  for (int s = 1; s < step::ahead; ++s) {
    constexpr int before = step::seen - step::fresh;
    if (copies && first_row + s * step::out < end_row)
      send(Stride * first_row - 1 + before + s * step::fresh, before + s * step::fresh,
           std::integral_constant<int, step::fresh>{});
    ptx::commit_copies();
  }

  const bool adds_centre = c.plus_input && !Acts;
  if (column == 0)
#pragma unroll
    for (int j = 0; j < count; ++j) {
      biases[group * count + j] = c.bias != nullptr ? c.bias[channel + j] : real(0);
      if constexpr (Normed)
        scales[group * count + j] = c.norm_weight[channel + j], shifts[group * count + j] = c.norm_bias[channel + j];
    }
  real w[9][count];
#pragma unroll
  for (int tap = 0; tap < 9; ++tap) {
    load_weights<true>(c.weight + index_t(tap) * c.channels + channel, w[tap]);
    if (tap == 4 && adds_centre)
#pragma unroll
      for (auto& e : w[tap]) e += 1;
  }

  int left = end_row - first_row, slot = 0;  // rows of y; where the first row that the step sees lies
#pragma unroll 1
  for (int out = first_row; left > 0; out += step::out, left -= step::out, slot = (slot + step::fresh) % step::ring) {
    ptx::await_copies<step::ahead - 1>();
    __syncthreads();
    constexpr int further = step::seen + (step::ahead - 1) * step::fresh;
    if (copies && left > step::ahead * step::out)
      send(Stride * out - 1 + further, (slot + further) % step::ring, std::integral_constant<int, step::fresh>{});
    ptx::commit_copies();
    if (!works) continue;
    real sums[step::out * count];  // row by row
#pragma unroll
    for (int j = 0; j < step::out * count; ++j) sums[j] = 0;
    const uint4* const rows_of_thread = ring + ((Stride * column) << c.group_bits) + group;
    const uint4* row = rows_of_thread + slot * row_pieces;
#pragma unroll
    for (int i = 0; i < step::seen; ++i) {
      // Rows lie one behind another up to the ring's end, which a step's fresh rows do not straddle.
      if (i > 0 && i % step::fresh == 0) row = rows_of_thread + (slot + i) % step::ring * row_pieces;
#pragma unroll
      for (int dx = 0; dx < 3; ++dx) {
        real numbers[count];
        widen<E, true>({row[dx << c.group_bits]}, numbers);
#pragma unroll
        for (int o = 0; o < step::out; ++o) {
          const int dy = i - Stride * o;
          if (dy < 0 || dy > 2) continue;
#pragma unroll
          for (int j = 0; j < count; ++j) sums[o * count + j] += w[3 * dy + dx][j] * numbers[j];
        }
      }
      row += row_pieces;
    }
    {
      real bias[count];
      load_weights<true>(biases + group * count, bias);
#pragma unroll
      for (int j = 0; j < step::out * count; ++j) sums[j] += bias[j % count];
    }
    if constexpr (Acts) activate<E>(c.act, sums);
    // Where a piece of row `at` lies in a picture of these strides.
    const auto place = [&](const auto& strides, int at_row) {
      return picture * strides.batch + index_t(at_row) * strides.row + index_t(first_column + column) * strides.column +
             channel;
    };
#pragma unroll
    for (int o = 0; o < step::out; ++o) {
      if (o >= left) break;
      real its[count], more[count];
#pragma unroll
      for (int j = 0; j < count; ++j) its[j] = sums[o * count + j];
      if (Acts && c.plus_input) {
        const int centre = (slot + Stride * o + 1) % step::ring * row_pieces;
        widen<E, true>({ring[centre + ((Stride * column + 1) << c.group_bits) + group]}, more);
#pragma unroll
        for (int j = 0; j < count; ++j) its[j] += more[j];
      }
      if (!Normed && c.plus != nullptr) {
        load_reals<true>(c.plus + place(c.of_plus, out + o), more);
#pragma unroll
        for (int j = 0; j < count; ++j) its[j] += more[j];
      }
      const auto stored = narrowed<E, true>(its);
      store_piece<true>(c.y + place(c.of_y, out + o), stored);
      // What is normalised is what was stored.
      if constexpr (Normed) {
        widen<E, true>(stored, its);
#pragma unroll
        for (int j = 0; j < count; ++j) sums[o * count + j] = its[j];
      }
    }
    if constexpr (Normed) {
      // Of the lanes of a pixel alone: its neighbours may have nothing to do.
      const unsigned pixel = ((2u << (groups - 1)) - 1) << (threadIdx.x & (32u - unsigned(groups)));
      const auto add_up = [&](real(&sum)[step::out]) {
        for (int apart = groups / 2; apart > 0; apart /= 2)
#pragma unroll
          for (auto& e : sum) e += __shfl_xor_sync(pixel, e, apart);
      };
      const real part = c.part;
      real sum[step::out];
#pragma unroll
      for (int o = 0; o < step::out; ++o) {
        sum[o] = 0;
#pragma unroll
        for (int j = 0; j < count; ++j) sum[o] += sums[o * count + j];
      }
      add_up(sum);
#pragma unroll
      for (int o = 0; o < step::out; ++o) {
        const real mean = sum[o] * part;
        sum[o] = 0;
#pragma unroll
        for (int j = 0; j < count; ++j) {
          real& e = sums[o * count + j];
          e -= mean, sum[o] += e * e;
        }
      }
      add_up(sum);
#pragma unroll
      for (int o = 0; o < step::out; ++o) {
        if (o >= left) break;
        const real factor = inverse_root(sum[o] * part + c.eps);
        real its[count], its_norm[count];
        load_weights<true>(scales + group * count, its_norm);
#pragma unroll
        for (int j = 0; j < count; ++j) its[j] = sums[o * count + j] * factor * its_norm[j];
        load_weights<true>(shifts + group * count, its_norm);
#pragma unroll
        for (int j = 0; j < count; ++j) its[j] += its_norm[j];
        store_reals<true>(c.normed + place(c.of_normed, out + o), its);
      }
    }
  }
}

/// One number of y to a thread: any strides and channels.
template <class E> __global__ void depthwise_any_kernel(const __grid_constant__ depthwise_call<E> c, int stride) {
  using real = real_of<E>;
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int channel = int(item % c.channels);
  index_t at = item / c.channels;
  const int column = int(at % c.columns);
  at /= c.columns;
  const int row = int(at % c.rows);
  const index_t picture = at / c.rows;
  if (picture >= c.pictures) return;
  const auto number = [](const E* from) {
    real to[1];
    load_reals<false>(from, to);
    return to[0];
  };
  const E* const x = c.x + picture * c.of_x.batch + channel;
  real sum[1] = {c.bias != nullptr ? c.bias[channel] : real(0)};
  for (int tap = 0; tap < 9; ++tap) {
    const int i = stride * row - 1 + tap / 3, j = stride * column - 1 + tap % 3;
    if (unsigned(i) < unsigned(c.height) && unsigned(j) < unsigned(c.width))
      sum[0] += c.weight[index_t(tap) * c.channels + channel] *
                number(x + index_t(i) * c.of_x.row + index_t(j) * c.of_x.column);
  }
  activate<E>(c.act, sum);
  if (c.plus_input) sum[0] += number(x + index_t(stride * row) * c.of_x.row + index_t(stride * column) * c.of_x.column);
  if (c.plus != nullptr)
    sum[0] += number(c.plus + picture * c.of_plus.batch + index_t(row) * c.of_plus.row +
                     index_t(column) * c.of_plus.column + channel);
  store_reals<false>(
      c.y + picture * c.of_y.batch + index_t(row) * c.of_y.row + index_t(column) * c.of_y.column + channel, sum);
}

/// Whether offsets within a picture are ints, which the kernel for whole pieces counts with.
template <class E> bool has_small_offsets(const depthwise_call<E>& c) {
  const index_t row = c.of_x.row < 0 ? -index_t(c.of_x.row) : c.of_x.row;
  const index_t column = c.of_x.column < 0 ? -index_t(c.of_x.column) : c.of_x.column;
  return row * c.height + column * c.width < index_t(1) << 31;
}

/// Divides a call among blocks: as many channels to a slice as leave 32 columns to a tile.
template <class E, int Stride, bool Normed> status run_depthwise(depthwise_call<E> c, const stream& on) {
  using step = step_rows<Stride, rows_of_step<E, Normed>>;
  constexpr int threads = most_threads / Stride;
  const int pieces = c.channels / piece<E, true>::count, narrow = std::min(c.columns, threads / 8);
  while (c.group_bits < 5 && pieces % (2 << c.group_bits) == 0 && (narrow << (c.group_bits + 1)) <= threads)
    ++c.group_bits;
  if constexpr (Normed)
    while (1 << c.group_bits < pieces) ++c.group_bits;  // all channels
  c.slices = pieces >> c.group_bits;
  const int most_columns = threads >> c.group_bits;
  c.tiles = (c.columns + most_columns - 1) / most_columns;
  c.tile_columns = (c.columns + c.tiles - 1) / c.tiles;
  const index_t blocks = cut_into_strips(c, step::out);
  if (blocks >= index_t(1) << 31) return too_many();
  const int block = ((c.tile_columns << c.group_bits) + 31) / 32 * 32;
  const std::size_t bytes = std::size_t((Stride * (c.tile_columns - 1) + 3) << c.group_bits) * step::ring * 16;
  const auto kernel = Normed || c.act == activation::none ? &depthwise_kernel<E, Stride, false, Normed>
                                                          : &depthwise_kernel<E, Stride, !Normed, Normed>;
  return launch(kernel, dim3(unsigned(blocks)), dim3(unsigned(block)), bytes, on.handle, c);
}

}  // namespace sextant::gpu::blockwise
