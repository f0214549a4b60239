// SPDX-License-Identifier: Apache-2.0
/// @file  Norms on a GPU: a row in the registers of some lanes of a warp, or read again where it is too long for that.
#pragma once

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/cuda/ptx/early_launch.cuh>

namespace sextant::gpu::blockwise {

enum class row_norm { layer, rms };
/// What is normalised: x, x + more (stored as `sum`), x silu(more).
enum class norm_source { plain, sum, gated };

/// A call as the kernels see it. Each row is `groups` rows of their own. S is the type of x and of the sum.
template <class E, class S = E> struct norm_call {
  using real = real_of<E>;
  const S* x;
  const E* more;
  const real *weight, *bias;
  S* sum;
  E* y;
  index_t of_x, of_more, of_sum, of_y;  ///< from row to row
  index_t rows, groups;
  int columns;  ///< of a group
  real eps;

  static norm_call of(const blockwise::rows<const S>& x, const real* weight, const real* bias, double eps,
                      const blockwise::rows<E>& y) {
    return {.x = x.data(),
            .more = nullptr,
            .weight = weight,
            .bias = bias,
            .sum = nullptr,
            .y = y.data(),
            .of_x = x.stride(0),
            .of_more = 0,
            .of_sum = 0,
            .of_y = y.stride(0),
            .rows = x.extent(0),
            .groups = 1,
            .columns = 0,
            .eps = real(eps)};
  }
  void take(const blockwise::rows<const E>& delta, const blockwise::rows<S>& its_sum) {
    more = delta.data(), of_more = delta.stride(0), sum = its_sum.data(), of_sum = its_sum.stride(0);
  }
};

/// Where one row of a call lies.
template <class E, class S> struct norm_row {
  using real = real_of<E>;
  const S* x;
  const E* more;
  const real *weight, *bias;
  S* sum;
  E* y;

  __device__ __forceinline__ norm_row(const norm_call<E, S>& c, index_t at) {
    const index_t row = c.groups == 1 ? at : at / c.groups, first = (at - row * c.groups) * c.columns;
    x = c.x + row * c.of_x + first, more = c.more + row * c.of_more + first;
    sum = c.sum + row * c.of_sum + first, y = c.y + row * c.of_y + first;
    weight = c.weight + first, bias = c.bias == nullptr ? nullptr : c.bias + first;
  }
  /// The numbers to normalise, from column `at` on; a sum is stored on the way, and is what was stored.
  template <norm_source Source, bool Whole, std::size_t Count>
  __device__ __forceinline__ void load(int at, real (&to)[Count]) const {
    constexpr int count = Whole ? piece<S, true>::count : 1;  // of x in 16 bytes
    real others[Count];
    if constexpr (Source != norm_source::plain) load_reals<Whole>(more + at, others);
#pragma unroll
    for (int i = 0; i < int(Count); i += count) {
      real_of<S> some[count];
      load_reals<Whole>(x + at + i, some);
      if constexpr (Source == norm_source::sum) {
#pragma unroll
        for (int j = 0; j < count; ++j) some[j] += others[i + j];
        const auto stored = narrowed<S, Whole>(some);
        store_piece<Whole>(sum + at + i, stored);
        widen<S, Whole>(stored, some);
      }
#pragma unroll
      for (int j = 0; j < count; ++j) to[i + j] = some[j];
    }
    if constexpr (Source == norm_source::gated)
#pragma unroll
      for (int j = 0; j < int(Count); ++j) to[j] *= silu_of<E>(others[j]);
  }
  /// y = (numbers - mean) factor weight + bias from column `at` on.
  template <row_norm Kind, bool Whole, std::size_t Count>
  __device__ __forceinline__ void store(int at, real (&numbers)[Count], real mean, real factor) const {
    real its[Count];
    load_weights<Whole>(weight + at, its);
#pragma unroll
    for (int j = 0; j < int(Count); ++j) numbers[j] = (numbers[j] - mean) * factor * its[j];
    if constexpr (Kind == row_norm::layer) {
      if (bias != nullptr) {
        load_weights<Whole>(bias + at, its);
#pragma unroll
        for (int j = 0; j < int(Count); ++j) numbers[j] += its[j];
      }
    }
    store_reals<Whole>(y + at, numbers);
  }
};

/// The sum over `Lanes` neighbouring lanes: of a warp, or of a block of so many, which all of it calls.
template <int Lanes, class Real> __device__ __forceinline__ Real sum_of_lanes(Real x) {
#pragma unroll
  for (int apart = (Lanes < 32 ? Lanes : 32) / 2; apart > 0; apart /= 2) x += __shfl_xor_sync(~0u, x, apart);
  if constexpr (Lanes > 32) {
    __shared__ Real parts[Lanes / 32];
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = parts[0];
#pragma unroll
    for (int i = 1; i < Lanes / 32; ++i) x += parts[i];
  }
  return x;
}
/// A row to `Lanes` lanes of a warp or to a block, each of which has up to `Pieces` pieces of it in registers.
template <class E, class S, row_norm Kind, norm_source Source, int Lanes, int Pieces>
__global__ void __launch_bounds__(128, 6) norm_kernel(const __grid_constant__ norm_call<E, S> c) {
  ptx::begin_early();
  using real = real_of<E>;
  constexpr int count = piece<E, true>::count;
  const index_t rows = c.rows * c.groups;
  const index_t at = (index_t(blockIdx.x) * blockDim.x + threadIdx.x) / Lanes;
  const bool there = at < rows;
  const norm_row<E, S> row(c, there ? at : 0);
  const int first = int(threadIdx.x) % Lanes * count, end = there ? c.columns : 0;
  real numbers[Pieces][count];
  real sum = 0;
#pragma unroll
  for (int k = 0; k < Pieces; ++k) {
#pragma unroll
    for (auto& e : numbers[k]) e = 0;
    const int column = first + k * Lanes * count;
    if (column < end) row.template load<Source, true>(column, numbers[k]);
#pragma unroll
    for (const auto& e : numbers[k]) sum += Kind == row_norm::layer ? e : e * e;
  }
  const real length = real(c.columns);
  sum = sum_of_lanes<Lanes>(sum);
  real mean = 0;
  if constexpr (Kind == row_norm::layer) {
    mean = sum / length;
    sum = 0;
#pragma unroll
    for (int k = 0; k < Pieces; ++k)
#pragma unroll
      for (const auto& e : numbers[k])
        if (first + k * Lanes * count < end) sum += (e - mean) * (e - mean);
    sum = sum_of_lanes<Lanes>(sum);
  }
  const real factor = inverse_root(sum / length + c.eps);
#pragma unroll
  for (int k = 0; k < Pieces; ++k) {
    const int column = first + k * Lanes * count;
    if (column < end) row.template store<Kind, true>(column, numbers[k], mean, factor);
  }
}

/// A row to a warp, number by number and again for each sum: any length, address and stride. y is stored behind the last
/// number that is read where they overlap.
template <class E, class S, row_norm Kind, norm_source Source>
__global__ void __launch_bounds__(128) norm_any_kernel(const __grid_constant__ norm_call<E, S> c) {
  ptx::begin_early();
  using real = real_of<E>;
  const index_t at = (index_t(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  if (at >= c.rows * c.groups) return;
  const norm_row<E, S> row(c, at);
  const int lane = int(threadIdx.x) % 32;
  // A sum is computed once, and read back where it was stored, by the lane that stored it.
  const auto again = [&](int column, real(&to)[1]) {
    if constexpr (Source == norm_source::sum) {
      real_of<S> stored[1];
      load_reals<false>(static_cast<const S*>(row.sum + column), stored);
      to[0] = stored[0];
    } else row.template load<Source, false>(column, to);
  };
  real sum = 0, number[1];
  for (int column = lane; column < c.columns; column += 32) {
    row.template load<Source, false>(column, number);
    sum += Kind == row_norm::layer ? number[0] : number[0] * number[0];
  }
  const real length = real(c.columns);
  sum = sum_of_lanes<32>(sum);
  real mean = 0;
  if constexpr (Kind == row_norm::layer) {
    mean = sum / length;
    sum = 0;
    for (int column = lane; column < c.columns; column += 32) {
      again(column, number);
      sum += (number[0] - mean) * (number[0] - mean);
    }
    sum = sum_of_lanes<32>(sum);
  }
  const real factor = inverse_root(sum / length + c.eps);
  for (int column = lane; column < c.columns; column += 32) {
    again(column, number);
    row.template store<Kind, false>(column, number, mean, factor);
  }
}

/// Launches the kernel whose registers hold a row of the call.
template <row_norm Kind, norm_source Source, class E, class S>
status run_norm(const gpu::stream& on, norm_call<E, S> c, const rows<E>& y) {
  if (y.size() == 0) return {};
  if (y.size() >= most_items || y.extent(1) >= index_t(1) << 30) return too_many();
  c.columns = int(y.extent(1) / c.groups);
  const index_t rows = c.rows * c.groups;
  constexpr int count = piece<E, true>::count, threads = 128;
  const auto whole = [&](const auto* p, index_t step) {
    return gpu::holds_packets(p) && (step * index_t(sizeof *p) % 16 == 0 || c.rows <= 1);
  };
  const int pieces = c.columns / count;
  const auto go = [&](auto kernel, int lanes) {
    return gpu::launch_early(kernel, blocks_for(rows * lanes, threads), dim3(threads), 0, on.handle, c);
  };
  const bool in_pieces = c.columns % count == 0 && whole(c.x, c.of_x) && whole(c.y, c.of_y) &&
                         whole(c.more, c.of_more) && whole(c.sum, c.of_sum) && gpu::holds_packets(c.weight) &&
                         gpu::holds_packets(c.bias);
  if (in_pieces && pieces <= 8) return go(&norm_kernel<E, S, Kind, Source, 8, 1>, 8);
  if (in_pieces && pieces <= 32) return go(&norm_kernel<E, S, Kind, Source, 8, 4>, 8);
  if (in_pieces && pieces <= 128) return go(&norm_kernel<E, S, Kind, Source, 32, 4>, 32);
  if (in_pieces && pieces <= 512) return go(&norm_kernel<E, S, Kind, Source, 128, 4>, 128);
  return go(&norm_any_kernel<E, S, Kind, Source>, 32);
}

}  // namespace sextant::gpu::blockwise
