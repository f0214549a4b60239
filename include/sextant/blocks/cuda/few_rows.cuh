// SPDX-License-Identifier: Apache-2.0
/// @file  Linear layers of few rows on a GPU, as decode has them: bound by reading the weights, each once.
#pragma once

#include <sextant/blocks/cuda/piece.cuh>

namespace sextant::gpu::blockwise {

/// Rows up to which a warp computes an output of all of them.
inline constexpr index_t few_rows = 4;

/// y = act(x W^T + bias) (.) times + plus; null is left out. Strides count elements.
template <class E> struct few_rows_call {
  const E *x, *w, *bias, *times, *plus;
  E* y;
  index_t of_x, of_w, of_times, of_plus, of_y;  ///< from row to row
  int rows, inputs, outputs;
  activation act;
};

/// A warp has an output; its weights, whole pieces, are read once for all rows.
template <class E, int Rows>
__global__ void __launch_bounds__(256) few_rows_kernel(const __grid_constant__ few_rows_call<E> c) {
  using real = real_of<E>;
  constexpr int count = piece<E, true>::count;
  const int lane = int(threadIdx.x) % 32, output = int(blockIdx.x) * 8 + int(threadIdx.x) / 32;
  if (output >= c.outputs) return;
  const E* const w = c.w + output * c.of_w;
  real sums[Rows] = {};
  constexpr int at_once = 4;  // pieces of a lane that are on their way
#pragma unroll 1
  for (int first = lane * count; first < c.inputs; first += at_once * 32 * count) {
    piece<E, true> coming[at_once];
#pragma unroll
    for (int i = 0; i < at_once; ++i)
      if (const int k = first + i * 32 * count; k < c.inputs) coming[i] = load_piece<true>(w + k);
#pragma unroll
    for (int row = 0; row < Rows; ++row) {
      if (row >= c.rows) break;
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        const int k = first + i * 32 * count;
        if (k >= c.inputs) break;
        real weights[count], numbers[count];
        widen<E, true>(coming[i], weights);
        load_reals<true>(c.x + row * c.of_x + k, numbers);
#pragma unroll
        for (int j = 0; j < count; ++j) sums[row] += numbers[j] * weights[j];
      }
    }
  }
#pragma unroll
  for (int row = 0; row < Rows; ++row)
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sums[row] += __shfl_xor_sync(~0u, sums[row], step);
  const auto number = [](const E* from) {
    real to[1];
    load_reals<false>(from, to);
    return to[0];
  };
  // Lane number r finishes row r.
  real its[1] = {sums[0]};
#pragma unroll
  for (int row = 1; row < Rows; ++row) its[0] = lane == row ? sums[row] : its[0];
  if (lane >= c.rows) return;
  if (c.bias != nullptr) its[0] += number(c.bias + output);
  activate<E>(c.act, its);
  if (c.times != nullptr) its[0] *= number(c.times + lane * c.of_times + output);
  if (c.plus != nullptr) its[0] += number(c.plus + lane * c.of_plus + output);
  store_reals<false>(c.y + lane * c.of_y + output, its);
}

/// Launches it for up to few_rows rows.
template <class E> status run_few_rows(const stream& on, const few_rows_call<E>& c) {
  const dim3 grid(unsigned((c.outputs + 7) / 8));
  return c.rows == 1 ? launch(&few_rows_kernel<E, 1>, grid, dim3(256), 0, on.handle, c)
                     : launch(&few_rows_kernel<E, int(few_rows)>, grid, dim3(256), 0, on.handle, c);
}

}  // namespace sextant::gpu::blockwise
