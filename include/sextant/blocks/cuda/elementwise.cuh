// SPDX-License-Identifier: Apache-2.0
/// @file  Functions and products of rows, number by number, on a GPU.
#pragma once

#include <type_traits>  // type_identity_t

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/blocks/shapes.hpp>
#include <sextant/cuda/ptx/early_launch.cuh>

namespace sextant::gpu {

namespace blockwise {

/// y = act(x + bias) (.) of_times(times) + plus, row by row; those of times and plus repeat. Null is left out.
template <class E> struct elementwise_call {
  const E *x, *bias, *times, *plus;
  E* y;
  index_t of_x, of_times, of_plus, of_y;  ///< from row to row
  index_t rows, times_rows, plus_rows;
  int columns;
  activation act, act_of_times;
};

template <class E, bool Whole> __global__ void elementwise_kernel(const __grid_constant__ elementwise_call<E> c) {
  ptx::begin_early();
  constexpr int count = piece<E, Whole>::count;
  const unsigned pieces = unsigned(c.columns / count);
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const index_t row = item <= 0xffffffffll ? index_t(unsigned(item) / pieces) : item / pieces;
  if (row >= c.rows) return;
  const int column = int(item - row * pieces) * count;
  real_of<E> numbers[count], more[count];
  load_reals<Whole>(c.x + row * c.of_x + column, numbers);
  if (c.bias != nullptr) {
    load_reals<Whole>(c.bias + column, more);
#pragma unroll
    for (int j = 0; j < count; ++j) numbers[j] += more[j];
  }
  activate<E>(c.act, numbers);
  if (c.times != nullptr) {
    load_reals<Whole>(c.times + (c.times_rows == c.rows ? row : row % c.times_rows) * c.of_times + column, more);
    activate<E>(c.act_of_times, more);
#pragma unroll
    for (int j = 0; j < count; ++j) numbers[j] *= more[j];
  }
  if (c.plus != nullptr) {
    load_reals<Whole>(c.plus + (c.plus_rows == c.rows ? row : row % c.plus_rows) * c.of_plus + column, more);
#pragma unroll
    for (int j = 0; j < count; ++j) numbers[j] += more[j];
  }
  store_reals<Whole>(c.y + row * c.of_y + column, numbers);
}

/// Whether rows that are given are whole pieces.
template <class E> bool are_pieces(const rows<const E>& x, index_t columns) { return !x || has_pieces(x, columns); }

/// Launches it.
template <class E>
status run_elementwise(const stream& on, const rows<const E>& x, const E* bias, activation act,
                       const rows<const E>& times, const rows<const E>& plus, const rows<E>& y,
                       activation act_of_times = activation::none) {
  if (y.size() == 0) return {};
  if (y.size() >= most_items || y.extent(1) >= index_t(1) << 30) return too_many();
  const elementwise_call<E> c{.x = x.data(),
                              .bias = bias,
                              .times = times.data(),
                              .plus = plus.data(),
                              .y = y.data(),
                              .of_x = x.stride(0),
                              .of_times = times.stride(0),
                              .of_plus = plus.stride(0),
                              .of_y = y.stride(0),
                              .rows = y.extent(0),
                              .times_rows = times.extent(0),
                              .plus_rows = plus.extent(0),
                              .columns = int(y.extent(1)),
                              .act = act,
                              .act_of_times = act_of_times};
  const bool whole = are_pieces<E>(x, y.extent(1)) && are_pieces<E>(times, y.extent(1)) &&
                     are_pieces<E>(plus, y.extent(1)) && are_pieces<E>(rows<const E>(y), y.extent(1)) &&
                     gpu::holds_packets(bias);
  constexpr int threads = 256;
  if (!whole)
    return gpu::launch_early(&elementwise_kernel<E, false>, blocks_for(y.size(), threads), dim3(threads), 0, on.handle,
                             c);
  return gpu::launch_early(&elementwise_kernel<E, true>, blocks_for(y.size() / piece<E, true>::count, threads),
                           dim3(threads), 0, on.handle, c);
}

}  // namespace blockwise

/// y = a (.) b, row by row; b may have fewer rows, which repeat. y may be a or b. Reads both once and writes y once.
template <class E>
status multiply(const stream& on, std::type_identity_t<blocks::rows<const E>> a,
                std::type_identity_t<blocks::rows<const E>> b, blocks::rows<E> y) {
  if (const status fits = blocks::shapes::two_rows<E>(a, b, y); !fits) return fits;
  return blockwise::run_elementwise<E>(on, a, nullptr, blocks::activation::none, b, {}, y);
}

/// y = a (.) silu(z), likewise; y may be a or z.
template <class E>
status times_silu(const stream& on, std::type_identity_t<blocks::rows<const E>> a,
                  std::type_identity_t<blocks::rows<const E>> z, blocks::rows<E> y) {
  if (const status fits = blocks::shapes::two_rows<E>(a, z, y); !fits) return fits;
  return blockwise::run_elementwise<E>(on, a, nullptr, blocks::activation::none, z, {}, y, blocks::activation::silu);
}

/// y = a + b, likewise: b may be a table of positions for every picture of a batch.
template <class E>
status add(const stream& on, std::type_identity_t<blocks::rows<const E>> a,
           std::type_identity_t<blocks::rows<const E>> b, blocks::rows<E> y) {
  if (const status fits = blocks::shapes::two_rows<E>(a, b, y); !fits) return fits;
  return blockwise::run_elementwise<E>(on, a, nullptr, blocks::activation::none, {}, b, y);
}

/// y = act(x), number by number. y may be x.
template <class E>
status apply_activation(const stream& on, blocks::activation act, std::type_identity_t<blocks::rows<const E>> x,
                        blocks::rows<E> y) {
  if (const status fits = blocks::shapes::rows_to_rows<E>(x, y.extent(1), y, y.extent(1)); !fits) return fits;
  return blockwise::run_elementwise<E>(on, x, nullptr, act, {}, {}, y);
}

}  // namespace sextant::gpu
