// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the state warpgroups: the state in registers, what it answers and how it moves on.
#pragma once

#include <sextant/cuda/chunked_wgmma/channels.cuh>
#include <sextant/cuda/chunked_wgmma/gates.cuh>
#include <sextant/cuda/chunked_wgmma/output.cuh>
#include <sextant/cuda/chunked_wgmma/plan.cuh>
#include <sextant/cuda/chunked_wgmma/segment_states.cuh>
#include <sextant/cuda/ptx/bulk_copy.cuh>
#include <sextant/cuda/ptx/matrix_copy.cuh>
#include <sextant/cuda/ptx/wgmma.cuh>

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

  __device__ state_group(const Call& its_call, const chunked_block<Plan>& its_block,
                         chunked_memory<Plan>& its_memory, chunked_barriers<Plan>& its_barriers, int its_slice, int its_thread)
      : call{its_call}, block{its_block}, memory{its_memory}, barriers{its_barriers}, slice{its_slice},
        thread{its_thread}, warp{its_thread / 32}, lane{its_thread % 32}, head{its_block.head_of(its_slice)},
        value{its_block.value_of(its_slice)}, row{16 * warp + lane / 4} {
    skip[0] = skip[1] = 0.0f;
    if constexpr (Plan::skips) skip[0] = call.x.d(head, value + row), skip[1] = call.x.d(head, value + row + 8);
  }

  __device__ __forceinline__ void load_initial_state(float (&S)[Plan::keys / 2]) const {
#pragma unroll
    for (int i = 0; i < Plan::keys / 2; ++i) S[i] = 0.0f;
    if (!call.x.initial_state.S) return;
#pragma unroll
    for (int i = 0; i < Plan::keys / 2; ++i) {
      const int key = i / 4 * 8 + 2 * (lane % 4) + i % 2, channel = value + row + i % 4 / 2 * 8;
      S[i] = call.x.initial_state.S(block.batch, head, key, channel);
    }
  }
  __device__ __forceinline__ void load_state(float (&S)[Plan::keys / 2]) const {
    if (call.segments > 1)
      return segment_states<Plan>{call.handed, call.segments, block.number}.load(S, block.segment, slice, thread);
    load_initial_state(S);
  }
  __device__ __forceinline__ void store_state(const float (&S)[Plan::keys / 2]) const {
    if (!call.x.final_state.S) return;
    // Finds out anew where it works, so that this takes no registers until here.
    int number;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(number));
    const chunked_block<Plan> at{call, number};
    if (at.segment + 1 < call.segments) return;
#pragma unroll
    for (int i = 0; i < Plan::keys / 2; ++i) {
      const int key = i / 4 * 8 + 2 * (lane % 4) + i % 2, channel = at.value_of(slice) + row + i % 4 / 2 * 8;
      call.x.final_state.S(at.batch, at.head_of(slice), key, channel) = S[i];
    }
  }
  __device__ void run() const {
    float S[Plan::keys / 2];
    load_state(S);
    if (slice + 1 == Plan::slices) end_turn();
    for (int c = 0; c < block.chunks; ++c) {
      const int stage = c % Plan::stages;
      if constexpr (Plan::gated) barriers.gated[stage].wait(c / Plan::stages);
      if constexpr (Plan::framed) {
        const auto all = gates_of(stage).all;
        if (all.held != 1.0f) multiply_state(S, all.held);
        if (__all_sync(~0u, all.mild)) {  // a vote, so that the compiler sees that lanes agree
          walk_in_frame(S, c);
          continue;
        }
      }
      walk(S, c);
    }
    if constexpr (Plan::framed) multiply_state(S, gates_of((block.chunks - 1) % Plan::stages).all.left);
    store_state(S);
  }
  /// Moves a state through the block's chunks and answers nothing; returns by how much they decay it.
  __device__ __forceinline__ float move_on(float (&S)[Plan::keys / 2]) const {
    float left = 1.0f;
    for (int c = 0; c < block.chunks; ++c) {
      const int stage = c % Plan::stages;
      const chunk_gates& gates = gates_of(stage);
      if constexpr (Plan::gated) {
        barriers.gated[stage].wait(c / Plan::stages);
        const float decay = gates.all.held * gates.all.whole;
        left *= decay;
        multiply_state(S, decay);
      }
      barriers.landed[stage].wait(c / Plan::stages);
      if constexpr (Plan::maps) barriers.mapped[stage].wait(c / Plan::stages);
      std::uint32_t V[16], entering[16];
      load_channels(V, ptx::shared_address(memory.v[stage][slice]), warp, lane);
      if constexpr (Plan::gated) scale_channels(entering, V, gates);
      add_keys(S, Plan::gated ? entering : V, stage);
      ptx::wait_products<0>();
      __syncwarp();
      if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
    }
    if constexpr (Plan::framed) {
      const float last = gates_of((block.chunks - 1) % Plan::stages).all.left;
      left *= last;
      multiply_state(S, last);
    }
    return left;
  }

 private:
  /// Heads of one block take turns: while the products of one run, the other one has its arithmetic to do.
  __device__ __forceinline__ void take_turn() const {
    if constexpr (Plan::framed) ptx::synchronise(Plan::turn_meeting + slice, 128 * Plan::slices);
  }
  __device__ __forceinline__ void end_turn() const {
    if constexpr (Plan::framed)
      ptx::let_pass(Plan::turn_meeting + (slice + 1) % Plan::slices, 128 * Plan::slices);
  }
  __device__ __forceinline__ chunk_gates& gates_of(int stage) const { return memory.gates[stage][slice % Plan::gate_sets]; }
  __device__ __forceinline__ void multiply_state(float (&S)[Plan::keys / 2], float by) const {
#pragma unroll
    for (int i = 0; i < Plan::keys / 2; ++i) S[i] *= by;
  }
  __device__ __forceinline__ void round_state(std::uint32_t (&rounded)[Plan::keys / 4],
                                              const float (&S)[Plan::keys / 2]) const {
#pragma unroll
    for (int i = 0; i < Plan::keys / 4; ++i) rounded[i] = detail::round_pair<token>(S[2 * i], S[2 * i + 1]);
  }
  /// Y = S^T Q^T of chunk c, begun once its queries are there and it is this head's turn.
  __device__ __forceinline__ void ask_state(float (&Y)[32], const std::uint32_t (&rounded)[Plan::keys / 4], int c) const {
    const int stage = c % Plan::stages;
    barriers.landed[stage].wait(c / Plan::stages);
    if constexpr (Plan::maps) barriers.mapped[stage].wait(c / Plan::stages);
    take_turn();
    const std::uint32_t queries = ptx::shared_address(memory.q[stage]);
    ptx::begin_products();
#pragma unroll
    for (int i = 0; i < Plan::keys / 16; ++i)
      ptx::multiply<token, false>(Y, rounded + 4 * i,
                                  ptx::rows_along_sum(queries, i / 4 * Plan::tile_bytes + i % 4 * 32), i > 0);
    ptx::commit_products();
  }
  /// S += V^T K, begun.
  __device__ __forceinline__ void add_keys(float (&S)[Plan::keys / 2], const std::uint32_t (&V)[16], int stage) const {
    const std::uint32_t keys = ptx::shared_address(memory.k[stage]);
    ptx::begin_products();
#pragma unroll
    for (int i = 0; i < 4; ++i)
      ptx::multiply<token, true>(S, V + 4 * i, ptx::rows_across_sum(keys, i * 2048, Plan::tile_bytes), true);
    ptx::commit_products();
  }
  /// Y += V^T W^T, begun.
  __device__ __forceinline__ void add_weighed(float (&Y)[32], const std::uint32_t (&V)[16], int buffer, int tile) const {
    const std::uint32_t weights = ptx::shared_address(memory.weights[buffer][tile]);
    ptx::begin_products();
#pragma unroll
    for (int i = 0; i < 4; ++i) ptx::multiply<token, false>(Y, V + 4 * i, ptx::rows_along_sum(weights, i * 32), true);
    ptx::commit_products();
  }
  __device__ __forceinline__ row_numbers load_own(int buffer) const {
    if constexpr (Plan::adds_own) return {memory.own[buffer][slice % Plan::gate_sets], lane};
    else return {};
  }
  __device__ __forceinline__ void add_own(float (&Y)[32], const std::uint32_t (&V)[16], const row_numbers& own,
                                          int stage) const {
    add_own_values<Plan>(Y, V, ptx::shared_address(memory.v[stage][slice]), skip, own, warp, lane);
  }
  /// v times what enters the state of it.
  __device__ __forceinline__ void scale_channels(std::uint32_t (&entering)[16], const std::uint32_t (&V)[16],
                                                 const chunk_gates& gates) const {
#pragma unroll
    for (int i = 0; i < 16; ++i) entering[i] = scale_pair<token>(V[i], gates.entering[i / 2 * 4 + lane % 4]);
  }

  /// A chunk whose decays are mild, see state_frame:
  ///   Y^T = (S^T Q^T + V^T (mask(Q K^T) c)^T) 2^(cum + f),   S^T += (c V)^T K
  __device__ __forceinline__ void walk_in_frame(float (&S)[Plan::keys / 2], int c) const {
    const int stage = c % Plan::stages, buffer = c & 1;
    const chunk_gates& gates = gates_of(stage);
    std::uint32_t rounded[Plan::keys / 4];
    round_state(rounded, S);
    float Y[32];
    ask_state(Y, rounded, c);
    std::uint32_t V[16], entering[16];
    load_channels(V, ptx::shared_address(memory.v[stage][slice]), warp, lane);
    scale_channels(entering, V, gates);
    barriers.weighed[buffer].wait(c / 2);
    add_weighed(Y, V, buffer, slice);
    add_keys(S, entering, stage);
    end_turn();
    row_numbers seen, own;
    constexpr bool ahead = Plan::keys == 64;  // of the wait; with more keys there are no registers for it
    if constexpr (ahead) seen = row_numbers{gates.from_start, lane}, own = load_own(buffer);
    ptx::wait_products<1>();
    if constexpr (!ahead) seen = row_numbers{gates.from_start, lane}, own = load_own(buffer);
    multiply_rows(Y, seen);
    add_own(Y, V, own, stage);
    __syncwarp();
    if (Plan::factor_tellers > 1 || lane == 0) barriers.consumed[buffer].arrive();
    give(Y, c);
    ptx::wait_products<0>();
    __syncwarp();
    if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
  }

  /// A chunk of any decays: its weights have them in them.
  __device__ __forceinline__ void walk(float (&S)[Plan::keys / 2], int c) const {
    constexpr bool early = Plan::gated && !Plan::normalised && !Plan::framed;  // for a token's own part; needs registers
    const int stage = c % Plan::stages, buffer = c & 1;
    std::uint32_t rounded[Plan::keys / 4];
    round_state(rounded, S);
    const chunk_gates& gates = gates_of(stage);
    // Not under the products that follow, where it would fit: the compiler would have them wait for each other (C7517).
    if constexpr (Plan::gated) multiply_state(S, gates.all.whole);
    float Y[32];
    ask_state(Y, rounded, c);

    // Under those products: V arrives.
    std::uint32_t V[16], entering[16];
    load_channels(V, ptx::shared_address(memory.v[stage][slice]), warp, lane);
    if constexpr (Plan::gated) {
      scale_channels(entering, V, gates);
      add_keys(S, entering, stage);
    } else {
      add_keys(S, V, stage);
    }
    end_turn();

    // Under the state's products: what the chunk sees of the state decays too.
    ptx::wait_products<1>();
    if constexpr (Plan::gated) multiply_rows(Y, row_numbers{gates.from_start, lane});
    barriers.weighed[buffer].wait(c / 2);
    if constexpr (early) add_own(Y, V, load_own(buffer), stage);
    add_weighed(Y, V, buffer, slice % Plan::weight_tiles);
    ptx::wait_products<0>();

    if constexpr (Plan::normalised) {
      multiply_rows(Y, row_numbers{memory.factor[buffer][slice % Plan::heads], lane});
    } else if constexpr (!Plan::gated) {
#pragma unroll
      for (int i = 0; i < 32; ++i) Y[i] *= call.scale;
    }
    if constexpr (!early) add_own(Y, V, load_own(buffer), stage);
    __syncwarp();
    if (Plan::factor_tellers > 1 || lane == 0) barriers.consumed[buffer].arrive();
    if constexpr (Plan::output_gate) {
      apply_output_gate<token>(Y, ptx::shared_address(memory.output_gate[stage][slice]), warp, lane);
      __syncwarp();
    }
    if (Plan::gate_tellers > 1 || lane == 0) barriers.released[stage].arrive();
    give(Y, c);
  }

  /// y of a chunk, to be sent on its way.
  __device__ __forceinline__ void give(const float (&Y)[32], int c) const {
    const int buffer = c & 1;
    if (c >= 2) barriers.stored[buffer][slice].wait(c / 2 - 1);
    store_tile<token>(Y, ptx::shared_address(memory.y[buffer][slice]), warp, lane);
    __syncwarp();
    if (lane == 0) barriers.finished[buffer][slice].arrive();
  }
};

}  // namespace sextant::gpu::wgmma
