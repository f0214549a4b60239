// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: the kernel.
#pragma once

#include <sextant/cuda/chunked_mma/slice.cuh>

namespace sextant::gpu::mma {

/// A block: one slice of one head's channels through one sequence, chunk by chunk. In a chunk, with barriers between:
///   the next chunk's rows set out; maps and gates per channel; positions; decays per key, which go into queries and keys;
///   gates, and scores inside each step of 16 tokens; weights; step by step Y^T = (S^T Q^T) from_start + V^T W^T and
///   S^T = F S^T + (entering V)^T K, the state in registers; y leaves.
template <class Token, bool Keyed, bool Turns, class Parts> struct slice_walk : head_slice<Token, Keyed, Turns, Parts> {
  using slice = head_slice<Token, Keyed, Turns, Parts>;
  using products = warp_products<Token>;
  using slice::c, slice::gates, slice::lane, slice::length, slice::parts, slice::plan, slice::S, slice::shared;
  using slice::channel, slice::slab, slice::values, slice::warp;
  using slice::slice;

  /// Whether tokens decay, and enter, by factors of the head; whether a gate multiplies channels; whether z is not
  /// decayed.
  __device__ bool per_head() const { return !Keyed && (gates.forgets() || gates.stabilises()); }
  __device__ bool admits() const { return gates.admits() || gates.stabilises(); }
  __device__ bool gates_channels() const { return plan.gate_rows; }
  __device__ bool undecayed() const { return c.norm == norm_kind::sum_undecayed; }
  /// Whether the normaliser has its turn before positions and decays per key, which it does not share, go into queries
  /// and keys; whether it shares decays per key but no positions: then queries and keys are made twice, from rows that
  /// are loaded again.
  __device__ bool normalises_apart() const { return c.normalises() && (Keyed ? undecayed() : Turns); }
  __device__ bool makes_keys_twice() const { return Keyed && Turns && c.normalises() && !undecayed(); }
  /// Whether rows are mapped before anything else, in their place; else with what becomes of them afterwards.
  __device__ bool maps_apart() const { return plan.maps && ((!Keyed && !Turns) || normalises_apart()); }

  __device__ void run() {
    __syncthreads();
    const int chunks = (length + plan.tokens - 1) / plan.tokens;
    for (int i = -1; i < chunks; ++i) {
      __syncthreads();
      const int next = i + plan.stages - 1;
      if (next >= 0 && next < chunks) load(next, plan.states_only ? 1 : 0, places().feeds, places().feed_warps);
      ptx::commit_copies();
      if (i >= 0) {
        if (plan.stages == 2) ptx::await_copies<1>();
        else ptx::await_copies<0>();
        __syncthreads();
        walk_chunk(i, count_of(i));
      }
      if (warp == 0) read_gates_ahead((i + 1) * plan.tokens);
      if (i >= 0) leave_chunk(i, count_of(i));
    }
    this->finish();
  }

 private:
  __device__ int count_of(int chunk) const {
    const int left = length - chunk * plan.tokens;
    return left < plan.tokens ? left : plan.tokens;
  }
  __device__ int keys() const { return int(c.keys); }
  /// Whether keys go into products as sums of two numbers, and queries too where the plan says so.
  static constexpr bool keys_in_parts = has_parts<Token> && (Keyed || Turns);

  __device__ const chunk_gates& places() const { return *reinterpret_cast<const chunk_gates*>(shared + plan.gates); }
  /// Sends for the rows of chunk i: of the tensors from..to - 1, each by so many warps of its own.
  __device__ void load(int i, int from, int to, int warps) {
    int which = from, of_it = warp;
    for (; of_it >= warps; of_it -= warps) ++which;
    if (which < to)
      copy_rows<Token>(places().loaded[which], shared + (i & (plan.stages - 1)) * plan.stage, i * plan.tokens,
                       count_of(i), plan.tokens, of_it * 32 + lane, warps * 32);
  }

  /// Chunk i, of `count` tokens, which have arrived. A barrier comes last.
  __device__ void walk_chunk(int i, int count) {
    const int stage = i & (plan.stages - 1), t = i * plan.tokens;
    const chunk_memory<Token> memory(shared, plan, stage);
    const bool answers = !plan.states_only;
    if (gates_channels()) gate_values(gates.reader, plan, memory, count);
    if (maps_apart()) map_rows(parts.map, plan, memory, keys(), c.key_scale, count);
    if (gates_channels() || maps_apart()) __syncthreads();
    // Gates of the head, by one warp; it reads ahead what the next chunk's are computed from.
    if (warp == 0 && gates.any()) gates.compute(*memory.gates, count);
    // The last round makes y's scores. One before it is the normaliser's where that has its turn apart, or where queries
    // and keys are made twice.
#pragma unroll 1
    for (int round = normalises_apart() || makes_keys_twice() ? 0 : 1; round < 2; ++round) {
      const bool is_last = round == 1, is_apart = !is_last && normalises_apart();
      if constexpr (Keyed)
        if (is_last != makes_keys_twice()) {
          decay_keys(gates.reader, memory.gates->s, plan, memory, t, count);
          __syncthreads();
        }
      if constexpr (Keyed || Turns)
        if (!is_apart) finish_keys(memory, stage, is_last, t, count);
      if (answers) score<keys_in_parts>(plan, memory, keys(), !is_apart && plan.queries_in_parts, !is_apart);
      __syncthreads();
      const summed sums = is_last && (normalises_apart() || makes_keys_twice()) ? summed::nothing : wanted();
      if (answers) weigh(plan, memory, per_head(), admits(), sums);
      if constexpr (Keyed && ends_one_sided<Token>) {
        if (!is_apart) make_one_sided(plan, memory, count);
        if (sums != summed::nothing) __syncthreads();
      }
      if (sums != summed::nothing) advance_normaliser(memory);
      __syncthreads();
      if (sums != summed::nothing && answers) query_normaliser(c, plan, memory, normaliser_from_start(memory));
      if constexpr (Keyed || Turns)
        if (is_apart) __syncthreads();
      if constexpr (Keyed && Turns)
        if (!is_last && !is_apart) load_again(i);
    }
    advance(memory);
    if constexpr (Keyed)
      if (plan.states_only) add_up_decays(memory);
    __syncthreads();
  }
  /// Writes what chunk i answers.
  __device__ void leave_chunk(int i, int count) {
    const chunk_memory<Token> memory(shared, plan, i & (plan.stages - 1));
    // Registers are few: more rows at a time only where there are.
    constexpr int together = sizeof(Token) == 4 || Turns ? 1 : 2;
    if (!plan.states_only) write_rows<together>(c, plan, memory, values, i * plan.tokens, count);
    if (Keyed && threadIdx.x < 4) memory.gates->steep[threadIdx.x] = 0;
  }
  /// Queries and keys of chunk i as they are in memory.
  __device__ void load_again(int i) {
    __syncthreads();
    load(i, 0, 2, plan.warps / 2);
    ptx::commit_copies();
    ptx::await_copies<0>();
    __syncthreads();
  }
  __device__ void read_gates_ahead(int next) {
    const int left = length - next;
    if (gates.any() && left > 0) gates.read_ahead(places().s, next, left < plan.tokens ? left : plan.tokens);
  }
  /// Maps, positions and decays per key go into queries and keys. A steep step's scores need what has no decays yet:
  /// where there is one, decays come in a second pass. A barrier follows.
  __device__ void finish_keys(const chunk_memory<Token>& memory, int stage, bool turn, int t, int count) {
    const int* const steep = memory.gates->steep;
    const bool twice = Keyed && steep[0] + steep[1] + steep[2] + steep[3] > 0;
#pragma unroll 1
    for (int pass = twice ? 0 : 1; pass < 2; ++pass) {
      const bool is_first = pass == 0 || !twice;
      finish_rows<Keyed, Turns>(parts.map, pair_turns{c}, plan, memory, is_first && plan.maps && !maps_apart(),
                                is_first && turn, pass == 1, t, count);
      __syncthreads();
      if constexpr (Keyed)
        if (pass == 0) score_steep<Token>(plan, shared, stage, keys()), __syncthreads();
    }
  }
  /// What decays per key have left of the segment's beginning.
  __device__ void add_up_decays(const chunk_memory<Token>& memory) {
    for (int key = int(threadIdx.x); key < plan.keys(); key += int(blockDim.x))
      for (int step = 0; step < plan.steps(); ++step) {
        const int at = step * plan.keys() + key;
        memory.total[key] *= ends_one_sided<Token> ? 1.0f + memory.first[at] : memory.first[at] * memory.second[at];
      }
  }

  /// What the normaliser sums up of a step's own tokens.
  __device__ summed wanted() const {
    if (!c.normalises()) return summed::nothing;
    return undecayed() ? summed::scores : c.norm == norm_kind::abs_max ? summed::weights : summed::decayed;
  }
  __device__ const float* normaliser_from_start(const chunk_memory<Token>& memory) const {
    return per_head() && !undecayed() ? memory.gates->from_start : nullptr;
  }
  __device__ void advance_normaliser(const chunk_memory<Token>& memory) {
    const chunk_gates& gate = *memory.gates;
    const bool decays = per_head() && !undecayed();
    const float* const weights = c.norm == norm_kind::abs_max ? gate.entering : decays ? gate.left : nullptr;
    if constexpr (Keyed) advance_keyed_normaliser(plan, memory, undecayed());
    else mma::advance_normaliser(plan, memory, weights, decays ? gate.taken : nullptr);
  }

  /// What the chunk sees of the state, and how the state moves on.
  __device__ void advance(const chunk_memory<Token>& memory) {
    if (warp >= plan.state_warps()) return;
    const bool scales = per_head() || admits(), gated = gates_channels();
    const chunk_gates& gate = *memory.gates;
#pragma unroll 1
    for (int step = 0; step < plan.steps(); ++step) {
      const int t = step * step_tokens, at = step * plan.keys() + slab * slab_keys + lane % 4 * 2;
      const int of_q = t * plan.q_stride + slab * slab_keys, of_k = t * plan.k_stride + slab * slab_keys;
      const int of_v = t * plan.v_stride + channel;
      const bool one_sided = ends_one_sided<Token> || gate.steep[step];
      const auto first = [&](int j) { return load_pair(memory.first + at + 8 * j); };
      const auto second = [&](int j) { return load_pair(memory.second + at + 8 * j); };
      if (Keyed && !one_sided) multiply_keys(S, first);
      float Y[2][4] = {};
      if (!plan.states_only)
        products::template query_state<Keyed || Turns, keys_in_parts>(Y, S, memory.q + of_q, memory.q_rest + of_q,
                                                                      plan.queries_in_parts, plan.q_stride, lane);
      typename products::values V;
      products::load_values(V, (gated ? memory.gate : memory.v) + of_v, memory.v_rest + of_v, gated, plan.v_stride,
                            lane);
      if (!plan.states_only) {
        if (per_head()) {
#pragma unroll
          for (int n = 0; n < 2; ++n) {
            const float2 by = load_pair(gate.from_start + t + 8 * n + lane % 4 * 2);
            Y[n][0] *= by.x, Y[n][1] *= by.y, Y[n][2] *= by.x, Y[n][3] *= by.y;
          }
        }
        if (slab == 0)
          products::apply_weights(Y, V, gated, memory.weights + t * products::weight_stride,
                                  plan.tokens * products::weight_stride, lane);
        float* const y = memory.y + (slab * plan.tokens + t + lane % 4 * 2) * plan.y_stride + channel + lane / 4;
#pragma unroll
        for (int i = 0; i < 8; ++i) y[(i / 4 * 8 + i % 2) * plan.y_stride + i % 4 / 2 * 8] = Y[i / 4][i % 4];
      }
      if (scales) products::scale_values(V, gated, gate.entering + t, lane);
      if constexpr (Keyed && ends_one_sided<Token>) decay(S, first);
      else if (Keyed && one_sided) multiply_keys(S, first), multiply_keys(S, second);
      if (per_head()) decay(S, [taken = gate.taken[step]](int) { return float2{taken, taken}; });
      products::template enter<keys_in_parts>(S, V, gated || scales, memory.k + of_k, memory.raw + of_k, plan.k_stride,
                                              lane);
      if (Keyed && !one_sided) multiply_keys(S, second);
    }
  }
};

template <class Token, bool Keyed, bool Turns, class Parts>
__global__ void __launch_bounds__(512, 1)
    chunked_mma_kernel(const __grid_constant__ device_call<float> c, const __grid_constant__ Parts parts,
                       const __grid_constant__ block_plan plan) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  extern __shared__ __align__(16) unsigned char shared[];
  const block_place place(c, plan);
  slice_walk<Token, Keyed, Turns, Parts>(c, parts, plan, shared, cut(c.sequence(place.sequence), plan, place.segment),
                                         place)
      .run();
#endif
}

}  // namespace sextant::gpu::mma
