// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the state warpgroups: the state in registers, what it answers and how it moves on.
#pragma once

#include <sextant/cuda/chunked_wgmma/channels.cuh>
#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/output.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/chunked_wgmma/rows.cuh>
#include <sextant/cuda/chunked_wgmma/segment_states.cuh>
#include <sextant/cuda/chunked_wgmma/stabiliser.cuh>
#include <sextant/cuda/chunked_wgmma/state_numbers.cuh>
#include <sextant/cuda/chunked_wgmma/state_products.cuh>
#include <sextant/cuda/chunked_wgmma/turning.cuh>

namespace sextant::gpu::wgmma {

/// A warpgroup that holds the state of 64 channels, S^T [64][Keys], as the sums of a product in float: rounded, they are
/// the first factor of the next one, so the state never leaves the registers. Per chunk, with Q, K, V its rows, W the
/// weights among its tokens, e_i = 2^cum_i and u_j = 2^(cum_last - cum_j) I_j:
///   Y^T = (S^T Q^T) e + V^T W^T,   S^T = 2^cum_last S^T + (u V)^T K
template <class Plan, class Call> struct state_group {
  using token = typename Plan::token;
  using precision = typename Plan::precision_type;

  const Call& call;
  const chunked_block<Plan>& block;
  chunked_memory<Plan>& memory;
  chunked_barriers<Plan>& barriers;
  const int slice, thread, warp, lane;
  const int head, value;      // of its first channel
  const int row;              // the channel of this thread's sums; the other one is row + 8
  float skip[2];

  __device__ state_group(const Call& its_call, const chunked_block<Plan>& its_block, chunked_memory<Plan>& its_memory,
                         chunked_barriers<Plan>& its_barriers, int its_slice, int its_thread)
      : call{its_call},
        block{its_block},
        memory{its_memory},
        barriers{its_barriers},
        slice{its_slice},
        thread{its_thread},
        warp{__shfl_sync(~0u, its_thread / 32, 0)},
        lane{its_thread % 32},
        head{its_block.head_of(its_slice)},
        value{its_block.value_of(its_slice)},
        row{16 * warp + lane / 4} {
    skip[0] = skip[1] = 0.0f;
    if constexpr (Plan::skips)
      if (block.has(call, slice)) skip[0] = call.x.d(head, value + row), skip[1] = call.x.d(head, value + row + 8);
  }

  __device__ __forceinline__ void load_state(float (&S)[Plan::keys / 2]) const {
    const state_place<const float> initial{call.x.initial_state.S, block.batch, head, value};
    const states_of<Plan> states = states_of_head<Plan>(call, block, slice, value);
    const bool handed = call.segments > 1;
#pragma unroll
    for (float& s : S) s = 0.0f;
    if (!handed && !initial.first) return;
    float left = 0.0f;
    [[maybe_unused]] handed_stabiliser stabilised;
#pragma unroll 1
    for (int j = handed ? states.first_of(block.segment, is_given<Plan>(call)) : 0; j <= block.segment; ++j) {
      const state_place<const float> from = handed ? state_place<const float>{states.record(j)} : initial;
      if constexpr (Plan::stabilises) {
        if (handed) stabilised.take(states, j);
        each_number<Plan::keys>(from, thread, [&](int i, const float& its) {
          S[i] = fmaf(stabilised.left, S[i], stabilised.entered * its);
        });
        continue;
      }
      each_number<Plan::keys>(from, thread, [&](int i, const float& its) { S[i] = fmaf(left, S[i], its); });
      left = !Plan::forgets ? 1.0f : j < block.segment ? states.left(j + 1) : 0.0f;
    }
  }
  __device__ __forceinline__ void store_state(const float (&S)[Plan::keys / 2]) const {
    // Finds out anew where it works, so that this takes no registers until here.
    int number, of_block;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(number));
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(of_block));
    const chunked_block<Plan> at{call, number};
    const int its_slice = of_block / 128 - Plan::first_state_group;
    if (!call.x.final_state.S || at.segment + 1 < call.segments) return;
    const state_place<float> to{call.x.final_state.S, at.batch, at.head_of(its_slice), at.value_of(its_slice)};
    each_number<Plan::keys>(to, of_block % 128, [&](int i, float& its) { its = S[i]; });
  }
  /// What a chunk wants to know before it begins, read while the one before is still in progress.
  struct look_ahead {
    float held;  ///< what the state is multiplied by, and whether the chunk is mild, see chunk_gates
    std::uint32_t V[16];
    uint4 entering[4];  ///< factors of what enters the state
  };
  __device__ void run() const {
    if (!block.has(call, slice)) return stand_by();
    float S[Plan::keys / 2];
    load_state(S);
    if (slice + 1 == Plan::slices) end_turn();
    look_ahead ahead;
    const auto begin = [&] {
      if constexpr (Plan::framed) look_at_gates(ahead, 0), look_at_values(ahead, 0);
    };
    if constexpr (!Plan::rewrites) begin();
    for (int c = Plan::rewrites ? -1 : 0; c < block.chunks; ++c) {
      if constexpr (Plan::rewrites) {
        map_keys(c + lead());
        if (c < 0) {
          begin();
          continue;
        }
      }
      if constexpr (Plan::framed) {
        if (fabsf(ahead.held) != 1.0f) multiply_state(S, fabsf(ahead.held));
        // A vote, so that the compiler sees that lanes agree.
        if (__all_sync(~0u, ahead.held > 0.0f)) walk_in_frame(S, c, ahead);
        else walk(S, c, ahead);
      } else {
        if constexpr (Plan::gated) barriers.gated[c % Plan::stages].wait(c / Plan::stages);
        walk(S, c, ahead);
      }
    }
    if constexpr (Plan::framed) multiply_state(S, gates_of((block.chunks - 1) % Plan::stages).all[0].left);
    store_state(S);
  }

 private:
  /// What the others wait for of a slice that is not there.
  __device__ void stand_by() const {
    if (slice + 1 == Plan::slices) end_turn();
    for (int c = Plan::rewrites ? -1 : 0; c < block.chunks; ++c) {
      map_keys(c + lead());
      if (c < 0) continue;
      const int stage = c % Plan::stages, buffer = c & 1, of_y = c % Plan::y_buffers;
      take_turn();
      end_turn();
      wait_for_tokens(c);
      barriers.weighed[buffer].wait(c / 2);
      if (c >= Plan::y_buffers) barriers.stored[of_y][slice].wait(c / Plan::y_buffers - 1);
      release_values(c);
      if (lane == 0) barriers.finished[of_y][slice].arrive();
      if (Plan::factor_tellers > 1 || lane == 0) barriers.consumed[buffer].arrive();
      if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
    }
  }
  /// Heads of one block take turns: while the products of one run, the other one has its arithmetic to do.
  __device__ __forceinline__ void take_turn() const {
    if constexpr (Plan::framed) ptx::synchronise(Plan::turn_meeting + slice, 128 * Plan::slices);
  }
  __device__ __forceinline__ void end_turn() const {
    if constexpr (Plan::framed)
      ptx::let_pass(Plan::turn_meeting + (slice + 1) % Plan::slices, 128 * Plan::slices);
  }
  __device__ __forceinline__ chunk_gates& gates_of(int stage) const { return memory.gates[stage][slice % Plan::gate_sets]; }
  /// Queries, keys and values of chunk c.
  __device__ __forceinline__ void wait_for_tokens(int c) const {
    const int stage = c % Plan::stages;
    barriers.landed[stage].wait(c / Plan::stages);
    if constexpr (Plan::rewrites) barriers.mapped[stage].wait(c / Plan::stages);
    if constexpr (Plan::splits) wait_for_values(c);
  }
  /// How far ahead of its products a warpgroup has its share of the keys. What is turned is more work than the products are: one
  /// has its share while the other has its products.
  __device__ __forceinline__ int lead() const {
    return Plan::turns && slice > 0 ? 0 : 1;
  }
  /// This warpgroup's share of the keys of chunk c through map and position, if there are such a chunk and either of them: before
  /// the products of the chunk before, so that the scores are ahead.
  __device__ __forceinline__ void map_keys(int c) const {
    if constexpr (Plan::rewrites) {
      if (c >= block.chunks || (Plan::turns && c < 0)) return;
      const int stage = c % Plan::stages;
      barriers.landed[stage].wait(c / Plan::stages);
      if (Plan::turns && c > 0) barriers.plain_read.wait(c - 1);
      int of_block;  // anew: it and addresses made of it are not worth registers from chunk to chunk
      asm volatile("mov.u32 %0, %%tid.x;" : "=r"(of_block));
      const int thread_of_all = of_block - 128 * Plan::first_state_group, first = block.first_token(call, c);
      if constexpr (Plan::turns) turn_rows<Plan>(call, memory, barriers, stage, first, thread_of_all);
      else map_rows<Plan, true, Plan::key_mappers>(call, memory, barriers, stage, first, thread_of_all);
    }
  }
  __device__ __forceinline__ void wait_for_values(int c) const {
    barriers.values_landed[c % Plan::value_stages][slice].wait(c / Plan::value_stages);
  }
  __device__ __forceinline__ std::uint32_t values_of(int c) const {
    return ptx::shared_address(memory.v[c % Plan::value_stages][slice]);
  }
  /// No more of the values of chunk c, and of its output gate, is read.
  __device__ __forceinline__ void release_values(int c) const {
    if constexpr (!Plan::splits) return;
    __syncwarp();
    if (lane == 0) barriers.values_released[c % Plan::value_stages][slice].arrive();
  }
  __device__ __forceinline__ row_numbers load_own(int buffer) const {
    if constexpr (Plan::adds_own) return {memory.own[buffer][slice % Plan::gate_sets], lane};
    else return {};
  }
  __device__ __forceinline__ void add_own(float (&Y)[32], const std::uint32_t (&V)[16], const row_numbers& own,
                                          int c) const {
    add_own_values<Plan>(Y, V, values_of(c), skip, own, warp, lane);
  }
  /// The gates of chunk c, if there is such a chunk.
  __device__ __forceinline__ void look_at_gates(look_ahead& ahead, int c) const {
    if (c >= block.chunks) return;
    const int stage = c % Plan::stages;
    barriers.gated[stage].wait(c / Plan::stages);
    ahead.held = gates_of(stage).all[lane % 4].held;
  }
  /// And its tokens.
  __device__ __forceinline__ void look_at_values(look_ahead& ahead, int c) const {
    if (c >= block.chunks) return;
    if constexpr (Plan::splits) wait_for_values(c);  // the rest is there once it has been weighed
    else wait_for_tokens(c);
    load_channels(ahead.V, values_of(c), warp, lane);
    load_entering(ahead.entering, gates_of(c % Plan::stages), lane);
  }

  /// A chunk whose decays are mild, see state_frame:
  ///   Y^T = (S^T Q^T + V^T (mask(Q K^T) c)^T) 2^(cum + f),   S^T += (c V)^T K
  /// The divisor of a norm comes with the factors 2^(cum + f).
  __device__ __forceinline__ void walk_in_frame(float (&S)[Plan::keys / 2], int c, look_ahead& ahead) const {
    const int stage = c % Plan::stages, buffer = c & 1;
    const chunk_gates& gates = gates_of(stage);
    std::uint32_t(&V)[16] = ahead.V;
    std::uint32_t entering[16], rounded[Plan::keys / 4];
    constexpr bool early = Plan::keys == 64;  // else there are no registers
    row_numbers seen, own;
    if constexpr (early && !Plan::normalised) seen = row_numbers{gates.from_start, lane};
    scale_channels<token>(entering, V, ahead.entering);
    round_state<token>(rounded, S);
    hold(rounded), hold(entering);
    barriers.weighed[buffer].wait(c / 2);
    if constexpr (early) own = load_own(buffer);
    if constexpr (early && Plan::normalised) seen = row_numbers{memory.factor[buffer][slice], lane};
    // All that products need is there before they begin, so that a turn is short.
    take_turn();
    float Y[32];
    ask_state<Plan>(Y, rounded, ptx::shared_address(memory.q[stage]));
    add_weighed<Plan>(Y, V, ptx::shared_address(memory.weights[buffer][slice % Plan::weight_tiles]));
    add_keys<Plan>(S, entering, ptx::shared_address(memory.k[stage]));
    end_turn();
    if constexpr (!Plan::output_gate) release_values(c);  // only now are they known to be in registers
    look_at_gates(ahead, c + 1);
    if constexpr (!early) {
      ptx::wait_products<2>();
      seen = row_numbers{Plan::normalised ? memory.factor[buffer][slice] : gates.from_start, lane};
      own = load_own(buffer);
    }
    ptx::wait_products<1>();
    multiply_rows(Y, seen);
    add_own(Y, V, own, c);
    gate_output(Y, c);
    give(Y, c);
    if (Plan::factor_tellers > 1 || lane == 0) barriers.consumed[buffer].arrive();
    if constexpr (Plan::output_gate) release_values(c);
    look_at_values(ahead, c + 1);
    ptx::wait_products<0>();
    __syncwarp();
    if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
  }

  /// A chunk of any decays: its weights have them in them.
  __device__ __forceinline__ void walk(float (&S)[Plan::keys / 2], int c, look_ahead& ahead) const {
    constexpr bool early = Plan::gated && !Plan::normalised && !Plan::framed;  // for a token's own part; needs registers
    const int stage = c % Plan::stages, buffer = c & 1;
    std::uint32_t rounded[Plan::keys / 4];
    round_state<token>(rounded, S);
    const chunk_gates& gates = gates_of(stage);
    // Not under the products that follow, where it would fit: the compiler would have them wait for each other (C7517).
    if constexpr (Plan::gated) multiply_state(S, gates.all[0].whole);
    float Y[32];
    wait_for_tokens(c);
    take_turn();
    ask_state<Plan>(Y, rounded, ptx::shared_address(memory.q[stage]));

    // Under those products: V arrives.
    std::uint32_t(&V)[16] = ahead.V;
    std::uint32_t entering[16];
    if constexpr (!Plan::framed) {
      load_channels(V, values_of(c), warp, lane);
      if constexpr (Plan::gated) load_entering(ahead.entering, gates, lane);
    }
    if constexpr (Plan::gated) {
      scale_channels<token>(entering, V, ahead.entering);
      add_keys<Plan>(S, entering, ptx::shared_address(memory.k[stage]));
    } else {
      add_keys<Plan>(S, V, ptx::shared_address(memory.k[stage]));
    }
    end_turn();

    // Under the state's products: what the chunk sees of the state decays too.
    ptx::wait_products<1>();
    if constexpr (Plan::gated) multiply_rows(Y, row_numbers{gates.from_start, lane});
    barriers.weighed[buffer].wait(c / 2);
    if constexpr (early) add_own(Y, V, load_own(buffer), c);
    add_weighed<Plan>(Y, V, ptx::shared_address(memory.weights[buffer][slice % Plan::weight_tiles]));
    ptx::wait_products<0>();

    if constexpr (Plan::normalised) {
      multiply_rows(Y, row_numbers{memory.factor[buffer][slice % Plan::heads], lane});
    } else if constexpr (!Plan::gated) {
#pragma unroll
      for (int i = 0; i < 32; ++i) Y[i] *= call.scale;
    }
    if constexpr (!early) add_own(Y, V, load_own(buffer), c);
    gate_output(Y, c);
    give(Y, c);
    if (Plan::factor_tellers > 1 || lane == 0) barriers.consumed[buffer].arrive();
    release_values(c);
    if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
    if constexpr (Plan::framed) look_at_gates(ahead, c + 1), look_at_values(ahead, c + 1);
  }

  __device__ __forceinline__ void gate_output(float (&Y)[32], int c) const {
    if constexpr (Plan::output_gate) {
      apply_output_gate<token>(Y, ptx::shared_address(memory.output_gate[c % Plan::value_stages][slice]), warp, lane);
    }
  }
  /// y of a chunk, to be sent on its way. What it is made of has been read when this returns: it is in registers, while an
  /// arrival does not wait for loads that are still on their way.
  __device__ __forceinline__ void give(const float (&Y)[32], int c) const {
    const int buffer = c % Plan::y_buffers;
    if (c >= Plan::y_buffers) barriers.stored[buffer][slice].wait(c / Plan::y_buffers - 1);
    store_tile<token>(Y, ptx::shared_address(memory.y[buffer][slice]), warp, lane);
    __syncwarp();
    if (lane == 0) barriers.finished[buffer][slice].arrive();
  }
};

}  // namespace sextant::gpu::wgmma
