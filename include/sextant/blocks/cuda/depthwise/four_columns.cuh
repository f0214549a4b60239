// SPDX-License-Identifier: Apache-2.0
/// @file  Depthwise 3x3 of 16-bit numbers at a stride of 1: four columns of four channels to a thread.
#pragma once

#include <algorithm>    // max, min
#include <type_traits>  // integral_constant

#include <sextant/blocks/cuda/depthwise/call.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>

namespace sextant::gpu::blockwise {

/// The sizes of a thread's work: columns, channels; rows of y in a step, the rows of x they see, rows in the ring.
struct four_columns {
  static constexpr int columns = 4, channels = 4, out = 2, seen = out + 2, ahead = 3, ring = seen + ahead * out;
  static constexpr int copies = 3;  ///< 16-byte pieces of a row of x that a thread copies at most
};

/// Four neighbouring numbers of 16 bits, exactly.
template <class E> __device__ __forceinline__ void widen_four(uint2 words, float (&to)[4]) {
  gpu::detail::widen_pair<E>(words.x, to[0], to[1]);
  gpu::detail::widen_pair<E>(words.y, to[2], to[3]);
}

/// As depthwise_kernel, with rows of x in a ring of shared memory; but a number that is read serves up to four columns,
/// and is made a float half as often: what is computed, not what is moved, was that kernel's limit.
template <class E, bool Acts>
__global__ void __launch_bounds__(most_threads, 2)
    depthwise_four_columns_kernel(const __grid_constant__ depthwise_call<E> c) {
  using step = four_columns;
  constexpr int columns = step::columns, channels = step::channels, out = step::out;
  extern __shared__ uint4 ring[];
  const int groups = 1 << c.group_bits;  // of channels
  const int group = int(threadIdx.x) & (groups - 1), thread_column = int(threadIdx.x) >> c.group_bits;
  const auto [slice, first_column, first_row, end_row, picture] = depthwise_part::of(c);
  const int first_channel = (slice << c.group_bits) * channels;
  const int channel = first_channel + group * channels, column = first_column + thread_column * columns;
  const int pieces = groups / 2, row_pieces = (c.tile_columns + 2) * pieces;

  // A thread's pieces of each row of x: where they come from in it, and whether zeros do; whether there are so many pieces.
  int from[step::copies];
  bool inside[step::copies], has[step::copies];
#pragma unroll
  for (int i = 0; i < step::copies; ++i) {
    const int k = int(threadIdx.x) + i * int(blockDim.x), seen = first_column - 1 + k / pieces;
    inside[i] = unsigned(seen) < unsigned(c.width);
    from[i] = inside[i] ? seen * c.of_x.column + first_channel + k % pieces * 8 : 0;
    has[i] = k < row_pieces;
  }
  const E* const x = c.x + picture * c.of_x.batch;
  const std::uint32_t to = ptx::shared_address(ring) + 16u * threadIdx.x;
  const auto send = [&](int row, int slot, auto count) {
#pragma unroll
    for (int r = 0; r < decltype(count)::value; ++r) {
      const bool there = unsigned(row + r) < unsigned(c.height);
      const int offset = (there ? row + r : 0) * c.of_x.row;
      const std::uint32_t place = to + 16u * unsigned((slot + r) * row_pieces);
#pragma unroll
      for (int i = 0; i < step::copies; ++i) {
        const E* const its = x + (from[i] + offset);
        const std::uint32_t its_place = place + 16u * unsigned(i) * blockDim.x;
        const bool copies = there && inside[i];
        if (has[i]) ptx::copy_async_or_zeros(its_place, its, copies);
      }
    }
  };
  send(first_row - 1, 0, std::integral_constant<int, step::seen>{});
  ptx::commit_copies();
#pragma unroll
  for (int s = 1; s < step::ahead; ++s) {
    if (first_row + s * out < end_row)
      send(first_row + 1 + s * out, step::seen - out + s * out, std::integral_constant<int, out>{});
    ptx::commit_copies();
  }

  const bool works = thread_column * columns < c.tile_columns && column < c.columns;
  const bool adds_centre = c.plus_input && !Acts;
  float w[9][channels], bias[channels] = {};
  if (works) {
#pragma unroll
    for (int tap = 0; tap < 9; ++tap) {
      load_weights<true>(c.weight + index_t(tap) * c.channels + channel, w[tap]);
      if (tap == 4 && adds_centre)
#pragma unroll
        for (auto& e : w[tap]) e += 1;
    }
    if (c.bias != nullptr) load_weights<true>(c.bias + channel, bias);
  }
  const uint2* const of_thread =
      reinterpret_cast<const uint2*>(ring) + (thread_column * columns << c.group_bits) + group;
  const auto first_of = [&](const auto& strides) {
    return picture * strides.batch + index_t(column) * strides.column + channel;
  };
  E* const y = c.y + first_of(c.of_y);
  const int across = c.columns - column;  // columns that there are
  int left = end_row - first_row, slot = 0;
#pragma unroll 1
  for (int row = first_row; left > 0; row += out, left -= out, slot = slot + out == step::ring ? 0 : slot + out) {
    ptx::await_copies<step::ahead - 1>();
    __syncthreads();
    if (left > step::ahead * out) {
      // The rows that the step before last was done with
      const int behind = slot + step::seen + (step::ahead - 1) * out;
      send(row + 1 + step::ahead * out, behind >= step::ring ? behind - step::ring : behind,
           std::integral_constant<int, out>{});
    }
    ptx::commit_copies();
    if (!works) continue;
    float sums[out][columns * channels];
#pragma unroll
    for (int i = 0; i < step::seen; ++i) {
      const int its_slot = i < out ? slot : slot + out == step::ring ? 0 : slot + out;
      const uint2* const its = of_thread + (its_slot + i % out) * row_pieces * 2;
#pragma unroll
      for (int j = 0; j < columns + 2; ++j) {
        float number[channels];
        widen_four<E>(its[j << c.group_bits], number);
#pragma unroll
        for (int o = 0; o < out; ++o)
#pragma unroll
          for (int v = 0; v < columns; ++v) {
            const int dy = i - o, dx = j - v;
            if (dy < 0 || dy > 2 || dx < 0 || dx > 2) continue;
#pragma unroll
            for (int e = 0; e < channels; ++e) {
              float& sum = sums[o][v * channels + e];
              sum = fmaf(w[3 * dy + dx][e], number[e], dy == 0 && dx == 0 ? bias[e] : sum);
            }
          }
      }
    }
    if constexpr (Acts)
#pragma unroll
      for (auto& its : sums) activate<E>(c.act, its);
    const auto add = [&](uint2 words, float* to_sums) {
      float more[channels];
      widen_four<E>(words, more);
#pragma unroll
      for (int e = 0; e < channels; ++e) to_sums[e] += more[e];
    };
    if (Acts && c.plus_input)
#pragma unroll
      for (int o = 0; o < out; ++o) {
        const int its_slot = o == 0 ? slot + 1 : slot + out == step::ring ? 0 : slot + out;
#pragma unroll
        for (int v = 0; v < columns; ++v)
          add(of_thread[its_slot * row_pieces * 2 + ((v + 1) << c.group_bits)], sums[o] + v * channels);
      }
    const auto each = [&](auto* first, const auto& strides, const auto& visit) {
#pragma unroll
      for (int o = 0; o < out; ++o) {
        auto* const its = first + index_t(row + o) * strides.row;
#pragma unroll
        for (int v = 0; v < columns; ++v)
          if (v < across && o < left) visit(its + v * strides.column, sums[o] + v * channels);
      }
    };
    if (c.plus != nullptr)
      each(c.plus + first_of(c.of_plus), c.of_plus,
           [&](const E* its, float* numbers) { add(*reinterpret_cast<const uint2*>(its), numbers); });
    each(y, c.of_y, [&](E* its, const float* numbers) {
      *reinterpret_cast<uint2*>(its) = {gpu::detail::round_pair<E>(numbers[0], numbers[1]),
                                        gpu::detail::round_pair<E>(numbers[2], numbers[3])};
    });
  }
}

/// Divides a call among blocks: all columns of a tile and as many channels as 256 threads have.
template <class E> status run_depthwise_four_columns(depthwise_call<E> c, const stream& on) {
  using step = four_columns;
  const int of_row = (c.columns + step::columns - 1) / step::columns, groups = c.channels / step::channels;
  const int narrow = std::min(of_row, most_threads / 16);
  c.group_bits = 1;
  while (c.group_bits < 6 && groups % (2 << c.group_bits) == 0 && (narrow << (c.group_bits + 1)) <= most_threads)
    ++c.group_bits;
  c.slices = groups >> c.group_bits;
  const int most = most_threads >> c.group_bits;
  c.tiles = (of_row + most - 1) / most;
  const int of_tile = (of_row + c.tiles - 1) / c.tiles;
  c.tile_columns = of_tile * step::columns;
  const index_t blocks = cut_into_strips(c, step::out);
  if (blocks >= index_t(1) << 31) return too_many();
  const int block = ((of_tile << c.group_bits) + 31) / 32 * 32;
  const std::size_t bytes = std::size_t((c.tile_columns + 2) << (c.group_bits - 1)) * step::ring * 16;
  return launch(
      c.act == activation::none ? &depthwise_four_columns_kernel<E, false> : &depthwise_four_columns_kernel<E, true>,
      dim3(unsigned(blocks)), dim3(unsigned(block)), bytes, on.handle, c);
}

}  // namespace sextant::gpu::blockwise
