// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked kernel's plan: which parts of a design it has, its tiles, its stages and its registers.
#pragma once

#include <cuda.h>  // CUtensorMap

#include <cstddef>  // offsetof

#include <sextant/cuda/chunked_wgmma/barriers.cuh>
#include <sextant/tensor/sequence.hpp>

namespace sextant::gpu::wgmma {

/// The position of queries and keys that have been turned ahead of the chunks, with q_i . k_i of what had not been turned yet.
struct turned_ahead {
  static constexpr part answers = part::position;
  static constexpr const char* name = "turned ahead";
  static constexpr const char* formula = "q, k as they are";
  const float* own = nullptr;  ///< [B, T, Hk]
};

/// How a kernel runs the chunked form of a design, all of it known to the compiler. A block has one head and `Slices`
/// slices of 64 of its channels, or, `Paired`, `Slices` heads of 64 channels that read one query and key.
template <class Design, class Precision, int Keys, int Slices, bool Paired> struct chunked_plan {
  using design_type = Design;
  using precision_type = Precision;
  using token = typename Precision::token;

  static constexpr bool answers = true;  ///< queries; else the state moves on and nothing more, see segment_plan
  static constexpr int keys = Keys, slices = Slices;
  static constexpr int rows = 64;          ///< tokens of a chunk, channels of a slice, numbers in a row of a tile
  static constexpr int slabs = Keys / 64;  ///< tiles of 64 x 64 that the chunk's queries or keys take
  static constexpr bool paired = Paired;

  /// A stabiliser makes gates of its own of whatever gates there are, see head_stabiliser.
  static constexpr bool stabilises = sextant::detail::stabilises<Design>;
  static constexpr bool forgets = stabilises || !std::is_same_v<typename Design::forget_type, forget::one>;
  static constexpr bool admits = stabilises || !std::is_same_v<typename Design::input_type, input::one>;
  static constexpr bool gated = forgets || admits;
  static constexpr bool normalised = !std::is_same_v<typename Design::norm_type, norm::none>;
  static constexpr bool decays =
      stabilises || (forgets && std::is_same_v<typename Design::norm_type, norm::sum>);  ///< the normaliser
  /// What a token takes of itself is multiplied in float: where memories are short that is most of y, and rounded to 16
  /// bits it would cost as much as y's own rounding. (A normaliser divides by the same rounded weights.)
  static constexpr bool reads_own = std::is_same_v<typename Design::position_type, turned_ahead>;
  static constexpr bool adds_own = reads_own || stabilises || (forgets && !normalised);
  /// Queries and keys are turned in their place; the normaliser has what they were before, in tiles of their own.
  static constexpr bool turns = normalised && sextant::detail::turns_1d<Design>;
  static_assert(!turns || (!Paired && !decays));
  static_assert(!Paired || !stabilises);
  /// It is a sum of the products' weights, or of plain scores.
  static constexpr bool sums_weights = normalised && !turns && !admits && decays == forgets;
  static constexpr bool sums_scores = normalised && !turns && gated && !decays;
  static constexpr bool maps = !std::is_same_v<typename Design::map_type, map::identity>;
  /// Queries and keys are mapped or turned in their place. The score warpgroup maps queries, those of the state keys; what is
  /// turned is more work than it has time for, and all theirs.
  static constexpr bool rewrites = maps || turns;
  static constexpr int key_mappers = rewrites ? 128 * Slices : 0,
                       mappers = key_mappers + (turns ? 0 : 128);               ///< threads
  static constexpr int row_step_of(int threads) { return threads * 8 / Keys; }  ///< of so many mappers
  static constexpr bool skips = sextant::detail::is_learned<Design>;
  static constexpr bool output_gate = sextant::detail::has_output_gate<Design>;
  static constexpr bool reversed = std::is_same_v<typename Design::order_type, order::reversed>;
  /// Whether mild decays are left to factors of rows and columns, see state_frame. float16 has too few exponents for it.
  static constexpr bool framed = Paired && gated && (!normalised || decays) && std::is_same_v<token, bfloat16>;

  static_assert(!Paired || Slices == 2, "two heads take turns");
  /// The normaliser of a pair is in the warp that sends y off, with 128 keys half of it in the one that asks for tiles, so that
  /// there is a warp for each head's gates. With a stabiliser one warp has the gates, and the one that sends y off half of the
  /// normaliser of 128 keys.
  static constexpr bool normaliser_stores = (framed && normalised) || (stabilises && Keys == 128 && !output_gate);
  static constexpr bool normaliser_loads = framed && normalised && Keys == 128;
  static constexpr int gate_warps = !gated ? 0 : normalised && !framed ? 1 : 2;
  static constexpr int normaliser_warps = !normalised ? 0 : framed ? slabs : normaliser_stores || !gated ? 2 : 1;
  static constexpr int normaliser_unrolled = !stabilises ? 1 : Keys == 64 || output_gate ? 2 : 4;  ///< shares

  static constexpr int heads = Paired ? Slices : 1;       ///< of a block
  static constexpr int gate_sets = gated ? heads : 1;     ///< decays differ from head to head
  static constexpr int weight_tiles = gated ? heads : 1;  ///< and so do the weights
  static constexpr int tile_bytes = rows * 128;
  static constexpr int gate_tellers = gated ? 32 : 1;  ///< of a warp, at barriers
  static constexpr int factor_tellers = normalised || adds_own ? 32 : 1;

  static constexpr int threads = 128 * (2 + Slices);
  static constexpr int start_meeting = 1, turn_meeting = 2;  ///< named barriers; the last of one for each slice
  static constexpr int producer_group = 0, score_group = 1, first_state_group = 2;
  static constexpr bool two_blocks =  ///< per multiprocessor
      Keys == 64 && Slices == 1 && !gated && !rewrites && !normalised && !output_gate;
  static constexpr int blocks = two_blocks ? 2 : 1;
  // Of each thread, by warpgroup. A normaliser needs more than gates do; states of 64 keys leave them to it, or to gates.
  static constexpr bool few_keys = Keys == 64 && Slices == 2;
  static constexpr bool shows = few_keys && normalised, spares = few_keys && !normalised;
  static constexpr int producer_registers = two_blocks                                   ? 24
                                            : shows                                      ? 64
                                            : normalised && !gated                       ? 56
                                            : stabilises && Slices == 1                  ? 96
                                            : spares || stabilises || (Paired && decays) ? 48
                                                                                         : 40;
  static constexpr int score_registers = two_blocks                         ? 72
                                         : Slices == 1 || shows             ? 128
                                         : turns && !gated                  ? 104
                                         : spares                           ? 96
                                         : stabilises || (Paired && decays) ? 80
                                                                            : 88;
  static constexpr int state_registers = two_blocks                         ? 144
                                         : Slices == 1                      ? 232
                                         : shows                            ? 160
                                         : turns && !gated                  ? 176
                                         : spares || (normalised && !gated) ? 184
                                                                            : 192;
  static_assert(128 * (producer_registers + score_registers + Slices * state_registers) <= 65536 / blocks);

  /// Values, and the output gate, in stages of their own: values are free again as soon as they are in registers, and few
  /// of them leave room for more queries and keys.
  static constexpr bool splits = Keys == 128 && (Paired ? !normalised : output_gate && !turns);
  static constexpr int value_tiles = Slices * (output_gate ? 2 : 1);  ///< of a stage
  static constexpr int stage_tiles = 2 * slabs + (splits ? 0 : value_tiles);
  static constexpr int y_buffers = splits || turns ? 1 : 2;
  static constexpr int fixed_tiles =
      2 * weight_tiles + y_buffers * Slices + (splits ? 2 * value_tiles : 0) + (turns ? 2 * slabs : 0);
  static constexpr int room_tiles = two_blocks ? 13 : 26;
  static constexpr int affordable_stages = (room_tiles - fixed_tiles) / stage_tiles;
  static constexpr int stages = affordable_stages > 4 ? 4 : affordable_stages;
  static constexpr int value_stages = splits ? 2 : stages;
  static_assert(stages >= 2);

  /// Where position p of a chunk lies, positions counting in the order in which the state meets the tokens.
  static constexpr __device__ int row_of(int position) { return reversed ? rows - 1 - position : position; }
};

/// How a kernel moves the state of some channels of a head through a segment of time, see segment_kernel(): with keys and
/// values alone. Two blocks of 64 channels fit into a multiprocessor; where keys pass through a map, one of 128, so that more
/// channels have use of it.
template <class Design, class Precision, int Keys,
          int Slices = chunked_plan<Design, Precision, Keys, 1, false>::rewrites ? 2 : 1>
struct segment_plan : chunked_plan<Design, Precision, Keys, Slices, false> {
  using base = chunked_plan<Design, Precision, Keys, Slices, false>;

  static constexpr bool answers = false, output_gate = false, splits = false;
  /// Who maps keys adds them up as well, where a normaliser is no more than their sum.
  static constexpr bool mappers_sum = base::normalised && base::maps && !base::turns && !base::decays;
  static constexpr bool normaliser_loads = false, normaliser_stores = false;
  static constexpr int normaliser_warps = mappers_sum ? 0 : base::stabilises ? 1 : base::normaliser_warps;
  static constexpr int normaliser_unrolled = base::stabilises && base::maps ? 2 : base::normaliser_unrolled;
  static constexpr int map_groups = base::rewrites ? 2 : 0, key_mappers = 128 * map_groups, mappers = key_mappers;
  static constexpr int threads = 128 * (1 + map_groups + Slices), blocks = Slices == 1 ? 2 : 1;
  static constexpr int producer_registers = base::rewrites ? 56 : 72, map_registers = base::turns ? 64 : 48;
  static constexpr int state_registers = base::turns ? 144 : base::rewrites ? 160 : 184;
  static_assert(producer_registers + map_groups * map_registers + Slices * state_registers <=
                65536 / blocks / threads / 8 * 8 * (threads / 128));
  static constexpr int value_tiles = Slices, stage_tiles = base::slabs + value_tiles;
  static constexpr int stages = ((Slices == 1 ? 12 : 24) - (base::turns ? base::slabs : 0)) / stage_tiles,
                       value_stages = stages;
};

/// Where the pair of rows number `pair` stands among numbers that lanes load two pairs at a time: lane l of a warp needs the
/// pairs 4 j + l % 4, and those of j = 2 n and 2 n + 1 are neighbours.
__device__ constexpr int place_of_pair(int pair) { return pair / 8 * 8 + pair % 4 * 2 + pair / 4 % 2; }
__device__ constexpr int place_of_row(int row) { return 2 * place_of_pair(row / 2) + row % 2; }

/// What the gates of one head say about one chunk, cum_i being the sum of log2 F over the tokens that the state has met up
/// to token i, that one included. All of it is in float, by row, or by place_of_row().
struct chunk_gates {
  float cumulated[64];  ///< cum_i
  /// By place: 2^(cum_i + frame), what row i is shown of the state before the chunk; times the scale without a norm.
  alignas(16) float from_start[64];
  /// 2^(cum_r - cum_j) admitted_j, r the last position before the 16 rows number 1, 2, 3.
  alignas(16) float since[3][64];
  float admitted[64];  ///< I_j; times the scale without a norm
  /// By place: 2^(cum_last - cum_j) I_j or column()[j], of two rows, as scale_pair() takes them.
  alignas(16) uint2 entering[32];
  /// With a norm: column[j] without I_j, of two rows, 0 without a token, as split_pair().
  alignas(16) uint2 key_weight[32];
  struct alignas(16) {
    float held;   ///< what the state is multiplied by before the chunk, if it is mild, else minus that
    float whole;  ///< and when the chunk has seen it: 2^cum_last, or 1 where the frame takes the decay
    float left;   ///< what the state held after the chunk is to be multiplied by
  } all[4];       ///< four times the same: lane l reads number l % 4, so that it comes to no uniform register

  // By place, of framed plans where decays are mild, in the room of what is not needed there.
  __device__ __forceinline__ float* column() { return since[0]; }  ///< 2^(-cum_j - frame) I_j
  __device__ __forceinline__ float* decays() { return since[1]; }  ///< with a norm: the same without I_j
  __device__ __forceinline__ const float* column() const { return since[0]; }
  __device__ __forceinline__ const float* decays() const { return since[1]; }
};

/// `Count` elements, or nothing; whole tiles begin where tiles do.
template <class Element, std::size_t Count> struct some {
  alignas(sizeof(Element) % 1024 == 0 ? 1024 : 16) Element elements[Count];
  __device__ __forceinline__ Element& operator[](int i) { return elements[i]; }
};
template <class Element> struct some<Element, 0> {
  __device__ __forceinline__ Element& operator[](int) { return *reinterpret_cast<Element*>(this); }  // never read
};

/// What turns the pairs of a block's keys: for each token, see turns_per_unit(), and from one row of a thread to its next one.
/// Lanes want four neighbouring pairs each, one after the other: what they read at once lies side by side.
template <class Plan> struct pair_turns {
  static constexpr int pieces = Plan::keys / 8;
  std::uint64_t of_pair[4][std::size_t(pieces)];
  float2 step[4][std::size_t(pieces)];
};

/// Shared memory of a block. Tiles first, each at a multiple of 1024 bytes.
template <class Plan, bool Answers = Plan::answers> struct chunked_memory {
  using tile = std::uint16_t[Plan::tile_bytes / 2];
  using slice_tiles = tile[Plan::slices];
  using gate_sets = chunk_gates[Plan::gate_sets];
  using normaliser_rows = std::uint16_t[Plan::slabs * 512];  // 8 rows, of which each head takes two
  using columns = float[Plan::heads][64];

  tile q[Plan::stages][Plan::slabs];
  tile k[Plan::stages][Plan::slabs];
  tile v[Plan::value_stages][Plan::slices];
  tile weights[2][Plan::weight_tiles];  // of earlier tokens (columns) for later ones (rows)
  tile y[Plan::y_buffers][Plan::slices];
  some<normaliser_rows, Plan::normalised ? 2 : 0> z;  // the normaliser's state before the chunk
  some<slice_tiles, Plan::output_gate ? Plan::value_stages : 0> output_gate;
  some<gate_sets, Plan::gated ? Plan::stages : 0> gates;
  some<columns, Plan::normalised ? 2 : 0> factor;            // scale / (q_i z_i + eps)
  some<columns, Plan::adds_own ? 2 : 0> own;                 // q_i . k_i I_i, with a stabiliser times the factor
  some<columns, Plan::stabilises ? Plan::stages : 0> bound;  // exp(-m_i), the least that q_i . z_i counts as
  some<pair_turns<Plan>, Plan::turns ? 1 : 0> turns;
  some<tile, Plan::turns ? Plan::slabs : 0> plain_q, plain_k;  // before they are turned
  unsigned char end;                                           // what follows only fills up the last 1024 bytes
};
/// The same where nothing is answered.
template <class Plan> struct chunked_memory<Plan, false> {
  using tile = std::uint16_t[Plan::tile_bytes / 2];
  using gate_sets = chunk_gates[Plan::gate_sets];

  tile k[Plan::stages][Plan::slabs];
  tile v[Plan::stages][Plan::slices];
  some<gate_sets, Plan::gated ? Plan::stages : 0> gates;
  some<pair_turns<Plan>, Plan::turns ? 1 : 0> turns;
  some<tile, Plan::turns ? Plan::slabs : 0> plain_k;
  some<float[Plan::keys], Plan::mappers_sum ? Plan::mappers / 32 : 0> sums_of_keys;  // of each warp
  unsigned char end;
};

/// Dynamic shared memory of a block, in bytes: with room to start at a multiple of 1024.
template <class Plan> inline constexpr std::size_t chunked_shared_bytes = offsetof(chunked_memory<Plan>, end) + 1024;

/// What a kernel is told.
template <class Design, class Precision> struct chunked_call {
  Design design;
  sequence_of<Design, Precision> x;
  int tokens, chunks;
  int heads, heads_per_key_head, values;
  float scale, eps;
  int blocks;                    ///< that walk side by side through one segment of all sequences
  int segments, segment_chunks;  ///< of a sequence; of a segment, the last one may have fewer
  float* handed;                 ///< with several segments: what they hand over, see handed_states
};

/// The tensors of a call as boxes of 64 tokens by 64 numbers of one head.
struct chunked_maps {
  CUtensorMap q, k, v, y, gate;
};

/// Where a block works: which head and channels, and which chunks, counted in the order in which the state meets them.
template <class Plan> struct chunked_block {
  int number;                    // among those of its segment
  int batch, head, first_value;  // of its first slice
  int last_head;  // number of the last one; of an odd number of heads that share a query one has no other
  int segment, first_chunk, chunks;

  template <class Call> __device__ chunked_block(const Call& call, int its_number) {
    segment = its_number / call.blocks;
    number = its_number % call.blocks;
    first_chunk = segment * call.segment_chunks;
    chunks = min(call.segment_chunks, call.chunks - first_chunk);
    constexpr int channels = Plan::paired ? 64 : 64 * Plan::slices;
    const int blocks_of_head = (call.values + channels - 1) / channels;
    const int shared_by = Plan::paired ? call.heads_per_key_head : 1,
              sharers = (shared_by + Plan::heads - 1) / Plan::heads;
    const int unit = number / blocks_of_head, units = call.heads / shared_by * sharers,
              first = unit % units % sharers * Plan::heads;
    batch = unit / units;
    head = unit % units / sharers * shared_by + first;
    first_value = number % blocks_of_head * channels;
    last_head = min(Plan::heads, shared_by - first) - 1;
  }
  /// Whether the channels or the head of a slice are there: the last of a head, or of an odd number of heads, may not be.
  template <class Call> __device__ __forceinline__ bool has(const Call& call, int slice) const {
    return Plan::paired ? slice <= last_head : Plan::slices == 1 || value_of(slice) < call.values;
  }
  /// In place of a head that is not there the first one comes again.
  __device__ int head_of(int slice) const { return head + (Plan::paired ? slice * last_head : 0); }
  __device__ int value_of(int slice) const { return first_value + (Plan::paired ? 0 : 64 * slice); }
  /// The first token of the block's chunk c. Never negative: the copy engine takes such a place for loads, but stops at a
  /// store to it. So it is the first chunk of a reversed sequence that is not full.
  template <class Call> __device__ __forceinline__ int first_token(const Call& call, int c) const {
    return 64 * (Plan::reversed ? call.chunks - 1 - first_chunk - c : first_chunk + c);
  }
};

/// The shared address of 16-byte piece `piece` of row `row` of a swizzled tile.
__device__ __forceinline__ std::uint32_t piece_of(std::uint32_t tile, int row, int piece) {
  return tile + std::uint32_t(row * 128 + ((piece ^ (row & 7)) << 4));
}

}  // namespace sextant::gpu::wgmma
