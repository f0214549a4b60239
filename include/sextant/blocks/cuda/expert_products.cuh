// SPDX-License-Identifier: Apache-2.0
/// @file  Products of the places of many experts with a matrix of each, whose numbers of tokens the host does not know.
#pragma once

#include <sextant/blocks/cuda/few_rows.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>

namespace sextant::gpu::blockwise {

/// y = act(x W^T) at an expert's places with its matrix of w [experts, outputs, inputs]. Rows of x are tokens, read by
/// `token_at`, where it gathers, and places where it does not. Strides count elements.
template <class E> struct expert_product_call {
  const E *x, *w;
  E* y;
  const std::int32_t *first, *token_at, *chosen;
  index_t of_x, of_expert, of_row, of_y;
  index_t places;
  int experts, inputs, outputs;
  bool gathers;
  activation act;

  __device__ __forceinline__ const E* row(index_t place) const {
    return x + (gathers ? index_t(token_at[place]) : place) * of_x;
  }
};

/// A tile of places: of one expert, `rows` of them from `place` on; none where there are no more tiles.
struct expert_tile {
  int expert;
  index_t place;
  int rows;
};

/// Tile number `number` of `Rows` places, counted from expert to expert; a whole warp asks.
template <int Rows>
__device__ __forceinline__ expert_tile find_tile(const std::int32_t* first, int experts, int number) {
  const int lane = int(threadIdx.x) % 32;
  for (int base = 0, before = 0; base < experts; base += 32) {
    const int expert = base + lane;
    const int begin = expert < experts ? first[expert] : 0, count = expert < experts ? first[expert + 1] - begin : 0;
    const int mine = (count + Rows - 1) / Rows;
    int sum = mine;  // of the tiles up to this expert's
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(~0u, sum, step);
      if (lane >= step) sum += other;
    }
    const unsigned behind = __ballot_sync(~0u, before + sum > number);
    if (behind != 0) {
      const int at = __ffs(int(behind)) - 1;
      const int its = number - before - __shfl_sync(~0u, sum - mine, at);
      const int its_begin = __shfl_sync(~0u, begin, at), its_count = __shfl_sync(~0u, count, at);
      return {base + at, index_t(its_begin) + its * Rows, min(Rows, its_count - its * Rows)};
    }
    before += __shfl_sync(~0u, sum, 31);
  }
  return {0, 0, 0};
}

/// Few places: each is a product of one row, with its expert's matrix.
template <class E, bool Whole>
__global__ void __launch_bounds__(32 * few_rows_outputs)
    expert_few_kernel(const __grid_constant__ expert_product_call<E> c) {
  ptx::begin_early();
  const index_t place = blockIdx.y;
  const int output = output_of_warp();
  if (place >= c.first[c.experts] || output >= c.outputs) return;
  const few_rows_call<E> its{.x = c.row(place),
                             .w = c.w + c.chosen[c.token_at[place]] * c.of_expert,
                             .y = c.y + place * c.of_y,
                             .of_w = c.of_row,
                             .rows = 1,
                             .inputs = c.inputs,
                             .outputs = c.outputs,
                             .act = c.act};
  multiply_few_rows<E, 1, Whole>(its, output);
}

/// Any numbers: a tile of 64 places and 64 outputs to a block, 4 x 4 of them to a thread, 16 terms in shared memory at a time.
template <class E>
__global__ void __launch_bounds__(256) expert_tile_kernel(const __grid_constant__ expert_product_call<E> c) {
  using real = real_of<E>;
  constexpr int side = 64, terms = 16;
  __shared__ real places[terms][side + 1], outputs[terms][side + 1];
  const expert_tile tile = find_tile<side>(c.first, c.experts, int(blockIdx.x));
  if (tile.rows == 0) return;
  const int first_output = int(blockIdx.y) * side, column = int(threadIdx.x) % 16, row = int(threadIdx.x) / 16;
  const E* const w = c.w + tile.expert * c.of_expert;
  real sums[4][4] = {};
  const auto number = [](const E* from) {
    real to[1];
    load_reals<false>(from, to);
    return to[0];
  };
  for (int k = 0; k < c.inputs; k += terms) {
#pragma unroll
    for (int i = row; i < side; i += 16) {
      const bool there = k + column < c.inputs;
      places[column][i] = there && i < tile.rows ? number(c.row(tile.place + i) + k + column) : real(0);
      outputs[column][i] = there && first_output + i < c.outputs
                               ? number(w + index_t(first_output + i) * c.of_row + k + column)
                               : real(0);
    }
    __syncthreads();
#pragma unroll
    for (int term = 0; term < terms; ++term)
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += places[term][row + 16 * i] * outputs[term][column + 16 * j];
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    activate<E>(c.act, sums[i]);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const real sum[1] = {sums[i][j]};
      const int output = first_output + column + 16 * j;
      if (row + 16 * i < tile.rows && output < c.outputs)
        store_reals<false>(c.y + (tile.place + row + 16 * i) * c.of_y + output, sum);
    }
  }
}

/// The sizes of expert_mma_kernel's work.
struct expert_mma_tiles {
  static constexpr int threads = 128, rows = 64, outputs = 128, terms = 32, stages = 3;
  static constexpr int row_bytes = 2 * terms + 16, w_at = rows * row_bytes, stage_bytes = w_at + outputs * row_bytes;
};

/// Numbers of 16 bits in whole pieces: a tile of 64 places and 128 outputs to a block, 64 x 32 of them to a warp's tensor cores;
/// 32 terms at a time come by asynchronous copies, two of them on their way.
template <class E>
__global__ void __launch_bounds__(128, 4) expert_mma_kernel(const __grid_constant__ expert_product_call<E> c) {
  using sizes = expert_mma_tiles;
  __shared__ __align__(128) unsigned char memory[sizes::stages * sizes::stage_bytes];
  const expert_tile tile = find_tile<sizes::rows>(c.first, c.experts, int(blockIdx.x));
  if (tile.rows == 0) return;
  const std::uint32_t shared = ptx::shared_address(memory);
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const int piece_of = int(threadIdx.x) % 4, row_of = int(threadIdx.x) / 4,
            first_output = int(blockIdx.y) * sizes::outputs;
  const E* const w = c.w + tile.expert * c.of_expert + index_t(first_output + row_of) * c.of_row + 8 * piece_of;
  const E* x[2];
#pragma unroll
  for (int i = 0; i < 2; ++i)
    x[i] = row_of + 32 * i < tile.rows ? c.row(tile.place + row_of + 32 * i) + 8 * piece_of : nullptr;
  const int steps = (c.inputs + sizes::terms - 1) / sizes::terms;
  const auto send = [&](int step) {
    if (step < steps) {
      const int k = step * sizes::terms;
      const bool there = k + 8 * piece_of < c.inputs;
      const std::uint32_t to =
          shared + unsigned(step % sizes::stages * sizes::stage_bytes + row_of * sizes::row_bytes + 16 * piece_of);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const bool copies = there && x[i] != nullptr;
        ptx::copy_async_or_zeros(to + unsigned(32 * i * sizes::row_bytes), copies ? x[i] + k : c.x, copies);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool copies = there && first_output + row_of + 32 * i < c.outputs;
        ptx::copy_async_or_zeros(to + unsigned(sizes::w_at + 32 * i * sizes::row_bytes),
                                 copies ? w + 32 * i * c.of_row + k : c.w, copies);
      }
    }
    ptx::commit_copies();
  };
  const std::uint32_t first_x = shared + unsigned(lane % 16 * sizes::row_bytes + lane / 16 * 16);
  const std::uint32_t first_w =
      shared + unsigned(sizes::w_at + lane / 8 % 2 * 16 + (32 * warp + lane % 8 + lane / 16 * 8) * sizes::row_bytes);
  float sums[4][4][4] = {};  // of 16 places and 8 outputs each
  send(0), send(1);
  for (int step = 0; step < steps; ++step) {
    ptx::await_copies<1>();
    __syncthreads();  // and the stage that is sent to now has been read
    send(step + 2);
    const unsigned stage = unsigned(step % sizes::stages * sizes::stage_bytes);
#pragma unroll
    for (int k = 0; k < sizes::terms / 16; ++k) {
      std::uint32_t a[4][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        ptx::load_matrices(a[i], first_x + stage + unsigned(16 * i * sizes::row_bytes + 32 * k));
#pragma unroll
      for (int j = 0; j < 2; ++j)
        ptx::load_matrices(b[j], first_w + stage + unsigned(16 * j * sizes::row_bytes + 32 * k));
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          ptx::multiply_add<E>(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = 16 * i + 8 * half + lane / 4;
      if (row >= tile.rows) continue;
      E* const y = c.y + (tile.place + row) * c.of_y;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int output = first_output + 32 * warp + 8 * j + lane % 4 * 2;
        if (output >= c.outputs) continue;
        float pair[2] = {sums[i][j][2 * half], sums[i][j][2 * half + 1]};
        activate<E>(c.act, pair);
        *reinterpret_cast<std::uint32_t*>(y + output) = gpu::detail::round_pair<E>(pair[0], pair[1]);
      }
    }
}

/// Places up to which a warp computes one number: a tile of 64 would be nearly empty.
inline constexpr index_t few_places = 16;

/// Launches it; whole: all rows are whole pieces.
template <class E> status run_expert_products(const stream& on, const expert_product_call<E>& c, bool whole) {
  if (c.places == 0 || c.outputs == 0) return {};
  if (c.places <= few_places) {
    return launch_early(whole ? &expert_few_kernel<E, true> : &expert_few_kernel<E, false>,
                        few_rows_grid(c.outputs, c.places), dim3(32 * few_rows_outputs), 0, on.handle, c);
  }
  // Full tiles, and one that is not for each expert.
  const auto tiles = [&](int rows) {
    return unsigned(c.places / rows + (c.places < c.experts ? c.places : c.experts));
  };
  if constexpr (sizeof(E) == 2)
    if (whole && device_attribute(cudaDevAttrComputeCapabilityMajor) >= 8) {
      using sizes = expert_mma_tiles;
      return launch(&expert_mma_kernel<E>,
                    dim3(tiles(sizes::rows), unsigned((c.outputs + sizes::outputs - 1) / sizes::outputs)),
                    dim3(sizes::threads), 0, on.handle, c);
    }
  return launch(&expert_tile_kernel<E>, dim3(tiles(64), unsigned((c.outputs + 63) / 64)), dim3(256), 0, on.handle, c);
}

}  // namespace sextant::gpu::blockwise
