// SPDX-License-Identifier: Apache-2.0
/// @file  Products of few rows with a matrix on a GPU, as decode has them: bound by reading the weights, each once.
#pragma once

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>

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

/// Output `output` of all rows by a warp, which reads its weights once; Whole: rows of x and w are whole pieces.
template <class E, int Rows, bool Whole>
__device__ __forceinline__ void multiply_few_rows(const few_rows_call<E>& c, int output) {
  using real = real_of<E>;
  constexpr int count = piece<E, Whole>::count;
  const int lane = int(threadIdx.x) % 32;
  const E* const w = c.w + output * c.of_w;
  real sums[Rows] = {};
#pragma unroll 4
  for (int k = lane * count; k < c.inputs; k += 32 * count) {
    real weights[count], numbers[count];
    load_reals<Whole>(w + k, weights);
#pragma unroll
    for (int row = 0; row < Rows; ++row) {
      if (Rows > 1 && row >= c.rows) break;
      load_reals<Whole>(c.x + row * c.of_x + k, numbers);
#pragma unroll
      for (int j = 0; j < count; ++j) sums[row] += numbers[j] * weights[j];
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

/// Outputs of a block, one to a warp.
inline constexpr int few_rows_outputs = 8;
/// That of a warp.
__device__ __forceinline__ int output_of_warp() { return int(blockIdx.x) * few_rows_outputs + int(threadIdx.x) / 32; }
/// Blocks for so many outputs of `products` products of their own.
inline dim3 few_rows_grid(int outputs, index_t products = 1) {
  return dim3(unsigned((outputs + few_rows_outputs - 1) / few_rows_outputs), unsigned(products));
}

/// It, with an output to a warp, of rows of whole pieces: it begins early, its weights on their way to L2.
template <class E, int Rows>
__global__ void __launch_bounds__(32 * few_rows_outputs) few_rows_kernel(const __grid_constant__ few_rows_call<E> c) {
  constexpr int line = 128 / int(sizeof(E));
  const int output = output_of_warp();
  ptx::let_next_launch_begin();
  if (output < c.outputs)  // weights come while the launch before computes what they are multiplied with
    for (int k = int(threadIdx.x) % 32 * line; k < c.inputs; k += 32 * line)
      ptx::prefetch_line(c.w + output * c.of_w + k);
  ptx::wait_for_launch_before();
  if (output < c.outputs) multiply_few_rows<E, Rows, true>(c, output);
}

/// Launches it for up to few_rows rows, whole pieces as w's are.
template <class E> status run_few_rows(const stream& on, const few_rows_call<E>& c) {
  return launch_early(c.rows == 1 ? &few_rows_kernel<E, 1> : &few_rows_kernel<E, int(few_rows)>,
                      few_rows_grid(c.outputs), dim3(32 * few_rows_outputs), 0, on.handle, c);
}

}  // namespace sextant::gpu::blockwise
