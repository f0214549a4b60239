// SPDX-License-Identifier: Apache-2.0
/// @file  State spaces in chunks of 8 tokens on the matrix units: how a block's tokens come to its channels, and y back.
#pragma once

#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/state_space/channel.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::diagonal {

/// What a channel has in shared memory: F and F^8 of its pairs; if AtOnce the table of all their fields.
template <int Tiles, bool AtOnce> struct channel_memory {
  complex<float> F[std::size_t(2 * 4 * Tiles)];
  float table[AtOnce ? std::size_t(fields * 4 * Tiles) : 2];
};

/// Shared memory of a block: rows of tokens as they arrive, the columns of channels that they are turned to, and the same
/// of the results on their way back; if AtOnce, states of streams on their way to one another.
template <class Stored, int Tiles, bool Outputs, bool AtOnce = false> struct chunk_memory {
  /// Words from one channel to the next, of two tokens each: [stream][4 pairs of tokens][half of the stage], and 8 against bank
  /// conflicts.
  static constexpr int apart = rows * stage / 2 + 8;
  alignas(128) Stored arrivals[stages][rows][stage * columns];
  alignas(16) std::uint32_t tokens[2][columns * apart];
  alignas(16) std::uint32_t results[Outputs ? 2 : 1][Outputs ? columns * apart : 4];
  channel_memory<Tiles, AtOnce> of_channel[columns];
  complex<float> ends[AtOnce ? columns : 1][AtOnce ? rows : 1][AtOnce ? std::size_t(4 * Tiles + 1) : 1];
  int counts[rows];
};

/// Says to a channel at which thread it is, and to the caller: read anew, so that nothing that follows from it is kept in registers
/// from one walk to the next.
template <class Channel, class Memory> __device__ __forceinline__ int take_place(Channel& own, Memory& m) {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  own.F = m.of_channel[thread / 32].F, own.channel = int(blockIdx.x) * columns + thread / 32;
  own.g = thread % 32 / 4, own.t = thread % 4;
  return thread;
}

/// Leads 16 streams past a warp's channel, with outputs or to what states they leave; a block does it for 16 channels. A warp reads
/// and writes the rows of one stream, and computes one channel of all. `prepare()` comes when the first tokens are on their way.
template <bool Outputs, class Design, class Precision, int Tiles, bool AtOnce, class Memory, class Prepare>
__device__ __forceinline__ void walk(const sequence_of<Design, Precision>& x, const call_of<float>& c, Memory& m,
                                     channel_in_chunks<Design, Precision, Tiles, AtOnce>& own, int first_stream,
                                     int streams, const Prepare& prepare) {
  using stored = typename Precision::token;
  using memory = Memory;
  int thread = int(threadIdx.x);
  if constexpr (AtOnce) thread = take_place(own, m);
  const int warp = thread / 32, lane = thread % 32;
  const int channels = int(x.v.template extent<axis::value>()) * int(x.v.template extent<axis::head>());
  const int first_channel = int(blockIdx.x) * columns;

  // The warp's own stream: a lane reads 8 channels of token lane / 2 of every stage, and writes 2 and 2 of tokens lane / 4 and 8
  // further.
  const stream_of_tokens mine(x, c, first_stream + warp, streams);
  if (lane == 0) m.counts[warp] = mine.count;
  const int token = lane / 2, column = lane % 2 * 8, token_out = lane / 4, column_out = lane % 4 * 2;
  const stored* from = x.v.data() + mine.batch * x.v.template stride<axis::batch>() +
                       mine.place * x.v.template stride<axis::time>() + first_channel + column +
                       token * (c.v_stage / stage);
  stored* to = x.y.data() + mine.batch * x.y.template stride<axis::batch>() +
               mine.place * x.y.template stride<axis::time>() + first_channel + column_out +
               token_out * (c.y_stage / stage);
  // Pieces of 16 bytes change places so that 8 tokens' lie in banks of their own.
  const auto piece = [](int its_token, int group) { return (its_token * 2 + (group ^ (its_token / 4 & 1))) * 8; };
  const int left = first_channel + column < channels ? mine.count - token : 0;
  const int left_out = first_channel < channels ? mine.count - token_out : 0;
  __syncthreads();
  int longest = 0, shortest = 0x7fffffff;
  for (int i = 0; i < rows; ++i) {  // streams that are not there have zeros of any length
    longest = max(longest, m.counts[i]);
    if (first_stream + i < streams) shortest = min(shortest, m.counts[i]);
  }
  const int steps = (longest + stage - 1) / stage;

  const auto send = [&](int s) {
    const bool there = s * stage < left;
    ptx::copy_async_or_zeros(ptx::shared_address(&m.arrivals[s % stages][warp][piece(token, column / 8)]),
                             there ? from : x.v.data(), there);
    from += c.v_stage;
    ptx::commit_copies();
  };
  // Rows of tokens to columns of channels: two tokens of a channel to a word, both halves of the stage together.
  const auto turn_arrivals = [&](int s) {
    const int row = lane % 8 + lane / 8 % 2 * 8;
    std::uint32_t matrices[4];
    ptx::load_transposed(matrices, ptx::shared_address(&m.arrivals[s % stages][warp][piece(row, lane / 16)]));
    uint2* const at = reinterpret_cast<uint2*>(&m.tokens[s % 2][lane / 4 * memory::apart + warp * 8 + lane % 4 * 2]);
    at[0] = uint2{matrices[0], matrices[1]}, at[4 * memory::apart] = uint2{matrices[2], matrices[3]};
  };
  // And back, to where they belong.
  const auto take_away = [&](int s) {
    const uint2* const at =
        reinterpret_cast<const uint2*>(&m.results[s % 2][lane / 4 * memory::apart + warp * 8 + lane % 4 * 2]);
    const uint2 low = at[0], high = at[4 * memory::apart];
    const std::uint32_t words[] = {ptx::transposed(low.x), ptx::transposed(high.x), ptx::transposed(low.y),
                                   ptx::transposed(high.y)};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (s * stage + half * chunk >= left_out) continue;
      stored* const here = to + half * (c.y_stage / 2);
      *reinterpret_cast<std::uint32_t*>(here) = words[2 * half];
      if (first_channel + 8 < channels) *reinterpret_cast<std::uint32_t*>(here + 8) = words[2 * half + 1];
    }
    to += c.y_stage;
  };
#pragma unroll
  for (int s = 0; s < stages - 1; ++s) send(s);

  prepare();

  // A stage, of which all streams have all tokens where Whole.
  const auto work = [&]<bool Whole>(std::bool_constant<Whole>, int s) {
    ptx::await_copies<stages - 2>();
    __syncwarp();
    turn_arrivals(s);
    __syncthreads();
    send(s + stages - 1);
    if (Outputs && s > 0) take_away(s - 1);
    // The two chunks of a stage together, or, where there are no registers for it, one after the other.
    const std::uint32_t* const tokens = &m.tokens[s % 2][warp * memory::apart + 2 * lane];
    [[maybe_unused]] std::uint32_t* const results = &m.results[s % 2][Outputs ? warp * memory::apart + 2 * lane : 0];
    constexpr int of_stream_8 = rows * stage / 4;
    [[maybe_unused]] uint2 both[2], finished[2];  // of streams g and g + 8
    if constexpr (!AtOnce)
      both[0] = *reinterpret_cast<const uint2*>(tokens),
      both[1] = *reinterpret_cast<const uint2*>(tokens + of_stream_8);
#pragma unroll AtOnce ? 1 : 2
    for (int half = 0; half < 2; ++half) {
      std::uint32_t u[4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float first, second;
        const std::uint32_t two = AtOnce ? tokens[i * of_stream_8 + half] : half == 0 ? both[i].x : both[i].y;
        gpu::detail::widen_pair<stored>(two, first, second);
        u[i] = __float_as_uint(first), u[i + 2] = __float_as_uint(second);
      }
      float y[4] = {};
      own.template meet<Outputs, Whole>(u, y);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const std::uint32_t two = gpu::detail::round_pair<stored>(y[2 * i], y[2 * i + 1]);
        if constexpr (AtOnce && Outputs) results[i * of_stream_8 + half] = two;
        else (half == 0 ? finished[i].x : finished[i].y) = two;
      }
      if constexpr (!Whole) {
        const int done = s * stage + half * chunk, of_g = m.counts[own.g] - done, of_8 = m.counts[own.g + 8] - done;
        const bool ends_here = (of_g > 0 && of_g < chunk) || (of_8 > 0 && of_8 < chunk);
        if (!__any_sync(~0u, ends_here)) own.update_some(u, of_g > 0, of_8 > 0);
        else
#pragma unroll 1
          for (int i = 0; i < chunk; ++i) {
            const stored* const its = reinterpret_cast<const stored*>(&m.tokens[s % 2][warp * memory::apart]) +
                                      own.g * stage + i / 2 * 4 + half * 2 + i % 2;
            own.update_one(ptx::as_float(its[0]), i < of_g, ptx::as_float(its[8 * stage]), i < of_8);
          }
      }
    }
    if constexpr (Outputs && !AtOnce)
      *reinterpret_cast<uint2*>(results) = finished[0], *reinterpret_cast<uint2*>(results + of_stream_8) = finished[1];
  };
  int s = 0;
#pragma unroll 1
  for (; s < shortest / stage; ++s) work(std::true_type{}, s);
#pragma unroll 1
  for (; s < steps; ++s) work(std::false_type{}, s);
  ptx::await_copies<0>();
  __syncthreads();
  if (Outputs && steps > 0) take_away(steps - 1);
}

/// A block of 16 channels of 16 streams, whose pairs a launch before has discretised.
template <class Design, class Precision, int Tiles, bool Outputs>
__global__ void __launch_bounds__(chunk_threads, 1)
    chunked_state_space_kernel(const __grid_constant__ Design design,
                               const __grid_constant__ sequence_of<Design, Precision> x,
                               const __grid_constant__ call_of<float> c, int streams) {
  using memory = chunk_memory<typename Precision::token, Tiles, Outputs>;
  extern __shared__ __align__(128) unsigned char memory_of_block[];
  memory& m = *reinterpret_cast<memory*>(memory_of_block);
  (void)design;
  const int warp = int(threadIdx.x) / 32, first_stream = int(blockIdx.y) * rows;
  channel_in_chunks<Design, Precision, Tiles> own{x, c, m.of_channel[warp].F, int(blockIdx.x) * columns + warp};
  walk<Outputs>(x, c, m, own, first_stream, streams, [&] {
    own.template begin_states<Outputs>(first_stream, streams);
    own.begin();
  });
  own.template end_states<Outputs>(first_stream, streams);
}

/// A whole call of up to 16 streams: a warp discretises its channel's pairs, a lane one of them; where the streams are segments, it
/// leads them past it for what they leave of zeros, and joins them.
template <class Design, class Precision, int Tiles>
__global__ void __launch_bounds__(chunk_threads, 1)
    state_space_at_once_kernel(const __grid_constant__ Design design,
                               const __grid_constant__ sequence_of<Design, Precision> x,
                               const __grid_constant__ call_of<float> c, int streams) {
  using memory = chunk_memory<typename Precision::token, Tiles, true, true>;
  extern __shared__ __align__(128) unsigned char memory_of_block[];
  memory& m = *reinterpret_cast<memory*>(memory_of_block);
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  channel_in_chunks<Design, Precision, Tiles, true> own{x, c, m.of_channel[warp].F, int(blockIdx.x) * columns + warp};
  if (own.channel < own.channels() && lane < c.pairs)
    discretise_pair<Design, Precision>(design, x, c, own.channel, lane, own.table(), 1);
  __syncwarp();
  own.begin();
#pragma unroll
  for (auto& state : own.X) state[0] = state[1] = state[2] = state[3] = 0.0f;
  if (c.segments > 1) walk<false>(x, c, m, own, 0, streams, [] {});
  own.join_streams(m.ends[take_place(own, m) / 32], streams);
  walk<true>(x, c, m, own, 0, streams, [] {});
  take_place(own, m);
  own.template end_states<true>(0, streams);
}

}  // namespace sextant::gpu::diagonal
