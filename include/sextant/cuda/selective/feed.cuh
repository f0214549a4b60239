// SPDX-License-Identifier: Apache-2.0
/// @file  Tokens on their way from memory into shared memory, one round of 8 after the other.
#pragma once

#include <sextant/cuda/ptx/async_copy.cuh>
#include <sextant/cuda/ptx/convert.cuh>
#include <sextant/cuda/selective/layout.cuh>

namespace sextant::gpu::lanes {

/// A number per head, one for each token: too small and too far apart for copies. Thread t < 8 loads that of token t and
/// keeps it for as long as a round takes.
template <class Token, int Round> struct head_numbers {
  const Token* from;
  index_t step;
  float waiting = 0;

  __device__ __forceinline__ void load(int thread, int rows) {
    if (thread < Round && thread < rows) waiting = ptx::as_float(*from);
    from += step;
  }
  __device__ __forceinline__ void store(int thread, float* to) const {
    if (thread < Round) to[thread] = waiting;
  }
};

/// In place of them where the design has no such tensor.
struct no_numbers {
  __device__ __forceinline__ void load(int, int) {}
  __device__ __forceinline__ void store(int, float*) const {}
};

/// All token tensors of a block. A round is so many pieces of 16 bytes, of which thread i copies number i, i + threads, ...
/// send(r) begins to copy round r; rounds must be sent in order.
template <class Layout> struct token_feed {
  using token = typename Layout::token;
  using arrivals = typename Layout::arrivals;
  static constexpr int round = Layout::round, stages = Layout::stages;
  static constexpr int threads = Layout::threads, of_piece = 16 / int(sizeof(token));
  static constexpr int pieces = Layout::numbers / of_piece, shares = (pieces + threads - 1) / threads;
  static constexpr int nowhere = 1 << 30;  ///< a row that no round has

  struct piece {
    const char* from = nullptr;  ///< of the next round
    int step = 0;                ///< bytes from one round to the next, in the order of time
    int row = nowhere;
  };
  template <bool Has> using numbers = std::conditional_t<Has, head_numbers<token, round>, no_numbers>;

  arrivals* ring;
  int thread, tokens;
  std::uint32_t to;  ///< where the first of this thread's pieces goes in the first stage
  array<piece, shares> own;
  numbers<Layout::step_of_head> dt_head;
  numbers<Layout::forget_of_head> forget_head;
  numbers<Layout::input_of_head> input_head;

  template <class Sequence>
  __device__ __forceinline__ token_feed(const Sequence& x, const block_place& at, arrivals* stages_of_ring,
                                        int its_thread)
      : ring{stages_of_ring},
        thread{its_thread},
        tokens{int(at.length)},
        to{ptx::shared_address(stages_of_ring) + std::uint32_t(its_thread * 16)} {
    const int begin = at.block / Layout::warps * Layout::of_block;
    const int valid = int(x.v.template extent<axis::value>()) - begin;
    const int K = int(x.k.template extent<axis::key>());
#pragma unroll
    for (int i = 0; i < shares; ++i) {
      const int number = (i * threads + thread) * of_piece;
      take_channels<Layout::v_at>(own[i], number, x.v, at, begin, valid);
      if constexpr (Layout::step_of_channel) take_channels<Layout::dt_at>(own[i], number, x.dt, at, begin, valid);
      if constexpr (Layout::forget_of_channel)
        take_channels<Layout::forget_at>(own[i], number, x.forget, at, begin, valid);
      if constexpr (Layout::input_of_channel)
        take_channels<Layout::input_at>(own[i], number, x.input, at, begin, valid);
      if constexpr (Layout::has_gate) take_channels<Layout::gate_at>(own[i], number, x.gate, at, begin, valid);
      take_keys<Layout::k_at>(own[i], number, x.k, at, at.key_head, K);
      take_keys<Layout::q_at>(own[i], number, x.q, at, at.key_head, K);
      if constexpr (Layout::forget_of_key) take_keys<Layout::forget_keys_at>(own[i], number, x.forget, at, at.h, K);
    }
    if constexpr (Layout::step_of_head) begin_numbers(dt_head, x.dt, at);
    if constexpr (Layout::forget_of_head) begin_numbers(forget_head, x.forget, at);
    if constexpr (Layout::input_of_head) begin_numbers(input_head, x.input, at);
  }

  __device__ __forceinline__ void send(int number) {
    const int left = tokens - number * round;
    const std::uint32_t stage = to + std::uint32_t(number % stages) * std::uint32_t(sizeof(arrivals));
#pragma unroll
    for (int i = 0; i < shares; ++i) {
      if (own[i].row < left) ptx::copy_async<16>(stage + std::uint32_t(i * threads * 16), own[i].from);
      own[i].from += own[i].step;
    }
    ptx::commit_copies();
    dt_head.load(thread, left), forget_head.load(thread, left), input_head.load(thread, left);
  }
  /// Puts the numbers per head of round `number`, the last sent, beside the rest.
  __device__ __forceinline__ void store_numbers(int number) {
    arrivals& to_stage = ring[number % stages];
    dt_head.store(thread, to_stage.dt_head.at), forget_head.store(thread, to_stage.forget_head.at),
        input_head.store(thread, to_stage.input_head.at);
  }

 private:
  /// Where the first token's numbers lie, and how far the next one's are from them.
  template <class View>
  static __device__ __forceinline__ const token* first_of(const View& of, const block_place& at, index_t head) {
    return of.data() + at.batch() * of.template stride<axis::batch>() +
           at.template start<Layout::reversed>() * of.template stride<axis::time>() +
           head * of.template stride<axis::head>();
  }
  template <class View> static __device__ __forceinline__ index_t stride_of(const View& of) {
    return Layout::reversed ? -of.template stride<axis::time>() : of.template stride<axis::time>();
  }
  template <class View>
  static __device__ __forceinline__ void set(piece& p, const View& of, const token* first, int row) {
    const index_t stride = stride_of(of);
    p.from = reinterpret_cast<const char*>(first + row * stride);
    p.step = int(round * stride * index_t(sizeof(token)));
  }
  /// Makes `p` the piece at `number` if that lies in the tensor which begins at First, of whose rows `valid` numbers exist
  /// from `begin` on.
  template <int First, class View>
  static __device__ __forceinline__ void take_channels(piece& p, int number, const View& of, const block_place& at,
                                                       int begin, int valid) {
    const int inside = number - First;
    if (inside < 0 || inside >= Layout::of_channels) return;
    const int row = inside / Layout::of_block, column = inside % Layout::of_block;
    set(p, of, first_of(of, at, at.h) + begin + column, row);
    if (column < valid) p.row = row;
  }
  template <int First, class View>
  static __device__ __forceinline__ void take_keys(piece& p, int number, const View& of, const block_place& at,
                                                   index_t head, int K) {
    const int inside = number - First;
    if (inside < 0 || inside >= Layout::of_keys) return;
    const int row = inside / Layout::keys, key = inside % Layout::keys;
    set(p, of, first_of(of, at, head) + key, row);
    if (key < K) p.row = row;
  }
  template <class View>
  __device__ __forceinline__ void begin_numbers(head_numbers<token, round>& numbers_of, const View& of,
                                                const block_place& at) const {
    numbers_of.from = first_of(of, at, at.h) + thread * stride_of(of);
    numbers_of.step = round * stride_of(of);
  }
};

}  // namespace sextant::gpu::lanes
