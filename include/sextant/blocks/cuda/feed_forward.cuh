// SPDX-License-Identifier: Apache-2.0
/// @file  Two linear layers with GELU between in one kernel, for rows so short that both matrices stay in shared memory.
#pragma once

#include <algorithm>  // max, min

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/blocks/cuda/products.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/warp_mma.cuh>

namespace sextant::gpu {

namespace blockwise {

/// A call as the kernel sees it: y = plus + W_2 gelu(W_1 u + b_1) + b_2. Strides count elements.
template <class E> struct feed_forward_call {
  const E *u, *plus, *w1, *b1, *w2, *b2;
  E* y;
  index_t of_u, of_plus, of_y;  ///< from row to row
  index_t rows;
  int hidden;
  const float *norm_weight, *norm_bias;  ///< of the norm that makes u of its rows first; null: none
  float eps;
};

/// The sizes of a block's work: rows of a tile, of a warp; hidden numbers at a time. C channels.
template <int C> struct feed_forward_tiles {
  static constexpr int threads = 256, rows = 128, chunk = 32, row_bytes = 2 * C + 16, tile_bytes = rows * row_bytes;
  int hidden;
  constexpr int hidden_bytes() const { return 2 * hidden + 16; }
  constexpr int w2_at() const { return hidden * row_bytes; }
  constexpr int biases_at() const { return w2_at() + C * hidden_bytes(); }
  constexpr int tiles_at() const { return biases_at() + (4 * (hidden + 3 * C) + 15) / 16 * 16; }
  constexpr std::size_t bytes() const { return std::size_t(tiles_at() + 2 * tile_bytes); }
};

/// gelu by its tanh formula: off by 5e-4 at most.
__device__ __forceinline__ float gelu_of(float x) {
  const float inner = x * fmaf(0.0356774081f, x * x, 0.7978845608f), half = 0.5f * x;
  return fmaf(half, ptx::tanh_approx(inner), half);
}

/// The layer norm of a warp's 16 rows in the registers of a first factor: a lane has 4 of every 16 numbers of two rows. `norm` is
/// C weights and C biases; r is the lane's place among the four of its rows.
template <class E, std::size_t Steps>
__device__ __forceinline__ void normalise_rows(std::uint32_t (&u)[Steps][4], const float* norm, int r, float eps) {
  constexpr int C = 16 * int(Steps);
  const auto sum_of_row = [](float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
  };
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    float numbers[C / 16][4], sum = 0;
#pragma unroll
    for (int k = 0; k < C / 16; ++k) {
      gpu::detail::widen_pair<E>(u[k][row], numbers[k][0], numbers[k][1]);
      gpu::detail::widen_pair<E>(u[k][row + 2], numbers[k][2], numbers[k][3]);
#pragma unroll
      for (const float e : numbers[k]) sum += e;
    }
    const float mean = sum_of_row(sum) * (1.0f / C);
    sum = 0;
#pragma unroll
    for (auto& some : numbers)
#pragma unroll
      for (float& e : some) e -= mean, sum += e * e;
    const float factor = inverse_root(sum_of_row(sum) * (1.0f / C) + eps);
#pragma unroll
    for (int k = 0; k < C / 16; ++k)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float* const at = norm + 16 * k + 8 * i + 2 * r;
        const float2 weight = *reinterpret_cast<const float2*>(at), bias = *reinterpret_cast<const float2*>(at + C);
        u[k][row + 2 * i] = gpu::detail::round_pair<E>(fmaf(numbers[k][2 * i] * factor, weight.x, bias.x),
                                                       fmaf(numbers[k][2 * i + 1] * factor, weight.y, bias.y));
      }
  }
}

/// A block keeps both matrices in shared memory and goes from tile to tile of 128 rows, the next one's on their way. A warp has 16
/// rows in its registers: 32 hidden numbers of each at a time, which as they come out of the first product are what the second
/// one takes. The rows of W_2 lie in the order that gives a lane 8 neighbouring numbers of each row of y.
template <class E, int C, bool Normed>
__global__ void __launch_bounds__(256, 2) feed_forward_kernel(const __grid_constant__ feed_forward_call<E> c) {
  using sizes = feed_forward_tiles<C>;
  const sizes p{c.hidden};
  extern __shared__ __align__(128) unsigned char feed_forward_memory[];
  const std::uint32_t shared = ptx::shared_address(feed_forward_memory);
  float* const biases = reinterpret_cast<float*>(feed_forward_memory + p.biases_at());
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, g = lane / 4, r = lane % 4;
  constexpr int pieces = C / 8, threads = sizes::threads;
  for (int k = int(threadIdx.x); k < c.hidden * pieces; k += threads)
    ptx::copy_async<16>(shared + unsigned(k / pieces * sizes::row_bytes + k % pieces * 16), c.w1 + 8 * k);
  const int hidden_pieces = c.hidden / 8;
  for (int k = int(threadIdx.x); k < C * hidden_pieces; k += threads) {
    const int row = k / hidden_pieces, piece = k - row * hidden_pieces;
    const int output = row / 32 * 32 + row % 8 / 2 * 8 + row % 32 / 8 * 2 + row % 2;
    ptx::copy_async<16>(shared + unsigned(p.w2_at() + row * p.hidden_bytes() + piece * 16),
                        c.w2 + output * c.hidden + 8 * piece);
  }
  for (int k = int(threadIdx.x); k < c.hidden + C; k += threads) {
    const E* const from = k < c.hidden ? c.b1 : c.b2;
    biases[k] = from == nullptr ? 0.0f : ptx::as_float(from[k < c.hidden ? k : k - c.hidden]);
  }
  if constexpr (Normed)
    for (int k = int(threadIdx.x); k < C; k += threads) {
      biases[c.hidden + C + k] = c.norm_weight[k];
      biases[c.hidden + 2 * C + k] = c.norm_bias == nullptr ? 0.0f : c.norm_bias[k];
    }
  const auto send = [&](index_t tile, int half) {
    if (tile * sizes::rows < c.rows)
      for (int k = int(threadIdx.x); k < sizes::rows * pieces; k += threads) {
        const index_t row = tile * sizes::rows + k / pieces;
        const bool there = row < c.rows;
        ptx::copy_async_or_zeros(shared + unsigned(p.tiles_at() + half * sizes::tile_bytes +
                                                   k / pieces * sizes::row_bytes + k % pieces * 16),
                                 there ? c.u + row * c.of_u + k % pieces * 8 : c.u, there);
      }
    ptx::commit_copies();
  };
  // Where a lane's row of the matrices that it names lies: of 16 rows of u, of 16 outputs.
  const std::uint32_t first_row =
      shared + unsigned(p.tiles_at() + (16 * warp + lane % 16) * sizes::row_bytes + lane / 16 * 16);
  const int output = lane % 8 + lane / 16 * 8, term = lane / 8 % 2 * 16;
  const std::uint32_t first_w1 = shared + unsigned(output * sizes::row_bytes + term);
  const std::uint32_t first_w2 = shared + unsigned(p.w2_at() + output * p.hidden_bytes() + term);

  send(blockIdx.x, 0);
  int half = 0;
  for (index_t tile = blockIdx.x; tile * sizes::rows < c.rows; tile += gridDim.x, half ^= 1) {
    send(tile + gridDim.x, half ^ 1);
    ptx::await_copies<1>();
    __syncthreads();
    std::uint32_t u[C / 16][4];
#pragma unroll
    for (int k = 0; k < C / 16; ++k) ptx::load_matrices(u[k], first_row + unsigned(half * sizes::tile_bytes + 32 * k));
    __syncthreads();  // the tile is free for the copies of the next turn
    if constexpr (Normed) normalise_rows<E>(u, biases + c.hidden + C, r, c.eps);
    float sums[C / 8][4] = {};
#pragma unroll 1
    for (int first = 0; first < c.hidden; first += sizes::chunk) {
      float hidden[4][4];
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const float2 bias = *reinterpret_cast<const float2*>(biases + first + 8 * n + 2 * r);
        hidden[n][0] = hidden[n][2] = bias.x, hidden[n][1] = hidden[n][3] = bias.y;
      }
#pragma unroll
      for (int k = 0; k < C / 16; ++k)
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          std::uint32_t b[4];
          ptx::load_matrices(b, first_w1 + unsigned((first + 16 * n) * sizes::row_bytes + 32 * k));
          ptx::multiply_add<E>(hidden[2 * n], u[k], b[0], b[1]);
          ptx::multiply_add<E>(hidden[2 * n + 1], u[k], b[2], b[3]);
        }
      std::uint32_t h[2][4];
#pragma unroll
      for (int n = 0; n < 4; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          h[n / 2][n % 2 * 2 + i] =
              gpu::detail::round_pair<E>(gelu_of(hidden[n][2 * i]), gelu_of(hidden[n][2 * i + 1]));
#pragma unroll
      for (int k = 0; k < 2; ++k)
#pragma unroll
        for (int n = 0; n < C / 16; ++n) {
          std::uint32_t b[4];
          ptx::load_matrices(b, first_w2 + unsigned(16 * n * p.hidden_bytes() + 2 * first + 32 * k));
          ptx::multiply_add<E>(sums[2 * n], h[k], b[0], b[1]);
          ptx::multiply_add<E>(sums[2 * n + 1], h[k], b[2], b[3]);
        }
    }
#pragma unroll
    for (int upper = 0; upper < 2; ++upper) {
      const index_t row = tile * sizes::rows + 16 * warp + 8 * upper + g;
      if (row >= c.rows) continue;
#pragma unroll
      for (int group = 0; group < C / 32; ++group) {
        const int channel = 32 * group + 8 * r;
        float numbers[8], more[8];
        load_weights<true>(biases + c.hidden + channel, more);
#pragma unroll
        for (int e = 0; e < 8; ++e) numbers[e] = sums[4 * group + e / 2][2 * upper + e % 2] + more[e];
        if (c.plus != nullptr) {
          load_reals<true>(c.plus + row * c.of_plus + channel, more);
#pragma unroll
          for (int e = 0; e < 8; ++e) numbers[e] += more[e];
        }
        store_reals<true>(c.y + row * c.of_y + channel, numbers);
      }
    }
  }
}

}  // namespace blockwise

/// Whether feed_forward() computes these two layers: 64 channels of 16 bits in whole 16-byte pieces and up to 320 hidden numbers,
/// a multiple of 32.
template <class E>
bool takes_feed_forward(const block_stream&, const blocks::rows<const E>& u, const blocks::modules::linear<E>& w1,
                        const blocks::modules::linear<E>& w2, const blocks::rows<const E>& plus,
                        const blocks::rows<E>& y) {
  if constexpr (sizeof(E) != 2) {
    return false;
  } else {
    return w1.inputs() == 64 && w2.outputs() == 64 && w1.outputs() == w2.inputs() && w2.inputs() % 32 == 0 &&
           w2.inputs() <= 320 && w2.inputs() > 0 && w1.weight.stride(0) == 64 && w2.weight.stride(0) == w2.inputs() &&
           blockwise::has_pieces(u, 64) && blockwise::has_pieces(y, 64) && (!plus || blockwise::has_pieces(plus, 64)) &&
           holds_packets(w1.weight.data()) && holds_packets(w2.weight.data()) &&
           device_attribute(cudaDevAttrComputeCapabilityMajor) >= 8 && shared_bytes_of_block() >= 112 * 1024;
  }
}

namespace blockwise {

template <bool Normed, class E>
status run_feed_forward(const stream& on, const rows<const E>& u, const modules::layer_norm<E>* norm,
                        const modules::linear<E>& w1, const modules::linear<E>& w2, const rows<const E>& plus,
                        const rows<E>& y) {
  if (const status fits = blocks::shapes::rows_to_rows<E>(u, 64, y, 64); !fits) return fits;
  if (y.size() == 0) return {};
  if constexpr (sizeof(E) == 2) {
    const feed_forward_call<E> c{.u = u.data(),
                                 .plus = plus.data(),
                                 .w1 = w1.weight.data(),
                                 .b1 = w1.bias.data(),
                                 .w2 = w2.weight.data(),
                                 .b2 = w2.bias.data(),
                                 .y = y.data(),
                                 .of_u = u.stride(0),
                                 .of_plus = plus.stride(0),
                                 .of_y = y.stride(0),
                                 .rows = u.extent(0),
                                 .hidden = int(w1.outputs()),
                                 .norm_weight = norm != nullptr ? norm->weight.data() : nullptr,
                                 .norm_bias = norm != nullptr ? norm->bias.data() : nullptr,
                                 .eps = norm != nullptr ? float(norm->eps) : 0.0f};
    using sizes = feed_forward_tiles<64>;
    const index_t tiles = (c.rows + sizes::rows - 1) / sizes::rows;
    const index_t most = 2 * std::max(1, device_attribute(cudaDevAttrMultiProcessorCount));
    return launch(&feed_forward_kernel<E, 64, Normed>, dim3(unsigned(std::min(tiles, most))), dim3(sizes::threads),
                  sizes{c.hidden}.bytes(), on.handle, c);
  } else {
    return {errc::unsupported, "feed_forward: in one kernel for 64 channels of 16 bits alone"};
  }
}

}  // namespace blockwise

/// y = plus + W_2 gelu(W_1 u + b_1) + b_2, the hidden numbers in registers alone, rounded once as a stored tensor's would be; gelu
/// by its tanh formula, off by 5e-4 at most. y may be plus. Only where takes_feed_forward() says so. Reads u and plus once and
/// writes y once; deterministic.
template <class E>
status feed_forward(const block_stream& on, const blocks::rows<const E>& u, const blocks::modules::linear<E>& w1,
                    const blocks::modules::linear<E>& w2, const blocks::rows<const E>& plus, const blocks::rows<E>& y) {
  if (!takes_feed_forward(on, u, w1, w2, plus, y))
    return {errc::unsupported, "feed_forward: in one kernel for 64 channels of 16 bits alone"};
  return blockwise::run_feed_forward<false, E>(on, u, nullptr, w1, w2, plus, y);
}

/// y = x + W_2 gelu(W_1 layer_norm(x) + b_1) + b_2, likewise; y may be x. Reads x once and writes y once.
template <class E>
status layer_norm_feed_forward(const block_stream& on, const blocks::rows<const E>& x,
                               const blocks::modules::layer_norm<E>& norm, const blocks::modules::linear<E>& w1,
                               const blocks::modules::linear<E>& w2, const blocks::rows<E>& y) {
  if (!takes_feed_forward(on, x, w1, w2, x, y))
    return {errc::unsupported, "feed_forward: in one kernel for 64 channels of 16 bits alone"};
  if (norm.channels() != 64 || !norm.weight) return {errc::shape, "feed_forward: the norm is of the rows' 64 channels"};
  return blockwise::run_feed_forward<true, E>(on, x, &norm, w1, w2, x, y);
}

}  // namespace sextant::gpu
