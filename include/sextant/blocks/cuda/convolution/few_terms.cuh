// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions with few terms to a sum, as of a picture's three colours: by mma.sync, or by multiply-adds.
#pragma once

#include <sextant/blocks/cuda/convolution/few_terms_tiles.cuh>
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
      real numbers[count];
#pragma unroll
      for (int e = 0; e < count; ++e) numbers[e] = sums[m][o + e];
      finish<Whole>(c, picture, row, column + m, channel, numbers);
    }
  }
}

/// Blocks of few_terms_mma_kernel to a multiprocessor at least; before sm_90 the compiler aims at more, and spills.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
inline constexpr int few_terms_blocks = 5;
#else
inline constexpr int few_terms_blocks = 0;
#endif

/// The same of 16 bits by mma.sync: a warp has 32 neighbouring pixels of y and 32 of their channels. A lane writes what
/// its pixel sees as a row of shared memory, filled up with zeros, from which ldmatrix takes the first factor; weights
/// lie in the order that gives a lane 8 neighbouring channels of a pixel.
template <class E>
__global__ void __launch_bounds__(128, few_terms_blocks)
    few_terms_mma_kernel(const __grid_constant__ convolution_call<E> c) {
  constexpr int outputs = outputs_of_thread, most_bytes = 2 * most_terms + 16;
  __shared__ __align__(128) unsigned char weights[outputs * most_bytes], pixels[128 * most_bytes];
  const int first_output = int(blockIdx.y) * outputs, terms = c.kernel * c.kernel * c.inputs;
  const int filled = (terms + 15) / 16 * 16, step = 2 * filled + 16;  // bytes: an odd number of 16
  const auto number_at = [](unsigned char* at) -> E& { return *reinterpret_cast<E*>(at); };
  for (int k = int(threadIdx.x); k < outputs * filled; k += int(blockDim.x)) {
    const int row = k / filled, term = k - row * filled;
    const int output = first_output + row % 8 / 2 * 8 + row / 8 * 2 + row % 2;
    number_at(weights + row * step + 2 * term) =
        term < terms && output < c.outputs ? c.weight[index_t(output) * terms + term] : E(0.0f);
  }
  __syncthreads();
  const int runs = (c.columns + 31) / 32, lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const index_t item = (index_t(blockIdx.x) * blockDim.x + threadIdx.x) / 32, line = item / runs;
  const index_t picture = line / c.rows;
  if (picture >= c.pictures) return;
  const int row = int(line - picture * c.rows), first_column = int(item - line * runs) * 32;
  {
    const E* const x = c.x + picture * c.of_x.batch;
    unsigned char* to = pixels + int(threadIdx.x) * step;
    for (int i = 0; i < c.kernel; ++i)
      for (int j = 0; j < c.kernel; ++j) {
        const int from_row = row * c.stride - c.padding + i,
                  from_column = (first_column + lane) * c.stride - c.padding + j;
        const bool there = unsigned(from_row) < unsigned(c.height) && unsigned(from_column) < unsigned(c.width);
        const E* const at = x + (there ? from_row * c.of_x.row + from_column * c.of_x.column : 0);
        for (int k = 0; k < c.inputs; ++k, to += 2) number_at(to) = there ? at[k] : E(0.0f);
      }
    for (int k = terms; k < filled; ++k, to += 2) number_at(to) = E(0.0f);
  }
  __syncwarp();
  const std::uint32_t of_pixels =
      ptx::shared_address(pixels) + unsigned((32 * warp + lane % 16) * step + lane / 16 * 16);
  const std::uint32_t of_weights =
      ptx::shared_address(weights) + unsigned((lane % 8 + lane / 16 * 8) * step + lane / 8 % 2 * 16);
  float sums[2][4][4] = {};
  for (int k = 0; k < filled; k += 16) {
    std::uint32_t a[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) ptx::load_matrices(a[m], of_pixels + unsigned(16 * m * step + 2 * k));
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      std::uint32_t b[4];
      ptx::load_matrices(b, of_weights + unsigned(16 * n * step + 2 * k));
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        ptx::multiply_add<E>(sums[m][2 * n], a[m], b[0], b[1]);
        ptx::multiply_add<E>(sums[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
  const int channel = first_output + lane % 4 * 8;
  if (channel >= c.outputs) return;
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int upper = 0; upper < 2; ++upper) {
      const int column = first_column + 16 * m + 8 * upper + lane / 4;
      if (column >= c.columns) continue;
      float numbers[8];
#pragma unroll
      for (int e = 0; e < 8; ++e) numbers[e] = sums[m][e / 2][2 * upper + e % 2];
      finish<true>(c, picture, row, column, channel, numbers);
    }
}

template <class E> status run_few_terms(const convolution_call<E>& c, bool whole, const stream& on) {
  constexpr int threads = 128;
  if constexpr (sizeof(E) == 2) {
    if (whole && takes_few_terms_tiles(c)) return run_few_terms_tiles(c, on);
    if (whole && device_attribute(cudaDevAttrComputeCapabilityMajor) >= 8) {
      const index_t items = c.pictures * c.rows * ((c.columns + 31) / 32) * 32;
      if (items >= most_items) return too_many();
      dim3 blocks = blocks_for(items, threads);
      blocks.y = unsigned((c.outputs + outputs_of_thread - 1) / outputs_of_thread);
      return launch(&few_terms_mma_kernel<E>, blocks, dim3(threads), 0, on.handle, c);
    }
  }
  const index_t items = c.pictures * c.rows * ((c.columns + 1) / 2);
  if (items >= most_items) return too_many();
  dim3 blocks = blocks_for(items, threads);
  blocks.y = unsigned((c.outputs + outputs_of_thread - 1) / outputs_of_thread);
  return launch(whole ? &few_terms_kernel<E, true> : &few_terms_kernel<E, false>, blocks, dim3(threads), 0, on.handle,
                c);
}

}  // namespace sextant::gpu::blockwise
