// SPDX-License-Identifier: Apache-2.0
/// @file  Depthwise 3x3 on a GPU: strips of a picture whose rows come through a ring in shared memory.
#pragma once

#include <algorithm>    // min
#include <type_traits>  // integral_constant

#include <sextant/blocks/cuda/depthwise/call.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>

namespace sextant::gpu::blockwise {

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
