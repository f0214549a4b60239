// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: answers on their way to memory, with what a design adds or multiplies per channel.
#pragma once

#include <sextant/cuda/global_mma/feed.cuh>
#include <sextant/cuda/ptx/shared_words.cuh>
#include <sextant/cuda/tile/activation.cuh>
#include <sextant/cuda/tile/packet.cuh>

namespace sextant::gpu::pooling {

/// Adds the shortcut per channel to the 8 answers that a lane has of a token, multiplies them by the output gate and stores them.
template <class Traits> struct answer_rows {
  using token = typename Traits::token;
  static constexpr int count = packet<token>::count;

  const device_call<float>& c;
  std::byte *y, *v, *gate;  ///< the lane's first piece of the sequence's first token
  const float* weights;     ///< its channels' weights or biases
  int left;                 ///< channels from there on

  __device__ __forceinline__ answer_rows(const device_call<float>& call, const warp_place& at, const float* of_unit)
      : c{call}, v{nullptr}, gate{nullptr}, weights{of_unit + count * at.r}, left{at.channels - count * at.r} {
    y = at.row_of<Traits>(c.y, at.h, at.first_channel + count * at.r);
    if constexpr (Traits::learned) v = at.row_of<Traits>(c.v, at.h, at.first_channel + count * at.r);
    if constexpr (Traits::output_gate) gate = at.row_of<Traits>(c.output_gate, at.h, at.first_channel + count * at.r);
  }
  /// Answers of token t: rows `row`, `row` + 1 of the columns of Y.
  __device__ __forceinline__ void store(const float (&Y)[4][4], int row, int t) const {
#pragma unroll
    for (int first = 0; first < 8; first += count) {
      const int channel = first * 4;  // of float, the second piece is the fourth behind the first
      if (channel >= left) continue;
      float numbers[count];
#pragma unroll
      for (int j = 0; j < count; ++j) numbers[j] = Y[(first + j) / 2][2 * row + j % 2];
      if constexpr (Traits::learned) {
        float its[count];
        widen(load_packet(at_token(v, c.v.time, t) + channel), its);
#pragma unroll
        for (int j = 0; j < count; ++j) numbers[j] = fmaf(weights[channel + j], its[j], numbers[j]);
      }
      if constexpr (Traits::local)
#pragma unroll
        for (int j = 0; j < count; ++j) numbers[j] += weights[channel + j];
      if constexpr (Traits::output_gate) {
        float its[count];
        widen(load_packet(at_token(gate, c.output_gate.time, t) + channel), its);
#pragma unroll
        for (int j = 0; j < count; ++j) numbers[j] *= silu<Traits::exact>(its[j]);
      }
      store_packet(at_token(y, c.y.time, t) + channel, narrowed<token>(numbers));
    }
  }

 private:
  static __device__ __forceinline__ token* at_token(std::byte* first, index_t step, int t) {
    return reinterpret_cast<token*>(row_of_token(first, step, t));
  }
};

/// The same where a lane has channels 8 n + 2 r and + 1 of a token: numbers go through a tile of the warp's queries that it has
/// used, so that memory sees rows.
template <class Traits> struct paired_rows {
  using token = typename Traits::token;

  const device_call<float>& c;
  const warp_place& at;
  std::uint32_t tile;  ///< in shared memory

  /// Begins to copy the output gate of the tile to where the queries were: they have been read.
  template <class Tokens> __device__ __forceinline__ void send_gate(const Tokens& tokens) const {
    if constexpr (Traits::output_gate) {
      const int first = at.lane / 4, piece = at.lane % 4;
      const bool there = 8 * piece < at.channels;
      const std::byte* const gate = at.row_of<Traits>(c.output_gate, at.h, at.first_channel + (there ? 8 * piece : 0));
      int t[4];
      tokens.of_rows(first, t);
#pragma unroll
      for (int i = 0; i < Traits::tokens / 8; ++i)
        ptx::copy_async_or_zeros(tile + place_in_tile<token>(first + 8 * i, piece),
                                 row_of_token(gate, c.output_gate.time, t[i]), there && tokens.has(t[i]));
      ptx::commit_copies();
    }
  }
  /// Waits for the gate, where there is one.
  __device__ __forceinline__ void await_gate() const {
    if constexpr (Traits::output_gate) {
      ptx::await_copies<0>();
      __syncwarp();
    }
  }
  /// Answers of token `row` of the tile and of the one 8 behind, times silu of the gate in their places.
  __device__ __forceinline__ void put(const float (&Y)[4][4], int row) const {
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        float low = Y[n][2 * i], high = Y[n][2 * i + 1];
        const std::uint32_t to = tile + place_in_tile<token>(row + 8 * i, n) + 4 * at.r;
        if constexpr (Traits::output_gate) {
          float a, b;
          gpu::detail::widen_pair<token>(ptx::load_word<0>(to), a, b);
          low *= silu<Traits::exact>(a), high *= silu<Traits::exact>(b);
        }
        ptx::store_word<0>(to, gpu::detail::round_pair<token>(low, high));
      }
  }
  /// Stores the tile.
  template <class Tokens> __device__ __forceinline__ void store(const Tokens& tokens) const {
    const int first = at.lane / 4, piece = at.lane % 4;
    std::byte* const y = at.row_of<Traits>(c.y, at.h, at.first_channel + 8 * piece);
    __syncwarp();
    packet<token> rows[std::size_t(Traits::tokens / 8)];
#pragma unroll
    for (int i = 0; i < Traits::tokens / 8; ++i)
      rows[i] = {ptx::load_four_words(tile + place_in_tile<token>(first + 8 * i, piece))};
    int t[4];
    tokens.of_rows(first, t);
#pragma unroll
    for (int i = 0; i < Traits::tokens / 8; ++i)
      if (tokens.has(t[i]) && 8 * piece < at.channels)
        store_packet(reinterpret_cast<token*>(row_of_token(y, c.y.time, t[i])), rows[i]);
  }
};

}  // namespace sextant::gpu::pooling
