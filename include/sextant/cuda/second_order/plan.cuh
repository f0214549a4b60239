// SPDX-License-Identifier: Apache-2.0
/// @file  Second order: how a call is divided, and where its states lie in the workspace.
#pragma once

#include <cstdint>  // uint16_t, uint32_t

#include <sextant/cuda/call.cuh>

namespace sextant::gpu::second {

// The state of a head, for keys of d <= 64 numbers: S_mn = sum over tokens of k_m k_n u for every two of them. The keys are cut
// into four blocks of 16. A pair of blocks (M, N) has 16 x 16 products: all of them count where M and N differ, and of (M, M)
// those above the diagonal. Two such halves are folded into one: above the diagonal it is the half of M, below it the half of
// M + 1, whose products are the same with m and n exchanged. So there are eight pairs, 2048 rows of S, of which 32 on the
// diagonals of folded pairs are nothing, and the 64 squares apart. A tile of the state is four rows m of a pair by its 16
// columns n, each with 64 channels:
//   row 16 (m % 4) + n of tile 4 pair + m / 4;
// then a tile of squares, and the normaliser's, Z_mn = sum of k_m k_n for m <= n, number m in the row.

inline constexpr int tile = 64;  ///< tokens, keys or channels of a tile
inline constexpr int tile_numbers = tile * tile;
inline constexpr int tile_bytes = 2 * tile_numbers;
inline constexpr int pairs = 8, squares_tile = 4 * pairs, normaliser_tile = squares_tile + 1,
                     state_tiles = normaliser_tile + 1;
/// The blocks of keys of pair p: (0, 1), 0 and 1 folded, (0, 2), (1, 3), then (2, 3), 2 and 3 folded, (2, 1), (3, 0). So rows of
/// the first four pairs are of blocks 0 and 1, those of the others of 2 and 3.
SEXTANT_FN constexpr int row_block(int p) { return p / 4 * 2 + (p % 4 == 3 ? 1 : 0); }
SEXTANT_FN constexpr int column_block(int p) {
  return p % 4 == 2 ? 2 - p / 4 : p % 4 == 3 ? 3 - p / 4 * 3 : p / 4 * 2 + 1;
}
/// Two keys, the first one first; of those that are nothing the second one first.
struct two_keys {
  int low, high;
};
/// Of row m, column n of pair p.
SEXTANT_FN constexpr two_keys keys_of(int p, int m, int n) {
  const int row = 16 * row_block(p), column = 16 * column_block(p);
  if (p % 4 == 1) return m < n ? two_keys{row + m, row + n} : m > n ? two_keys{column + n, column + m} : two_keys{1, 0};
  return row < column ? two_keys{row + m, column + n} : two_keys{column + n, row + m};
}
/// Of a row of a tile.
SEXTANT_FN constexpr two_keys keys_of_row(int which, int row) {
  return which == squares_tile ? two_keys{row, row} : keys_of(which / 4, which % 4 * 4 + row / 16, row % 16);
}
/// Where a number of a tile of the state lies in memory, as products read it from shared memory: pieces of 16 bytes swizzled.
SEXTANT_FN constexpr int place_in_tile(int row, int column) {
  return row * tile + (column / 8 ^ row % 8) * 8 + column % 8;
}
/// How often a product of keys m and n counts in (q . k)^2, those below the diagonal left out.
SEXTANT_FN constexpr float times_counted(int m, int n) { return m < n ? 2.0f : m == n ? 1.0f : 0.0f; }

/// A state waits `overlap` tokens before its chunk's queries begin to ask it: what they take of their neighbours comes from
/// the scores, whose squares are as exact where q and k are nearly orthogonal as elsewhere.
inline constexpr int overlap = tile;
/// The most warpgroups of a block that answers, each with 64 queries.
inline constexpr int most_groups = 4;
/// Tokens of a chunk, and of the longest sequence that is one chunk: by the counts in docs/kernels/second_order.md.
inline constexpr int chunk_tokens = 3 * most_groups * tile, quadratic_tokens = 4096;

/// How a call is divided. Chunk c has the queries from c `chunk` on; the state that they ask holds the tokens before
/// begin(c).
struct division {
  int tokens = 0, chunk = 0, chunks = 0;  ///< of a sequence; tokens of a chunk; chunks of a sequence
  int walked = 0;                         ///< chunks whose tokens enter a state
  int segments = 1, segment_chunks = 0;   ///< stretches of chunks that are walked side by side
  int slices = 1;                         ///< of 64 channels
  int groups = 1;                         ///< warpgroups of a block that answers
  int parts = 1;                          ///< of these so many share 64 queries, each with a part of the tokens
  bool enters = false;                    ///< whether a state enters the first chunk
  bool forgets = false, admits = false;   ///< whether there is a forget gate, an input gate
  std::uint16_t* states = nullptr;        ///< [sequence, head][chunk][slice][tile][64][64], what a chunk's queries ask
  float* sums = nullptr;   ///< [sequence, head][segment][slice][tile][64][64], where there are several segments
  float* gates = nullptr;  ///< [sequence, head][tile of tokens][gate_row][64]; of reversed order from the tile's end
  double* before =
      nullptr;            ///< [sequence, head][chunk][...]: the sum of log2 F of all tokens of the chunk before a tile
  float* logs = nullptr;  ///< [sequence, head][chunk]: log2 of what the chunk leaves of a state

  SEXTANT_FN int begin(int c) const { return c == 0 ? 0 : c * chunk - overlap; }
  SEXTANT_FN int end(int c) const { return c + 1 == chunks ? tokens : (c + 1) * chunk - overlap; }
  SEXTANT_FN int last_chunk(int segment) const {
    return (segment + 1) * segment_chunks < walked ? (segment + 1) * segment_chunks : walked;
  }
  SEXTANT_FN int rows() const { return tile * groups / parts; }  ///< queries of a block that answers
  SEXTANT_FN bool has_states() const { return enters || walked > 0; }
  SEXTANT_FN std::uint16_t* state(index_t head, int c, int slice) const {
    return states + ((head * chunks + c) * slices + slice) * (state_tiles * tile_numbers);
  }
  SEXTANT_FN float* sum(index_t head, int segment, int slice) const {
    return sums + ((head * segments + segment) * slices + slice) * (state_tiles * tile_numbers);
  }
  SEXTANT_FN bool gated() const { return forgets || admits; }
  SEXTANT_FN int tiles() const { return (tokens + tile - 1) / tile; }
  /// Rows of 64 numbers that a tile of tokens has in `gates`: the two that states are summed with, which are one where all
  /// tokens are admitted, then the three of the answers, or two.
  SEXTANT_FN int gate_rows() const { return admits ? 5 : 3; }
  SEXTANT_FN float* gates_of(index_t head, int t) const { return gates + (head * tiles() + t) * (gate_rows() * tile); }
  /// Tile t of tokens, of the whole sequence: what the chunk's end finds left of what token t enters; that times the input gate;
  /// what the tile's end finds left; log2 F summed up from the tile's first token; the input gate.
  SEXTANT_FN float* decay(index_t head, int t) const { return gates_of(head, t); }
  SEXTANT_FN float* left(index_t head, int t) const { return gates_of(head, t) + (admits ? 2 : 1) * tile; }
  SEXTANT_FN float* cumulated(index_t head, int t) const { return gates_of(head, t) + (admits ? 3 : 2) * tile; }
  SEXTANT_FN float* admitted(index_t head, int t) const { return gates_of(head, t) + 4 * tile; }
  /// Of a chunk's tiles, and of its end.
  SEXTANT_FN double* before_tiles(index_t head, int c) const {
    return before + (head * chunks + c) * (chunk / tile + 2);
  }
  /// Sets out the workspace; its bytes.
  index_t lay_out(std::byte* memory, index_t heads) {
    const index_t unit = has_states() ? index_t(state_tiles) * tile_numbers * slices * heads : 0;
    const index_t of_states = 2 * unit * chunks, of_sums = segments > 1 ? 4 * unit * segments : 0;
    const index_t of_gates = gated() ? 4 * heads * tiles() * gate_rows() * tile : 0;
    const index_t of_before = gated() ? 8 * heads * chunks * (chunk / tile + 2) : 0;
    states = reinterpret_cast<std::uint16_t*>(memory);
    sums = reinterpret_cast<float*>(memory + of_states);
    gates = reinterpret_cast<float*>(memory + of_states + of_sums);
    before = reinterpret_cast<double*>(memory + of_states + of_sums + of_gates);
    logs = reinterpret_cast<float*>(memory + of_states + of_sums + of_gates + of_before);
    return of_states + of_sums + of_gates + of_before + (gated() ? 4 * heads * chunks : 0);
  }
  /// log2 of what chunk c leaves of a state.
  SEXTANT_FN float log_of(index_t head, int c) const { return gated() ? logs[head * chunks + c] : 0.0f; }
};

/// Segments of `walked` chunks of so many tokens for so many blocks that walk side by side through one of them: by microseconds,
/// 20 for 1024 of a block's tokens and 8 to begin and end, and to pass a quarter of a state on 0.02 in all.
inline int segments_for(index_t blocks, int walked, int chunk, int multiprocessors) {
  int best = 1;
  double least = 0;
  for (int segments = 1; segments <= walked && segments <= 64; ++segments) {
    const index_t rounds = (blocks * segments + multiprocessors - 1) / multiprocessors;
    const double walk = double(rounds) * (20.0 / 1024 * chunk * double((walked + segments - 1) / segments) + 8);
    const double time = walk + (segments > 1 ? 0.02 * double(blocks) * walked + 3 : 0);
    if (segments == 1 || time < least) best = segments, least = time;
  }
  return best;
}

/// The division of a call among so many multiprocessors. `chunk` is a multiple of 64 times one, two and `most_groups`
/// warpgroups of a block that answers; where it is none of what fills the GPU, blocks are as large as they may be.
template <class Design>
division divide(const Design&, const device_call<float>& c, int multiprocessors, int longest = quadratic_tokens,
                int chunk = chunk_tokens) {
  division d;
  d.forgets = !std::is_same_v<typename Design::forget_type, forget::one>;
  d.admits = !std::is_same_v<typename Design::input_type, input::one>;
  d.tokens = int(c.tokens);
  d.slices = int((c.values + tile - 1) / tile);
  d.enters = c.S_in || c.z_in;
  d.chunk = d.tokens <= longest ? longest : chunk;
  d.chunks = (d.tokens + d.chunk - 1) / d.chunk;
  d.walked = c.S_out || c.z_out ? d.chunks : d.chunks - 1;
  const index_t slices = c.sequences * c.heads * d.slices;
  d.segments = segments_for(4 * slices, d.walked, d.chunk, multiprocessors);
  d.segment_chunks = (d.walked + d.segments - 1) / d.segments;
  if (d.segment_chunks > 0) d.segments = (d.walked + d.segment_chunks - 1) / d.segment_chunks;
  // Blocks as large as fills the GPU; where that is no more than one of them for each multiprocessor, two warpgroups share their
  // queries, lest the last queries, which see most tokens, take as long as all of them.
  const index_t groups = (slices * ((d.tokens + tile - 1) / tile) + multiprocessors - 1) / multiprocessors;
  d.groups = int(groups < 1 ? 1 : groups < most_groups ? groups : most_groups);
  if (d.chunks > 1 && d.chunk % (tile * d.groups) != 0) d.groups = most_groups;
  if (!d.has_states() && groups <= most_groups) d.groups = groups > 1 ? most_groups : 2, d.parts = 2;
  return d;
}

/// The state between the workspace and the call, by products of keys (m, n), m <= n, and channels.
struct call_state {
  const device_call<float>& c;
  index_t n, h;

  /// Where the call's state has a product.
  __device__ __forceinline__ std::byte* at(const tensor<float>& x, int low, int high, int v) const {
    const index_t key = index_t(low) * c.keys - low * (low - 1) / 2 + (high - low);
    return x.at(n, 0, h) + key * x.key + v * x.value;
  }
  __device__ __forceinline__ bool exists(const tensor<float>& x, int low, int high, int v) const {
    return x && low <= high && high < c.keys && v < c.values;
  }
  /// What the call's state has it multiplied by.
  __device__ __forceinline__ float scale(int low, int high) const {
    return (low < high ? 1.41421356237309504880f : 1.0f) * c.key_scale * c.key_scale;
  }
  __device__ __forceinline__ float load(const tensor<float>& from, int low, int high, int v) const {
    return exists(from, low, high, v) ? *reinterpret_cast<const float*>(at(from, low, high, v)) / scale(low, high)
                                      : 0.0f;
  }
  __device__ __forceinline__ void store(const tensor<float>& to, int low, int high, int v, float x) const {
    if (exists(to, low, high, v)) *reinterpret_cast<float*>(at(to, low, high, v)) = x * scale(low, high);
  }
};

}  // namespace sextant::gpu::second
