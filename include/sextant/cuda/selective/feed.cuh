// SPDX-License-Identifier: Apache-2.0
/// @file  Tokens on their way from memory into a warp's shared memory, one round of 8 after the other.
#pragma once

#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/convert.cuh>
#include <sextant/cuda/selective/layout.cuh>

namespace sextant::gpu::lanes {

/// A number per head, one for each token: too small and too far apart for copies. Lane t < 8 loads that of token t and
/// keeps it for as long as a round takes.
template <class Token, int Round> struct head_numbers {
  const Token* from;
  index_t step;
  float waiting = 0;

  __device__ __forceinline__ void load(int lane, int rows) {
    if (lane < Round && lane < rows) waiting = ptx::as_float(*from);
    from += step;
  }
  __device__ __forceinline__ void store(int lane, float* to) const {
    if (lane < Round) to[lane] = waiting;
  }
};

/// In place of them where the design has no such tensor.
struct no_numbers {
  __device__ __forceinline__ void load(int, int) {}
  __device__ __forceinline__ void store(int, float*) const {}
};

/// All token tensors of a warp. A round is so many pieces of 16 bytes, of which lane i copies number i, i + 32, ...
/// send(r) begins to copy round r; rounds must be sent in order.
template <class Layout> struct token_feed {
  using token = typename Layout::token;
  using arrivals = typename Layout::arrivals;
  static constexpr int round = Layout::round, stages = Layout::stages;
  static constexpr int pieces_of_keys = Layout::keys * int(sizeof(token)) / 16;
  static constexpr int pieces_of_channels = Layout::channels * int(sizeof(token)) / 16;
  static constexpr int rings = 1 + int(Layout::step_of_channel) + int(Layout::forget_of_channel) +
                               int(Layout::input_of_channel) + int(Layout::has_gate);
  static constexpr int pieces = round * (rings * pieces_of_channels + (Layout::forget_of_key ? 3 : 2) * pieces_of_keys);
  static constexpr int shares = (pieces + 31) / 32;
  static constexpr int nowhere = 1 << 30;  ///< a row that no round has

  struct piece {
    const char* from = nullptr;  ///< of the next round
    int step = 0;                ///< bytes from one round to the next, in the order of time
    std::uint32_t to = 0;        ///< in the first stage
    int row = nowhere;
  };
  template <bool Has> using numbers = std::conditional_t<Has, head_numbers<token, round>, no_numbers>;

  arrivals* ring;
  int lane, tokens;
  array<piece, shares> own;
  numbers<Layout::step_of_head> dt_head;
  numbers<Layout::forget_of_head> forget_head;
  numbers<Layout::input_of_head> input_head;

  template <class Sequence>
  __device__ __forceinline__ token_feed(const Sequence& x, const block_place& at, arrivals* stages_of_ring,
                                        int its_lane)
      : ring{stages_of_ring}, lane{its_lane}, tokens{int(at.length)} {
    const int begin = at.block * Layout::channels, V = int(x.v.template extent<axis::value>());
    const int valid = V - begin < Layout::channels ? V - begin : Layout::channels;
    const int K = int(x.k.template extent<axis::key>());
#pragma unroll
    for (int i = 0; i < shares; ++i) {
      int number = i * 32 + lane;
      take<pieces_of_channels>(own[i], number, x.v, ring->v.at, at, at.h, begin, valid);
      if constexpr (Layout::step_of_channel)
        take<pieces_of_channels>(own[i], number, x.dt, ring->dt.at, at, at.h, begin, valid);
      if constexpr (Layout::forget_of_channel)
        take<pieces_of_channels>(own[i], number, x.forget, ring->forget.at, at, at.h, begin, valid);
      if constexpr (Layout::input_of_channel)
        take<pieces_of_channels>(own[i], number, x.input, ring->input.at, at, at.h, begin, valid);
      if constexpr (Layout::has_gate)
        take<pieces_of_channels>(own[i], number, x.gate, ring->gate.at, at, at.h, begin, valid);
      take<pieces_of_keys>(own[i], number, x.k, ring->keys[0], at, at.key_head, 0, K);
      take<pieces_of_keys>(own[i], number, x.q, ring->keys[1], at, at.key_head, 0, K);
      if constexpr (Layout::forget_of_key)
        take<pieces_of_keys>(own[i], number, x.forget, ring->forget_keys.at, at, at.h, 0, K);
    }
    if constexpr (Layout::step_of_head) begin_numbers(dt_head, x.dt, at);
    if constexpr (Layout::forget_of_head) begin_numbers(forget_head, x.forget, at);
    if constexpr (Layout::input_of_head) begin_numbers(input_head, x.input, at);
  }

  __device__ __forceinline__ void send(int number) {
    const int left = tokens - number * round;
    const std::uint32_t stage = std::uint32_t(number % stages) * std::uint32_t(sizeof(arrivals));
#pragma unroll
    for (piece& p : own) {
      if (p.row < left) ptx::copy_async<16>(p.to + stage, p.from);
      p.from += p.step;
    }
    ptx::commit_copies();
    dt_head.load(lane, left), forget_head.load(lane, left), input_head.load(lane, left);
  }
  /// Puts the numbers per head of round `number`, the last sent, beside the rest.
  __device__ __forceinline__ void store_numbers(int number) {
    arrivals& to = ring[number % stages];
    dt_head.store(lane, to.dt_head.at), forget_head.store(lane, to.forget_head.at),
        input_head.store(lane, to.input_head.at);
  }

 private:
  /// Makes `p` piece `number` of a tensor whose rows are `OfRow` pieces, of which `valid` numbers exist from `begin` on;
  /// or leaves it and counts on.
  template <int OfRow, class View>
  static __device__ __forceinline__ void take(piece& p, int& number, const View& of, const token* to,
                                              const block_place& at, index_t head, int begin, int valid) {
    if (number >= 0 && number < round * OfRow) {
      const int row = number / OfRow, byte = number % OfRow * 16;
      const index_t stride = Layout::reversed ? -of.template stride<axis::time>() : of.template stride<axis::time>();
      const token* const first = of.data() + at.batch() * of.template stride<axis::batch>() +
                                 at.template start<Layout::reversed>() * of.template stride<axis::time>() +
                                 head * of.template stride<axis::head>() + begin;
      p.from = reinterpret_cast<const char*>(first + row * stride) + byte;
      p.step = int(round * stride * index_t(sizeof(token)));
      p.to = ptx::shared_address(to) + std::uint32_t(number * 16);
      if (byte < valid * int(sizeof(token))) p.row = row;
    }
    number -= round * OfRow;
  }
  template <class View>
  __device__ __forceinline__ void begin_numbers(head_numbers<token, round>& to, const View& of,
                                                const block_place& at) const {
    const index_t stride = Layout::reversed ? -of.template stride<axis::time>() : of.template stride<axis::time>();
    to.from = of.data() + at.batch() * of.template stride<axis::batch>() +
              at.template start<Layout::reversed>() * of.template stride<axis::time>() +
              at.h * of.template stride<axis::head>() + lane * stride;
    to.step = round * stride;
  }
};

}  // namespace sextant::gpu::lanes
