// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions with few terms to a sum, as of a picture's three colours: by multiply-adds.
#pragma once

#include <sextant/blocks/cuda/convolution/tiles.cuh>

namespace sextant::gpu::blockwise {

/// Terms of a sum at most, and outputs of a thread.
inline constexpr int most_terms = 64, outputs_of_thread = 32;

/// A thread has 2 neighbouring pixels of y and 32 of their channels; the weights lie in shared memory as the sums want them.
template <class E, bool Whole>
__global__ void __launch_bounds__(128) few_terms_kernel(const __grid_constant__ convolution_call<E> c) {
  using real = real_of<E>;
  constexpr int count = piece<E, Whole>::count, pixels = 2;
  __shared__ __align__(16) real weights[most_terms][outputs_of_thread];
  const int first_output = int(blockIdx.y) * outputs_of_thread, terms = c.kernel * c.kernel * c.inputs;
  const auto number = [](const E* from) {
    real to[1];
    load_reals<false>(from, to);
    return to[0];
  };
  for (int k = int(threadIdx.x); k < terms * outputs_of_thread; k += int(blockDim.x)) {
    const int output = first_output + k % outputs_of_thread, term = k / outputs_of_thread;
    weights[term][k % outputs_of_thread] =
        output < c.outputs ? number(c.weight + index_t(output) * terms + term) : real(0);
  }
  __syncthreads();
  const int pairs = (c.columns + pixels - 1) / pixels;
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x, line = item / pairs;
  const index_t picture = line / c.rows;
  if (picture >= c.pictures) return;
  const int column = int(item - line * pairs) * pixels, row = int(line - picture * c.rows);
  const E* const x = c.x + picture * c.of_x.batch;
  real sums[pixels][outputs_of_thread];
#pragma unroll
  for (int m = 0; m < pixels; ++m)
#pragma unroll
    for (auto& e : sums[m]) e = 0;
  int term = 0;
  for (int i = 0; i < c.kernel; ++i)
    for (int j = 0; j < c.kernel; ++j) {
      const int from_row = row * c.stride - c.padding + i, from_column = column * c.stride - c.padding + j;
      const E* const at = x + from_row * c.of_x.row + from_column * c.of_x.column;
      bool there[pixels];
#pragma unroll
      for (int m = 0; m < pixels; ++m)
        there[m] = unsigned(from_row) < unsigned(c.height) && unsigned(from_column + m * c.stride) < unsigned(c.width);
      for (int k = 0; k < c.inputs; ++k, ++term) {
        real its[pixels];
#pragma unroll
        for (int m = 0; m < pixels; ++m) its[m] = there[m] ? number(at + m * c.stride * c.of_x.column + k) : real(0);
#pragma unroll
        for (int o = 0; o < outputs_of_thread; ++o)
#pragma unroll
          for (int m = 0; m < pixels; ++m) sums[m][o] += its[m] * weights[term][o];
      }
    }
#pragma unroll
  for (int m = 0; m < pixels; ++m) {
    if (column + m >= c.columns) break;
#pragma unroll
    for (int o = 0; o < outputs_of_thread; o += count) {
      const int channel = first_output + o;
      if (channel >= c.outputs) break;
      real numbers[count], more[count];
#pragma unroll
      for (int e = 0; e < count; ++e) numbers[e] = sums[m][o + e];
      const auto add = [&](const E* from) {
        load_reals<Whole>(from, more);
#pragma unroll
        for (int e = 0; e < count; ++e) numbers[e] += more[e];
      };
      if (c.bias != nullptr) add(c.bias + channel);
      activate<E>(c.act, numbers);
      if (c.plus != nullptr)
        add(c.plus + picture * c.of_plus.batch + row * c.of_plus.row + (column + m) * c.of_plus.column + channel);
      if (c.also != nullptr)
        add(c.also + picture * c.of_also.batch + row * c.of_also.row + (column + m) * c.of_also.column + channel);
      store_reals<Whole>(c.y + picture * c.of_y.batch + row * c.of_y.row + (column + m) * c.of_y.column + channel,
                         numbers);
    }
  }
}

template <class E> status run_few_terms(const convolution_call<E>& c, bool whole, const stream& on) {
  constexpr int threads = 128;
  const index_t items = c.pictures * c.rows * ((c.columns + 1) / 2);
  if (items >= most_items) return too_many();
  dim3 blocks = blocks_for(items, threads);
  blocks.y = unsigned((c.outputs + outputs_of_thread - 1) / outputs_of_thread);
  return launch(whole ? &few_terms_kernel<E, true> : &few_terms_kernel<E, false>, blocks, dim3(threads), 0, on.handle,
                c);
}

}  // namespace sextant::gpu::blockwise
