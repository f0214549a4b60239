// SPDX-License-Identifier: Apache-2.0
/// @file  Some neighbouring tokens of a sequence, as one lane of a warp sees them: two channels with all their keys.
#pragma once

#include <sextant/cuda/selective/gates.cuh>

namespace sextant::gpu::runs {

using lanes::array, lanes::decay_kind, lanes::forget_of_design;

/// A warp has 64 channels of a head of a sequence, two to a lane with all their keys, and a run of neighbouring tokens. The
/// warps of a block have the same channels and the runs of a tile, one behind the other.
template <class Design, class Precision, int Keys> struct run_layout : lanes::design_traits<Design, Precision> {
  using base = lanes::design_traits<Design, Precision>;
  static constexpr int keys = Keys, own = 2, channels = 32 * own, warps = 8, threads = 32 * warps;
  static constexpr int run = Keys == 1 && !base::exact ? 8 : 4;  ///< tokens of a warp at a time
  static constexpr int tile = run * warps;
  static constexpr int row = 2 * Keys;  ///< phi(k) and phi(q) of a token, in shared memory
  static_assert(run * row <= 32, "a lane fetches one number of a run's keys");
};

/// What a state is multiplied by: `factor`, or factor (1 + change) of tokens in float, whose long memories a rounded factor
/// would change.
template <bool Exact> struct decay_of_state {
  float factor = 1, change = 0;

  __device__ __forceinline__ float operator()(float S, float added) const {
    return fmaf(factor, Exact ? fmaf(change, S, S) : S, added);
  }
  /// This one after the other.
  __device__ __forceinline__ decay_of_state after(const decay_of_state& other) const {
    return {factor * other.factor, Exact ? fmaf(change, other.change, change + other.change) : 0.0f};
  }
};

/// Numbers of a tensor, token after token: where those of the next one lie.
template <class Token> struct token_numbers {
  const Token* at = nullptr;
  index_t step = 0;  ///< from token to token, in the order of time

  template <class Words> __device__ __forceinline__ Words load() const { return *reinterpret_cast<const Words*>(at); }
  __device__ __forceinline__ float load_one() const { return ptx::as_float(*at); }
  __device__ __forceinline__ void move_on(int tokens) { at += tokens * step; }
};

/// The tensors of tokens of a block's head, as one lane reads them: `at` its two channels, or one number of the head's.
template <class Layout> struct run_feed {
  using token = typename Layout::token;
  using gates = lanes::channel_gates<Layout>;
  using numbers = token_numbers<token>;
  static constexpr int run = Layout::run, row = Layout::row, keys = Layout::keys;

  /// The tokens of a run as they are stored.
  struct arrived {
    array<typename gates::said, run> said;
    array<typename gates::words, run> gate;
    token key;  ///< the lane's number of the run's k and q
  };
  numbers v, dt, forget, input, gate, key;
  bool there;        ///< whether the channels exist
  int token_of_key;  ///< of the run: whose k or q the lane fetches, if it fetches any

  template <class Sequence>
  __device__ __forceinline__ run_feed(const Sequence& x, const lanes::block_place& at, int channel, int first, int lane)
      : there{channel < int(x.v.template extent<axis::value>())}, token_of_key{1 << 30} {
    const int known = there ? channel : 0;
    v = begin(x.v, at, at.h, first, known);
    if constexpr (Layout::step_of_channel) dt = begin(x.dt, at, at.h, first, known);
    if constexpr (Layout::step_of_head) dt = begin(x.dt, at, at.h, first, 0);
    if constexpr (Layout::forget_of_channel) forget = begin(x.forget, at, at.h, first, known);
    if constexpr (Layout::forget_of_head) forget = begin(x.forget, at, at.h, first, 0);
    if constexpr (Layout::input_of_channel) input = begin(x.input, at, at.h, first, known);
    if constexpr (Layout::input_of_head) input = begin(x.input, at, at.h, first, 0);
    if constexpr (Layout::has_gate) gate = begin(x.gate, at, at.h, first, known);
    const int its_key = lane % keys, K = int(x.k.template extent<axis::key>());
    if (lane < run * row && its_key < K) {
      token_of_key = lane / row;
      key = begin(lane % row < keys ? x.k : x.q, at, at.key_head, first, its_key);
      key.at += token_of_key * key.step;
    }
  }

  /// Fetches the run of which `count` tokens exist, and moves on to the next.
  __device__ __forceinline__ void fetch(arrived& to, int count) {
    to = {};
#pragma unroll
    for (int t = 0; t < run; ++t) {
      if (t < count && there) {
        using words = typename gates::words;
        to.said[t].v = v.template load<words>();
        if constexpr (Layout::step_of_channel) to.said[t].dt = dt.template load<words>();
        if constexpr (Layout::step_of_head) to.said[t].dt_head = dt.load_one();
        if constexpr (Layout::forget_of_channel) to.said[t].forget = forget.template load<words>();
        if constexpr (Layout::forget_of_head) to.said[t].forget_head = forget.load_one();
        if constexpr (Layout::input_of_channel) to.said[t].input = input.template load<words>();
        if constexpr (Layout::input_of_head) to.said[t].input_head = input.load_one();
        if constexpr (Layout::has_gate) to.gate[t] = gate.template load<words>();
      }
      move_on(1);
    }
    if (token_of_key < count) to.key = *key.at;
    move_on(Layout::tile - run), key.move_on(Layout::tile);
  }

 private:
  __device__ __forceinline__ void move_on(int tokens) {
    v.move_on(tokens), dt.move_on(tokens), forget.move_on(tokens), input.move_on(tokens), gate.move_on(tokens);
  }
  /// Token `first` of the block's sequence, in the order of time.
  template <class View>
  static __device__ __forceinline__ numbers begin(const View& of, const lanes::block_place& at, index_t head, int first,
                                                  int number) {
    const index_t stride = of.template stride<axis::time>();
    const index_t step = Layout::reversed ? -stride : stride;
    return {of.data() + at.batch() * of.template stride<axis::batch>() +
                at.template start<Layout::reversed>() * stride + first * step +
                head * of.template stride<axis::head>() + number,
            step};
  }
};

}  // namespace sextant::gpu::runs
