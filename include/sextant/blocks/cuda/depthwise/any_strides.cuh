// SPDX-License-Identifier: Apache-2.0
/// @file  Depthwise 3x3 on a GPU: the kernel for any strides and channels, a number to a thread.
#pragma once

#include <sextant/blocks/cuda/depthwise/call.cuh>

namespace sextant::gpu::blockwise {

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

}  // namespace sextant::gpu::blockwise
