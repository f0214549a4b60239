// SPDX-License-Identifier: Apache-2.0
/// @file  Decays per key on Hopper, the kernel's plan: its tiles, its stages, its registers, and who waits for whom.
#pragma once

#include <cuda.h>  // CUtensorMap

#include <cstddef>  // offsetof

#include <sextant/cuda/ptx/mbarrier.cuh>
#include <sextant/tensor/sequence.hpp>

namespace sextant::gpu::wgmma {

/// How a kernel runs a design whose decays vary over keys, all of it known to the compiler. A block has one head and two
/// slices of 64 of its channels. It walks through a sequence in steps of 16 tokens, two of them a chunk.
template <class Design, class Precision, int Keys> struct keyed_plan {
  using design_type = Design;
  using precision_type = Precision;
  using token = typename Precision::token;

  static constexpr int keys = Keys, slabs = Keys / 64;  ///< tiles of 64 keys
  static constexpr int slices = 2;                      ///< tiles of 64 channels
  static constexpr int step_rows = 16, steps = 2, rows = steps * step_rows;
  static constexpr bool maps = !std::is_same_v<typename Design::map_type, map::identity>;
  static constexpr bool admits = !std::is_same_v<typename Design::input_type, input::one>;
  static constexpr bool skips = sextant::detail::is_learned<Design>;
  static constexpr bool output_gate = sextant::detail::has_output_gate<Design>;
  static constexpr bool reversed = std::is_same_v<typename Design::order_type, order::reversed>;
  static constexpr bool turns = sextant::detail::turns_1d<Design>;
  static constexpr bool normalised = sextant::detail::normalises<typename Design::norm_type>;
  /// Keys are multiplied by a number of their token: the input gate, or 0 where a map makes something of a token that is not
  /// there, which a normaliser would count.
  static constexpr bool weighs_keys = admits || (maps && normalised);
  static_assert(!normalised || (!admits && !turns), "a normaliser sums keys that are neither gated nor turned");

  static constexpr int producer_group = 0, first_decay_group = 1, decay_groups = 2;
  static constexpr int first_state_group = first_decay_group + decay_groups;
  static constexpr int threads = 128 * (first_state_group + slices);
  // Of each thread, by warpgroup: 96 of 640 threads, moved around.
  static constexpr int producer_registers = 32, decay_registers = 80, state_registers = 144;
  static_assert(producer_registers + decay_groups * decay_registers + slices * state_registers <= 96 * threads / 128);

  static constexpr int chunk_warps = steps * slabs;  ///< that make decays for one chunk: a step and a slab each
  static constexpr int teams = 4 * decay_groups / chunk_warps;  ///< of them, which take chunks in turn
  static constexpr int pair_meeting = 1;                        ///< named barriers of the two warps of a step
  static constexpr int step_bytes = step_rows * 128, tile_bytes = rows * 128;

  /// Where position p of a step lies, positions counting in the order in which the state meets the tokens.
  static constexpr __device__ int row_of(int position) { return reversed ? step_rows - 1 - position : position; }
  /// Which of a chunk's steps comes n-th.
  static constexpr __device__ int step_of(int n) { return reversed ? steps - 1 - n : n; }
};

/// What a warp has of a chunk, a step and 64 keys: tiles with rows of 64 numbers, swizzled. With G_i the sum of log2 F over
/// the step's tokens up to token i, by key, and G the whole step's:
struct keyed_unit {
  using tile = std::uint16_t[16 * 64];

  tile q;       // q_i, then q_i 2^(G_i - G),
  tile q_rest;  // and what rounding took of it
  tile k;       // k_i, then k_i 2^(G - G_i)
  tile decays;  // raw decays, then what rounding took of the keys
};

/// Where the parts of a unit lie.
inline constexpr int q_at = offsetof(keyed_unit, q), q_rest_at = offsetof(keyed_unit, q_rest);
inline constexpr int k_at = offsetof(keyed_unit, k), k_rest_at = offsetof(keyed_unit, decays);

/// A stage in shared memory: a chunk, and what is made of it.
template <class Plan> struct keyed_stage {
  using tile = std::uint16_t[Plan::tile_bytes / 2];

  keyed_unit of[Plan::slabs][Plan::steps];
  tile v[Plan::slices];                       // v, then y
  std::uint16_t weights[Plan::steps][512];    // see store_weights()
  float factors[Plan::steps][2][Plan::keys];  // what the state is multiplied by before the queries, and behind them
  tile output_gate[Plan::output_gate ? Plan::slices : 1];

  /// Bytes of a stage: the last tile is there with an output gate alone.
  static constexpr std::size_t bytes = Plan::output_gate ? sizeof(keyed_stage) : offsetof(keyed_stage, output_gate);
};

/// Stages lie one behind the other, each at a multiple of 1024 bytes.
template <class Plan> __device__ __forceinline__ keyed_stage<Plan>& stage_of(unsigned char* stages, int i) {
  return *reinterpret_cast<keyed_stage<Plan>*>(stages + i * int(keyed_stage<Plan>::bytes));
}
template <class Plan> inline constexpr int keyed_stages = int((226 * 1024 - 512) / keyed_stage<Plan>::bytes);

/// What turns the pairs of keys of a block's head, the same for every step.
template <class Plan, bool = Plan::turns> struct key_turns {
  alignas(16) std::uint64_t of_pair[std::size_t(Plan::keys / 2)];  // for each token, see turns_per_unit()
  alignas(16) float2 one[std::size_t(Plan::keys / 2)];             // as cosine and sine, from one position to the next
};
template <class Plan> struct key_turns<Plan, false> {};

/// What the warps of a normaliser tell each other: z_n, which the state's keys sum up to before step n, the last two of them.
template <class Plan, bool = Plan::normalised> struct key_sums {
  static constexpr int warps = 4 * Plan::decay_groups, in_work = Plan::teams * Plan::steps;  // steps at a time

  using two_rows = std::uint16_t[2][64];
  using step_factors = float[Plan::steps][Plan::step_rows];

  alignas(16) float z[2][Plan::keys];
  alignas(16) two_rows shown[std::size_t(warps)];      // a warp's z as products read it: rounded, and the rest
  float of_rows[std::size_t(warps)][Plan::step_rows];  // a warp's share of q z
  alignas(16) step_factors factors[std::size_t(keyed_stages<Plan>)];  // of rows of y: scale / (q z + eps)
  ptx::mbarrier known[std::size_t(in_work)][Plan::slabs];  // phases of number i: z_n of n % in_work = i, but n = 0
};
template <class Plan> struct key_sums<Plan, false> {};

/// Barriers of a block, and what else its warps tell each other beside the stages. Phase n of a stage's barriers belongs to the
/// n-th chunk in that stage. Where lanes have written or read themselves, all of them arrive, so that a detector of races can
/// follow.
template <class Plan> struct keyed_barriers : key_turns<Plan>, key_sums<Plan> {
  static constexpr int stages = keyed_stages<Plan>;
  ptx::mbarrier landed[std::size_t(stages)];    // q, k, v and raw decays are there
  ptx::mbarrier decayed[std::size_t(stages)];   // queries, keys and weights with their decays are there
  ptx::mbarrier finished[std::size_t(stages)];  // y is there, and nobody reads the stage any more but to store it
  ptx::mbarrier released[std::size_t(stages)];  // nobody reads the stage any more
  // Whether a step multiplies the state behind its queries, too; aligned so that nobody reads a neighbour's with it.
  alignas(16) int late[std::size_t(stages)][Plan::steps][Plan::slabs];
  int skipped;  // chunks of the segment that are forgotten behind it

  /// One thread, before all of the block meet.
  __device__ __forceinline__ void init(int finishing_warps) {
    for (int i = 0; i < stages; ++i) {
      landed[i].init(1);
      decayed[i].init(32 * Plan::chunk_warps);
      finished[i].init(32 * finishing_warps);
      released[i].init(1);
    }
    if constexpr (Plan::normalised)
      for (int i = 0; i < this->in_work * Plan::slabs; ++i) this->known[i / Plan::slabs][i % Plan::slabs].init(32);
    ptx::publish_mbarriers();
  }
};

/// What a kernel is told.
template <class Design, class Precision> struct keyed_call {
  Design design;
  sequence_of<Design, Precision> x;
  int tokens, chunks;
  int heads, heads_per_key_head, keys, values;
  float scale;
  bool answers;                  ///< else all segments but the last are only to be handed over
  int blocks;                    ///< that walk side by side through one segment of all sequences
  int segments, segment_chunks;  ///< of a sequence; of a segment, the last one may have fewer
  bool adds_up;                  ///< with few segments: each adds up itself what those before it hand over
  float* handed;                 ///< with several segments: what they hand over, see keyed_states
  float eps;                     ///< of a normaliser
};

/// The tensors of a call as boxes of a chunk's tokens, of queries a step's, by 64 numbers of one head.
struct keyed_maps {
  CUtensorMap q, k, decays, v, y, gate;
};

/// Where a block works: which head and channels, and which chunks, counted in the order in which the state meets them.
template <class Plan> struct keyed_block {
  int number;  // among those of its segment
  int batch, head, value;
  int segment, first_chunk, chunks;

  template <class Call> __device__ __forceinline__ keyed_block(const Call& call, int its_number) {
    segment = its_number / call.blocks;
    number = its_number % call.blocks;
    first_chunk = segment * call.segment_chunks;
    chunks = min(call.segment_chunks, call.chunks - first_chunk);
    const int per_head = (call.values + 64 * Plan::slices - 1) / (64 * Plan::slices);
    value = number % per_head * 64 * Plan::slices;
    head = number / per_head % call.heads;
    batch = number / per_head / call.heads;
  }
  /// Without its first chunks.
  __device__ __forceinline__ keyed_block without(int skipped) const {
    keyed_block b = *this;
    b.first_chunk += skipped, b.chunks -= skipped;
    return b;
  }
  /// The first token of the block's chunk c; never negative, since the copy engine stops at a store to such a place. So
  /// it is the first chunk of a reversed sequence that is not full.
  template <class Call> __device__ __forceinline__ int first_token(const Call& call, int c) const {
    return Plan::rows * (Plan::reversed ? call.chunks - 1 - first_chunk - c : first_chunk + c);
  }
};

}  // namespace sextant::gpu::wgmma
