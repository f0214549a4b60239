// SPDX-License-Identifier: Apache-2.0
/// @file  Causal depthwise convolutions along time on a GPU: sequences, and one token with a state.
#pragma once

#include <algorithm>    // max
#include <type_traits>  // integral_constant, true_type, type_identity_t

#include <sextant/blocks/cuda/piece.cuh>
#include <sextant/blocks/shapes.hpp>
#include <sextant/cuda/ptx/early_launch.cuh>

namespace sextant::gpu {

namespace blockwise {

/// A call as the kernels see it. `before` are the width - 1 tokens in front of the first (null: zeros), `behind` the last ones.
template <class E> struct conv1d_call {
  struct strides {
    index_t batch, time;
  };
  const E *x, *before;
  const real_of<E>*weight, *bias;
  E *y, *behind;
  strides of_x, of_y, of_before, of_behind;
  index_t sequences, length, runs;
  int run;  ///< tokens of a run
  int channels;
  activation act;
};

/// Tokens that a thread has on their way while it computes as many; threads of a block, and blocks to a multiprocessor.
inline constexpr int tokens_at_once = 8, conv1d_threads = 128, conv1d_blocks = 3;

/// Tokens of a thread's run: of those for which a GPU's waves of blocks take least, counting what a thread reads and begins with
/// as six tokens. The last wave is seldom full, and a few long ones waste more than many short ones.
inline int tokens_of_run(index_t sequences, index_t length, index_t pieces) {
  const index_t at_once =
      index_t(conv1d_threads) * conv1d_blocks * std::max(1, device_attribute(cudaDevAttrMultiProcessorCount));
  int chosen = 0;
  index_t least = 0;
  for (int run = 16; run <= 64; run += tokens_at_once) {
    const index_t threads = sequences * ((length + run - 1) / run) * pieces;
    const index_t cost = (threads + at_once - 1) / at_once * (run + 6);
    if (chosen == 0 || cost < least) chosen = run, least = cost;
  }
  return chosen;
}

/// A piece of channels in a run of tokens to a thread: the taps and the tokens before are in its registers.
template <class E, bool Whole, int Width>
__global__ void __launch_bounds__(conv1d_threads, conv1d_blocks)
    conv1d_kernel(const __grid_constant__ conv1d_call<E> c) {
  using real = real_of<E>;
  constexpr int count = piece<E, Whole>::count;
  const unsigned pieces = unsigned(c.channels / count);
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const index_t at = item / pieces;
  if (at >= c.sequences * c.runs) return;
  const int channel = int(item - at * pieces) * count;
  const index_t sequence = at / c.runs, first = (at - sequence * c.runs) * c.run;
  const index_t end = min(first + c.run, c.length);
  const E* const x = c.x + sequence * c.of_x.batch + channel;
  E* const y = c.y + sequence * c.of_y.batch + channel;
  // Token t, which may be one before the first.
  const auto load = [&](index_t t, real(&to)[count]) {
    if (t >= 0) return load_reals<Whole>(x + t * c.of_x.time, to);
    if (c.before != nullptr)
      return load_reals<Whole>(c.before + sequence * c.of_before.batch + (t + Width - 1) * c.of_before.time + channel,
                               to);
#pragma unroll
    for (auto& e : to) e = 0;
  };
  real w[Width][count], bias[count], seen[Width][count];  // of `seen` the first Width - 1
#pragma unroll
  for (int tap = 0; tap < Width; ++tap) load_weights<Whole>(c.weight + index_t(tap) * c.channels + channel, w[tap]);
#pragma unroll
  for (auto& e : bias) e = 0;
  if (c.bias != nullptr) load_weights<Whole>(c.bias + channel, bias);
#pragma unroll
  for (int i = 0; i < Width - 1; ++i) load(first + i - (Width - 1), seen[i]);

  piece<E, Whole> coming[tokens_at_once];
  const auto fetch = [&](index_t t) {
#pragma unroll
    for (int i = 0; i < tokens_at_once; ++i)
      coming[i] = load_piece<Whole>(x + (t + i < end ? t + i : end - 1) * c.of_x.time);
  };
  // The tokens at hand, of which all or some there are.
  const auto convolve = [&](index_t t, auto all) {
    piece<E, Whole> here[tokens_at_once];
#pragma unroll
    for (int i = 0; i < tokens_at_once; ++i) here[i] = coming[i];
    if (t + tokens_at_once < end) fetch(t + tokens_at_once);
#pragma unroll
    for (int i = 0; i < tokens_at_once; ++i) {
      if (!decltype(all)::value && t + i >= end) break;
      real token[count], sums[count];
      widen<E, Whole>(here[i], token);
#pragma unroll
      for (int j = 0; j < count; ++j) {
        sums[j] = bias[j] + w[Width - 1][j] * token[j];
#pragma unroll
        for (int tap = 0; tap < Width - 1; ++tap) sums[j] += w[tap][j] * seen[tap][j];
#pragma unroll
        for (int tap = 0; tap + 1 < Width - 1; ++tap) seen[tap][j] = seen[tap + 1][j];
        if constexpr (Width > 1) seen[Width - 2][j] = token[j];
      }
      activate<E>(c.act, sums);
      store_reals<Whole>(y + (t + i) * c.of_y.time, sums);
    }
  };
  fetch(first);
  index_t t = first;
#pragma unroll 1
  for (; t + tokens_at_once <= end; t += tokens_at_once) convolve(t, std::true_type{});
  if (t < end) convolve(t, std::false_type{});
}

/// behind[i] = token length - (width - 1) + i of each sequence, those of `before` where it is shorter. A thread has a channel
/// and goes from the oldest on, so that `behind` may be `before`.
template <class E> __global__ void conv1d_state_kernel(const __grid_constant__ conv1d_call<E> c, int width) {
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const index_t sequence = item / c.channels;
  if (sequence >= c.sequences) return;
  const index_t channel = item - sequence * c.channels;
  for (int i = 0; i < width - 1; ++i) {
    const index_t t = c.length - (width - 1) + i;
    E kept = E(0.0f);
    if (t >= 0) kept = c.x[sequence * c.of_x.batch + t * c.of_x.time + channel];
    else if (c.before != nullptr)
      kept = c.before[sequence * c.of_before.batch + (t + width - 1) * c.of_before.time + channel];
    c.behind[sequence * c.of_behind.batch + i * c.of_behind.time + channel] = kept;
  }
}

/// One token, a channel to a thread; the state moves on in its place, once all of it is read.
template <class E, int Width> __global__ void conv1d_step_kernel(const __grid_constant__ conv1d_call<E> c) {
  ptx::begin_early();
  const index_t item = index_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const index_t sequence = item / c.channels;
  if (sequence >= c.sequences) return;
  const index_t channel = item - sequence * c.channels;
  E* const state = c.behind + sequence * c.of_behind.batch + channel;
  E tokens[Width];  // the oldest first
#pragma unroll
  for (int i = 0; i < Width - 1; ++i) tokens[i] = state[i * c.of_behind.time];
  tokens[Width - 1] = c.x[sequence * c.of_x.batch + channel];
  real_of<E> sum[1] = {c.bias != nullptr ? c.bias[channel] : real_of<E>(0)};
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    real_of<E> number[1];
    load_reals<false>(&tokens[i], number);
    sum[0] += c.weight[index_t(i) * c.channels + channel] * number[0];
  }
#pragma unroll
  for (int i = 0; i < Width - 1; ++i) state[i * c.of_behind.time] = tokens[i + 1];
  activate<E>(c.act, sum);
  store_reals<false>(c.y + sequence * c.of_y.batch + channel, sum);
}

/// visit(width) as a constant.
template <class Visit> status with_width(index_t width, const Visit& visit) {
  switch (width) {
    case 1:
      return visit(std::integral_constant<int, 1>{});
    case 2:
      return visit(std::integral_constant<int, 2>{});
    case 3:
      return visit(std::integral_constant<int, 3>{});
    case 4:
      return visit(std::integral_constant<int, 4>{});
    case 5:
      return visit(std::integral_constant<int, 5>{});
    case 6:
      return visit(std::integral_constant<int, 6>{});
    case 7:
      return visit(std::integral_constant<int, 7>{});
    default:
      return visit(std::integral_constant<int, 8>{});
  }
}

}  // namespace blockwise

/// y_t = act(bias + sum over i of w_i (.) x_{t - width + 1 + i}), every channel by itself. The tokens before the first are those
/// of `initial_state` [B, width - 1, C], the oldest first, or zeros; `final_state` takes the last ones and may be the initial one.
/// y overlaps nothing that is read. Reads x once and writes y once; two launches with a final state, one without.
template <class E>
status causal_conv1d(const stream& on, std::type_identity_t<blocks::tokens<const E>> x,
                     const blocks::modules::conv1d<E>& w, std::type_identity_t<blocks::tokens<E>> y,
                     blocks::activation act = blocks::activation::none,
                     std::type_identity_t<blocks::tokens<const E>> initial_state = {},
                     std::type_identity_t<blocks::tokens<E>> final_state = {}) {
  using namespace blockwise;
  if (const status fits = blocks::shapes::conv1d<E>(x, w, y, initial_state, final_state); !fits) return fits;
  const index_t C = x.extent(2);
  if (x.extent(0) == 0 || C == 0) return {};
  if (x.size() >= most_items || C >= index_t(1) << 30) return too_many();
  conv1d_call<E> c{.x = x.data(),
                   .before = initial_state.data(),
                   .weight = w.weight.data(),
                   .bias = w.bias.data(),
                   .y = y.data(),
                   .behind = final_state.data(),
                   .of_x = {x.stride(0), x.stride(1)},
                   .of_y = {y.stride(0), y.stride(1)},
                   .of_before = {initial_state.stride(0), initial_state.stride(1)},
                   .of_behind = {final_state.stride(0), final_state.stride(1)},
                   .sequences = x.extent(0),
                   .length = x.extent(1),
                   .runs = 1,
                   .run = 1,
                   .channels = int(C),
                   .act = act};
  constexpr int threads = conv1d_threads;
  if (c.length > 0) {
    const bool whole = has_pieces(x, C) && has_pieces(y, C) && (!initial_state || has_pieces(initial_state, C)) &&
                       gpu::holds_packets(c.weight) && gpu::holds_packets(c.bias);
    c.run = tokens_of_run(c.sequences, c.length, whole ? C / piece<E, true>::count : C);
    c.runs = (c.length + c.run - 1) / c.run;
    const index_t items = c.sequences * c.runs * C;
    const status done = with_width(w.width(), [&](auto width) {
      // Many taps do not leave a thread the registers for whole pieces.
      if constexpr (decltype(width)::value <= 4)
        if (whole)
          return launch(&conv1d_kernel<E, true, decltype(width)::value>,
                        blocks_for(items / piece<E, true>::count, threads), dim3(threads), 0, on.handle, c);
      return launch(&conv1d_kernel<E, false, decltype(width)::value>, blocks_for(items, threads), dim3(threads), 0,
                    on.handle, c);
    });
    if (!done) return done;
  }
  if (!final_state) return {};
  return gpu::launch(&conv1d_state_kernel<E>, blocks_for(c.sequences * C, threads), dim3(threads), 0, on.handle, c,
                     int(w.width()));
}

/// One token of causal_conv1d(): x and y [B, C]; the state [B, width - 1, C] is read and moved on. y may be x.
template <class E>
status causal_conv1d_step(const stream& on, std::type_identity_t<blocks::rows<const E>> x,
                          const blocks::modules::conv1d<E>& w, std::type_identity_t<blocks::tokens<E>> state,
                          std::type_identity_t<blocks::rows<E>> y, blocks::activation act = blocks::activation::none) {
  using namespace blockwise;
  if (const status fits = blocks::shapes::conv1d_step<E>(x, w, state, y); !fits) return fits;
  if (y.size() == 0) return {};
  if (y.size() >= most_items || y.extent(1) >= index_t(1) << 30) return too_many();
  const conv1d_call<E> c{.x = x.data(),
                         .before = state.data(),
                         .weight = w.weight.data(),
                         .bias = w.bias.data(),
                         .y = y.data(),
                         .behind = state.data(),
                         .of_x = {x.stride(0), 0},
                         .of_y = {y.stride(0), 0},
                         .of_before = {state.stride(0), state.stride(1)},
                         .of_behind = {state.stride(0), state.stride(1)},
                         .sequences = y.extent(0),
                         .length = 1,
                         .runs = 1,
                         .run = 1,
                         .channels = int(y.extent(1)),
                         .act = act};
  constexpr int threads = 128;
  return with_width(w.width(), [&](auto width) {
    return launch_early(&conv1d_step_kernel<E, decltype(width)::value>, blocks_for(y.size(), threads), dim3(threads), 0,
                        on.handle, c);
  });
}

}  // namespace sextant::gpu
