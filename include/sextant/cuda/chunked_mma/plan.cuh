// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked form by mma.sync: how a call is divided among blocks, and what a block keeps in shared memory.
#pragma once

#include <sextant/cuda/call.cuh>
#include <sextant/cuda/parts.cuh>

#include <sextant/cuda/chunked_mma/float_products.cuh>

namespace sextant::gpu::mma {

/// Tokens that the state takes in at once.
inline constexpr int step_tokens = 16;
/// Numbers from one row of scores to the next.
inline constexpr int score_stride = 24;

/// How a block works, known when the call is made: one kernel serves all sizes. Each warp holds the state of 16
/// channels and 64 keys in its registers; `slice` channels and `slabs` times 64 keys make a block.
struct block_plan {
  int slice = 64;          ///< channels of a block: 16, 32, 64 or 128
  int slabs = 1;           ///< of 64 keys: 1 to 4
  int tokens = 64;         ///< of a chunk, what is loaded together: 16, 32 or 64
  int stages = 2;          ///< chunks in shared memory: the next one arrives while one is worked on
  int slices = 1;          ///< blocks of a head
  int warps = 4;           ///< of a block: those that hold the state, and others that help in all that comes before it
  int segments = 1;        ///< of a sequence, side by side
  int segment_tokens = 0;  ///< of each but the last, whole chunks
  bool states_only = false;              ///< whether a block computes the state that its segment adds to, and no y
  float* handed = nullptr;               ///< what segments hand over; see segments.cuh
  bool keyed = false, raw_rows = false;  ///< decays per key; their raw numbers are rows to load
  bool gate_rows = false;                ///< input gates per channel, whose raw numbers are rows to load
  bool turns = false;                    ///< queries and keys are turned by their positions
  bool maps = false;                     ///< queries and keys pass through a map
  bool queries_in_parts = false;         ///< queries go into products as sums of two numbers, where that fits
  // Whether rows are whole pieces of 16 bytes: of queries and keys, of values, of raw decays and of raw gates per
  // channel.
  bool pieces_of_keys = false, pieces_of_values = false, pieces_of_raw = false, pieces_of_gate = false;
  bool pieces_of_y = false;  ///< four neighbours of y (and of the output gate) are one word
  int q_stride = 0, k_stride = 0, v_stride = 0, raw_stride = 0, g_stride = 0, y_stride = 0;  // numbers of a row
  // scores [tokens][score_stride] and g [tokens][g_stride] lie where y does, which comes after them
  // Where things lie in shared memory, in bytes: of the first stage, from one stage to the next, of all else.
  int q = 0, k = 0, v = 0, raw = 0, gate = 0, stage = 0;
  int first = 0, second = 0, middle = 0, total = 0, weights = 0, y = 0, g = 0, z = 0, gates = 0, bytes = 0;
  int channels = 0, angles = 0, q_rest = 0, v_rest = 0;

  SEXTANT_FN int keys() const { return slab_keys * slabs; }
  SEXTANT_FN int steps() const { return tokens / step_tokens; }
  SEXTANT_FN int state_warps() const { return slice / 16 * slabs; }
  SEXTANT_FN int threads() const { return 32 * warps; }

  /// Lays out shared memory for tokens of `size` bytes.
  template <class Token> [[gnu::noinline]] void lay_out(bool normalises) {
    using products = warp_products<Token>;
    int at = 0;
    const auto take = [&at](int& where, int size) { where = at, at += (size + 15) / 16 * 16; };
    q_stride = keys() + products::q_padding, k_stride = keys() + products::k_padding,
    v_stride = slice + products::v_padding;
    raw_stride = keys() + 8, g_stride = keys() + 8, y_stride = slice + 4;
    const int size = int(sizeof(Token));
    take(q, tokens * q_stride * size);
    take(k, tokens * k_stride * size);
    take(v, tokens * v_stride * size);
    // What rounding leaves out of keys takes the place of the raw decays that it was computed from.
    take(raw,
         raw_rows || (keyed && size == 4) || (has_parts<Token> && (keyed || turns)) ? tokens * raw_stride * size : 0);
    take(gate, gate_rows ? tokens * v_stride * size : 0);
    stage = at;
    at = stage * stages;
    take(first, keyed ? steps() * keys() * 4 : 0);
    take(second, keyed ? steps() * keys() * 4 : 0);
    take(middle, keyed ? steps() * keys() * 4 : 0);
    take(total, keyed ? keys() * 4 : 0);
    take(weights, products::weight_parts * tokens * products::weight_stride * size);
    const int scores = tokens * score_stride * 4, working = scores + (keyed ? tokens * g_stride * 4 : 0);
    take(y, slabs * tokens * y_stride * 4 > working ? slabs * tokens * y_stride * 4 : working);
    g = y + scores;
    take(z, normalises ? (steps() + 1) * keys() * 4 : 0);
    take(v_rest, gate_rows && has_parts<Token> ? tokens * v_stride * size : 0);
    take(q_rest, queries_in_parts ? tokens * q_stride * size : 0);
    take(channels, 2 * slice * 4);
    take(angles, turns ? keys() * 4 : 0);
    take(gates, 4096);
    bytes = at;
  }
};

/// Where the rows of a sequence lie in memory: the first that the state meets, and from each to the next, in bytes.
struct row_source {
  std::byte* first;
  index_t step;
};
/// Rows that every chunk loads: from where, and to which byte of a stage, how far apart there; how many numbers of
/// each; the threads of a row of pieces of 16 bytes, as a power of two, or -1 where it has none.
struct row_feed : row_source {
  int to, stride, width, shift;
};

/// What the gates of a head say about the tokens of a chunk; cum_t is the sum of log2 F from the first token of the
/// step of 16 that token t is in. Kept as two numbers, so that a difference of two is right to its last bits however
/// strong the decay.
struct chunk_gates {
  float upper[64], lower[64];  ///< cum_t
  float from_start[64];        ///< 2^cum_t
  float left[64];              ///< 2^(cum_15 - cum_t)
  float admitted[64];          ///< I_t
  float entering[64];          ///< left_t I_t
  float bound[64];             ///< exp(-m_t)
  float factor[64];            ///< what y_t is multiplied by: scale and normaliser
  float row_sum[64];           ///< of the weights of the step's tokens
  float taken[4];              ///< 2^cum_15 - 1 of each step
  int steep[4];                ///< whether decays per key leave the reach in a step
  double m;                    ///< the stabiliser after the chunk
  double total;           ///< the logarithms of all decays of a segment so far, of base 2; with a stabiliser natural
  float rate, bias;       ///< of the head
  row_feed loaded[5];     ///< q, k, v, then what there is of raw decays per key and raw gates per channel
  int feeds, feed_warps;  ///< of them, and warps that each has
  row_source y, output_gate;
  stretch s;                 ///< the tokens of the block
  index_t origin, key_head;  ///< the place of a token of position 0; whose queries and keys these are
};
static_assert(sizeof(chunk_gates) <= 4096);

/// Divides a call of numbers of `Token`. Where heads and slices of their channels leave multiprocessors idle, long
/// sequences are cut into segments; else, as many channels to a block as leave every multiprocessor one. Chunks are as
/// long as a block's memory holds. `needs` says what rows there are; `whole` asks for all channels of a head in one
/// block. Tokens are 0 where nothing fits.
template <class Token>
block_plan make_block_plan(const device_call<float>& c, const block_plan& needs, bool whole, std::size_t room,
                           index_t multiprocessors) {
  block_plan p = needs;
  p.slabs = int((c.keys + slab_keys - 1) / slab_keys);
  const index_t heads = c.sequences * c.heads, V = c.values;
  const auto count = [&](int slice) { return (V + slice - 1) / slice; };
  p.slice = 128;
  while (p.slice > 16 && (p.state_warps() > 16 || p.slice / 2 >= V)) p.slice /= 2;
  // A segment costs half as much again, and is worth it from 256 tokens on.
  constexpr index_t shortest = 256;
  if (heads > 0 && c.offsets == nullptr) {
    const index_t most = c.tokens / shortest, idle = multiprocessors / (heads * count(p.slice));
    const index_t wanted = idle < most ? idle : most;
    if (wanted > 2) {
      p.segment_tokens = int((c.tokens + wanted * 64 - 1) / (wanted * 64) * 64);
      p.segments = int((c.tokens + p.segment_tokens - 1) / p.segment_tokens);
    }
  }
  const auto leaves_some_idle = [&] {
    return !whole && p.segments == 1 && heads * count(p.slice) < multiprocessors * 3 / 4;
  };
  while (p.slice > 16 && leaves_some_idle()) p.slice /= 2;
  p.slices = int(count(p.slice));
  const bool alone = heads * p.slices * p.segments <= multiprocessors;
  const int least = alone ? 16 : 8;
  p.warps = p.state_warps() > least ? p.state_warps() : least;
  for (p.tokens = 64; p.tokens >= step_tokens; p.tokens /= 2)
    for (p.stages = 2; p.stages >= 1; --p.stages) {
      if (p.stages == 1 && p.tokens > step_tokens) continue;
      // Two blocks of 8 warps share a multiprocessor where there are enough of them.
      const bool shares = p.warps == 8 && p.tokens > 2 * step_tokens;
      const auto fits = [&](bool queries_in_parts) {
        p.queries_in_parts = queries_in_parts;
        p.lay_out<Token>(c.normalises());
        return std::size_t(p.bytes) <= (shares ? room / 2 : room);
      };
      if ((has_parts<Token> && (p.keyed || p.turns) && fits(true)) || fits(false)) return p;
    }
  p.tokens = 0;
  return p;
}

}  // namespace sextant::gpu::mma
