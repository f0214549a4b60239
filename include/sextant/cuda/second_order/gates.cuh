// SPDX-License-Identifier: Apache-2.0
/// @file  Second order: the gates of one head.
#pragma once

#include <sextant/cuda/chunked_mma/gates.cuh>
#include <sextant/cuda/parts.cuh>
#include <sextant/cuda/second_order/plan.cuh>

namespace sextant::gpu::second {

/// What kernels read a design's gates from.
template <class Input, class Forget> struct head_parts {
  Input input;
  Forget forget;
};

/// The gates of one head, token by token.
template <class Token, class Parts> struct gates_of_head {
  mma::gate_reader<Token, Parts> reader;
  bool forgets, admits;
  float rate, bias;

  __device__ gates_of_head(const device_call<float>& c, const Parts& parts, index_t n, index_t h)
      : reader{c, parts, int(n), int(h)}, forgets{!parts.forget.is_one}, admits{!parts.input.is_one} {
    rate = forgets ? reader.rate(0) : 0.0f;
    bias = reader.reads_forget() || reader.reads_input() ? reader.bias(0) : 0.0f;
  }
  /// Where token t lies, t counting in the order in which the state meets the tokens.
  __device__ __forceinline__ index_t place(int t) const {
    return reader.c.order == order_kind::reversed ? reader.c.tokens - 1 - t : t;
  }
  __device__ __forceinline__ mma::raw_gates<Token> read(int t) const {
    return reader.read(place(t), forgets && reader.reads_forget(), admits && reader.reads_input());
  }
  /// log2 F, at least -256: below that a factor is 0 in float, and sums of 64 of them are exact enough for their differences.
  __device__ __forceinline__ float log2_forget(const mma::raw_gates<Token>& raw) const {
    if (!forgets) return 0.0f;
    const float x = reader.log_forget(reader.forget_raw(raw, bias), rate) * log2_e;
    return x < -256.0f ? -256.0f : x;
  }
  __device__ __forceinline__ float input(const mma::raw_gates<Token>& raw) const {
    return admits ? reader.input(reader.input_raw(raw, bias)) : 1.0f;
  }
};

/// What tokens of a chunk leave for its end, for the kernel that sums states up.
struct entering_gates {
  static constexpr int threads = 256, per_thread = 5;
  static constexpr int most = quadratic_tokens + 2 * tile;

  float of_warps[threads / 32];
  alignas(8) float decay[most];     ///< what is left at the chunk's end of what token t enters
  alignas(8) float admitted[most];  ///< that times the input gate

  /// Of tokens first..behind - 1, by all threads; returns log2 of what the chunk leaves of the state before. Ends with a
  /// barrier, and the threads are past all uses of the chunk before once they are past another one in it.
  template <class Token, class Parts>
  __device__ float compute(const gates_of_head<Token, Parts>& gates, int first, int behind) {
    const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
    constexpr int block = threads * per_thread;
    float later = 0.0f;  // the sum of the logarithms of all tokens from the block's end on
    for (int from = (behind - first - 1) / block * block; from >= 0; from -= block) {
      mma::raw_gates<Token> raw[per_thread];
      const int t0 = first + from + thread * per_thread;
#pragma unroll
      for (int i = 0; i < per_thread; ++i)
        if (t0 + i < behind) raw[i] = gates.read(t0 + i);
      float log[per_thread], in[per_thread], own = 0.0f;
#pragma unroll
      for (int i = 0; i < per_thread; ++i) {
        log[i] = t0 + i < behind ? gates.log2_forget(raw[i]) : 0.0f;
        in[i] = t0 + i < behind ? gates.input(raw[i]) : 0.0f;
        own += log[i];
      }
      float sum = own;
#pragma unroll
      for (int d = 1; d < 32; d *= 2) {
        const float behind_it = __shfl_down_sync(~0u, sum, d);
        if (lane + d < 32) sum += behind_it;
      }
      if (lane == 0) of_warps[warp] = sum;
      const float after_lane = __shfl_down_sync(~0u, sum, 1);
      float after = later + (lane < 31 ? after_lane : 0.0f);
      __syncthreads();
      for (int w = warp + 1; w < threads / 32; ++w) after += of_warps[w];
      for (int w = 0; w < threads / 32; ++w) later += of_warps[w];
#pragma unroll
      for (int i = per_thread - 1; i >= 0; --i) {
        if (t0 + i < behind) {
          const float left = ptx::exp2_approx(after);
          decay[t0 + i - first] = left;
          admitted[t0 + i - first] = left * in[i];
        } else if (from + thread * per_thread + i < most) {
          decay[from + thread * per_thread + i] = admitted[from + thread * per_thread + i] = 0;
        }
        after += log[i];
      }
      __syncthreads();
    }
    return later;
  }
};

}  // namespace sextant::gpu::second
