// SPDX-License-Identifier: Apache-2.0
/// @file  The kernel: the warps of a block walk through a sequence side by side, each with a run of tokens.
#pragma once

#include <sextant/cuda/few_keys/run.cuh>
#include <sextant/cuda/selective/key_rows.cuh>

namespace sextant::gpu::runs {

/// The warps of a block. Each finds what its run makes of an empty state and by what it multiplies the one that it is given;
/// all meet once a tile, and each adds up what the runs before its own leave. Then it walks through its run again, with
/// outputs.
template <class Design, class Precision, int Keys> struct block_walk {
  using layout = run_layout<Design, Precision, Keys>;
  using token = typename layout::token;
  using gates_type = lanes::channel_gates<layout>;
  using feed_type = run_feed<layout>;
  using two = array<float, 2>;
  using decay = decay_of_state<layout::exact>;
  using of_states = array<array<float, Keys>, 2>;
  static constexpr int run = layout::run, warps = layout::warps, row = layout::row;

  /// What runs do to the states of a lane, one key after the other: factor and addend of either channel; and the decay's
  /// change, of tokens in float.
  template <class Numbers> using of_runs = array<array<array<Numbers, 32>, Keys>, warps>;
  struct memory {
    alignas(16) array<array<float, run * row>, warps> rows;  ///< phi(k) and phi(q) of a run
    of_runs<float4> effects[2];                              ///< of even tiles, of odd ones
    of_runs<float2> changes[layout::exact ? 2 : 1];
  };
  /// A run before it is walked through.
  struct preparation {
    array<two, run> number, w;  ///< what the forget gate reads or is, and I v
    array<typename gates_type::last, run> last;
  };

  const Design& design;
  memory& m;
  const float scale;
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  of_states S, rate;

  __device__ __forceinline__ decay decay_of(float number, float its_rate) const {
    const forget_of_design<layout> forget{design.forget_gate};
    constexpr bool shared = layout::decay == decay_kind::channel;
    if constexpr (forget_of_design<layout>::keeps_log) {
      const split_power F = split_exp2(shared ? number : forget.exponent(number, its_rate));
      return {F.factor, F.change};
    } else return {shared ? number : forget(number, its_rate)};
  }
  /// Puts phi(k) and phi(q) of the warp's run where all its lanes see them, each lane one number.
  __device__ __forceinline__ void share_keys(token stored, float its_scale, int K) {
    float number = ptx::as_float(stored);
    if constexpr (!layout::plain_map)
      number = lane % Keys < K ? lanes::mapped<layout>(design, number * its_scale) : 0.0f;
    __syncwarp();
    if (lane < run * row) m.rows[warp][lane] = number;
    __syncwarp();
  }
  __device__ __forceinline__ void prepare(const gates_type& gates, const typename feed_type::arrived& from,
                                          preparation& to) const {
#pragma unroll
    for (int t = 0; t < run; ++t) {
      gates.prepare(from.said[t], to.number[t], to.w[t]);
      if constexpr (layout::learned) to.last[t].v = from.said[t].v;
      if constexpr (layout::has_gate) to.last[t].gate = from.gate[t];
    }
  }
  /// What the first `count` tokens of a run do to any state: all of them where Whole.
  template <bool Whole> __device__ __forceinline__ void leave_effect(const preparation& of, int count, int tile) {
#pragma unroll
    for (int k = 0; k < Keys; ++k) {
      array<decay, 2> before;
      two added = {};
#pragma unroll
      for (int t = 0; t < run; ++t)
        if (Whole || t < count)
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            const decay F = decay_of(of.number[t][c], rate[c][k]);
            const float kw = m.rows[warp][t * row + k] * of.w[t][c];
            before[c] = t == 0 ? F : before[c].after(F);
            added[c] = t == 0 ? kw : F(added[c], kw);
          }
      m.effects[tile % 2][warp][k][lane] = make_float4(before[0].factor, added[0], before[1].factor, added[1]);
      if constexpr (layout::exact) m.changes[tile % 2][warp][k][lane] = make_float2(before[0].change, before[1].change);
    }
  }
  /// Makes S the state after the tile, and answers the one before this warp's run.
  __device__ __forceinline__ void add_effects(int tile, of_states& before) {
#pragma unroll
    for (int j = 0; j < warps; ++j)
#pragma unroll
      for (int k = 0; k < Keys; ++k) {
        const float4 its = m.effects[tile % 2][j][k][lane];
        float2 change = {};
        if constexpr (layout::exact) change = m.changes[tile % 2][j][k][lane];
        if (j == warp) before[0][k] = S[0][k], before[1][k] = S[1][k];
        S[0][k] = decay{its.x, change.x}(S[0][k], its.y);
        S[1][k] = decay{its.z, change.y}(S[1][k], its.w);
      }
  }
  /// The run's outputs from the state before it, of tokens that exist.
  template <bool Whole>
  __device__ __forceinline__ void walk(const gates_type& gates, const preparation& of, of_states state, int count,
                                       token* to, index_t step, bool there) const {
#pragma unroll
    for (int t = 0; t < run; ++t) {
      if (!Whole && t >= count) break;
      two y = {};
#pragma unroll
      for (int k = 0; k < Keys; ++k)
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const float kw = m.rows[warp][t * row + k] * of.w[t][c], q = m.rows[warp][t * row + Keys + k];
          state[c][k] = decay_of(of.number[t][c], rate[c][k])(state[c][k], kw);
          y[c] = k == 0 ? q * state[c][k] : fmaf(q, state[c][k], y[c]);
        }
      const auto stored = gates.finish(y, scale, of.last[t]);
      if (there) lanes::store_together(to, stored);
      to += step;
    }
  }

  template <class Sequence> __device__ __forceinline__ void compute(const Sequence& x, const lanes::block_place& at) {
    const int V = int(x.v.template extent<axis::value>()), K = int(x.k.template extent<axis::key>());
    const int channel = at.block * layout::channels + 2 * lane, tokens = int(at.length);
    const bool there = channel < V;
#pragma unroll
    for (int c = 0; c < 2; ++c)
#pragma unroll
      for (int k = 0; k < Keys; ++k) {
        const bool known = there && k < K;
        rate[c][k] = known ? forget_of_design<layout>::rate(x, at.h, channel + c, k) : 0.0f;
        S[c][k] = x.initial_state.S && known ? float(x.initial_state.S(at.n, at.h, k, channel + c)) : 0.0f;
      }
    const float key_factor = lane % row < Keys ? key_scale<float>(design.feature_map, K) : 1.0f;
    const gates_type gates(design, x, at.h, channel, V);
    feed_type feed(x, at, channel, warp * run, lane);
    const index_t stride = x.y.template stride<axis::time>();
    const index_t step = layout::reversed ? -stride : stride;
    token* to = x.y.data() + at.batch() * x.y.template stride<axis::batch>() +
                at.template start<layout::reversed>() * stride + warp * run * step +
                at.h * x.y.template stride<axis::head>() + channel;
    typename feed_type::arrived next;
    feed.fetch(next, tokens - warp * run);
#pragma unroll 1
    for (int tile = 0; tile * layout::tile < tokens; ++tile) {
      const int count = tokens - tile * layout::tile - warp * run;
      preparation of;
      share_keys(next.key, key_factor, K);
      prepare(gates, next, of);
      feed.fetch(next, count - layout::tile);
      if (count >= run) leave_effect<true>(of, count, tile);
      else leave_effect<false>(of, count, tile);
      __syncthreads();
      of_states before;
      add_effects(tile, before);
      if (count >= run) walk<true>(gates, of, before, count, to, step, there);
      else walk<false>(gates, of, before, count, to, step, there);
      to += layout::tile * step;
    }
    if (warp == 0 && there && x.final_state.S)
#pragma unroll
      for (int k = 0; k < Keys; ++k)
        if (k < K)
#pragma unroll
          for (int c = 0; c < 2; ++c) x.final_state.S(at.n, at.h, k, channel + c) = typename Precision::state(S[c][k]);
  }
};

/// A block has 64 channels of a head of a sequence.
template <class Design, class Precision, int Keys>
__global__ void __launch_bounds__(256, run_layout<Design, Precision, Keys>::exact ? 1 : 2)
    few_keys_kernel(const Design design, const sequence_of<Design, Precision> x) {
  using walk = block_walk<Design, Precision, Keys>;
  extern __shared__ __align__(128) unsigned char memory_of_block[];
  walk{design, *reinterpret_cast<typename walk::memory*>(memory_of_block),
       float(design.scale(x.k.template extent<axis::key>()))}
      .compute(x, lanes::block_place(x, int(blockIdx.x)));
}

}  // namespace sextant::gpu::runs
