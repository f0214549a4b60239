// SPDX-License-Identifier: Apache-2.0
/// @file  Second order: how a call is divided, and where its states lie in the workspace.
#pragma once

#include <cstdint>  // uint16_t, uint32_t

#include <sextant/cuda/call.cuh>

namespace sextant::gpu::second {

// The state of a head, for keys of d <= 64 numbers: S_mn = sum over tokens of k_m k_n u for every two of them. The keys are cut
// into four blocks of 16, the products into ten pairs of blocks (M, N): 2560 rows of S, of which the 480 below the diagonals of
// pairs (M, M) are nothing. A tile of the state is four rows m of block M by the 16 columns n of block N, each with 64 channels:
//   row 16 (m % 4) + n % 16 of tile 4 pair + m % 16 / 4.
// The normaliser is a tile of its own, Z_mn = sum of k_m k_n for m <= n, number m in the row.

inline constexpr int tile = 64;  ///< tokens, keys or channels of a tile
inline constexpr int tile_numbers = tile * tile;
inline constexpr int tile_bytes = 2 * tile_numbers;
inline constexpr int pairs = 10, normaliser_tile = 4 * pairs, state_tiles = normaliser_tile + 1;
/// The blocks of keys of pair p, which two warpgroups share alike: (0, 0) (0, 1) (1, 1) (0, 2) (1, 3), (2, 2) (2, 3) (3, 3)
/// (2, 1) (3, 0).
SEXTANT_FN constexpr int row_block(int p) { return p / 5 * 2 + (p % 5 == 2 || p % 5 == 4 ? 1 : 0); }
SEXTANT_FN constexpr int column_block(int p) {
  return p % 5 == 3 ? 2 - p / 5 : p % 5 == 4 ? 3 - p / 5 * 3 : p / 5 * 2 + (p % 5 == 0 ? 0 : 1);
}
/// How often a product of keys m and n counts in (q . k)^2, those below the diagonal left out.
SEXTANT_FN constexpr float times_counted(int m, int n) { return m < n ? 2.0f : m == n ? 1.0f : 0.0f; }

/// A state waits `overlap` tokens before its chunk's queries begin to ask it: what they take of their neighbours comes from
/// the scores, whose squares are as exact where q and k are nearly orthogonal as elsewhere.
inline constexpr int overlap = tile;
/// The most warpgroups of a block that answers, each with 64 queries.
inline constexpr int most_groups = 4;
/// Tokens of a chunk, and of the longest sequence that is one chunk: by the counts in docs/kernels/second_order.md.
inline constexpr int chunk_tokens = 6 * most_groups * tile, quadratic_tokens = 4096;

/// How a call is divided. Chunk c has the queries from c `chunk` on; the state that they ask holds the tokens before
/// begin(c).
struct division {
  int tokens = 0, chunk = 0, chunks = 0;  ///< of a sequence; tokens of a chunk; chunks of a sequence
  int walked = 0;                         ///< chunks whose tokens enter a state
  int segments = 1, segment_chunks = 0;   ///< stretches of chunks that are walked side by side
  int slices = 1;                         ///< of 64 channels
  int groups = 1;                         ///< warpgroups of a block that answers, each with 64 queries
  bool enters = false;                    ///< whether a state enters the first chunk
  std::uint16_t* states = nullptr;        ///< [sequence, head][chunk][slice][tile][64][64], what a chunk's queries ask
  float* sums = nullptr;  ///< [sequence, head][segment][slice][tile][64][64], where there are several segments
  float* logs = nullptr;  ///< [sequence, head][chunk]: log2 of what the chunk leaves of a state

  SEXTANT_FN int begin(int c) const { return c == 0 ? 0 : c * chunk - overlap; }
  SEXTANT_FN int end(int c) const { return c + 1 == chunks ? tokens : (c + 1) * chunk - overlap; }
  SEXTANT_FN int last_chunk(int segment) const {
    return (segment + 1) * segment_chunks < walked ? (segment + 1) * segment_chunks : walked;
  }
  SEXTANT_FN bool has_states() const { return enters || walked > 0; }
  SEXTANT_FN std::uint16_t* state(index_t head, int c, int slice) const {
    return states + ((head * chunks + c) * slices + slice) * (state_tiles * tile_numbers);
  }
  SEXTANT_FN float* sum(index_t head, int segment, int slice) const {
    return sums + ((head * segments + segment) * slices + slice) * (state_tiles * tile_numbers);
  }
  /// Sets out the workspace; its bytes.
  index_t lay_out(std::byte* memory, index_t heads) {
    if (!has_states()) return 0;
    const index_t unit = index_t(state_tiles) * tile_numbers * slices * heads;
    const index_t of_states = 2 * unit * chunks, of_sums = segments > 1 ? 4 * unit * segments : 0;
    states = reinterpret_cast<std::uint16_t*>(memory);
    sums = reinterpret_cast<float*>(memory + of_states);
    logs = reinterpret_cast<float*>(memory + of_states + of_sums);
    return of_states + of_sums + 4 * heads * chunks;
  }
};

/// Segments of `walked` chunks for so many blocks that walk side by side through one of them: by microseconds, 40 for a block's
/// chunk and 15 to begin and end, and to pass a quarter of a state on 0.04 in all.
inline int segments_for(index_t blocks, int walked, int multiprocessors) {
  int best = 1;
  double least = 0;
  for (int segments = 1; segments <= walked && segments <= 64; ++segments) {
    const index_t rounds = (blocks * segments + multiprocessors - 1) / multiprocessors;
    const double walk = double(rounds) * (40.0 * double((walked + segments - 1) / segments) + 15);
    const double time = walk + (segments > 1 ? 0.04 * double(blocks) * walked + 3 : 0);
    if (segments == 1 || time < least) best = segments, least = time;
  }
  return best;
}

/// The division of a call among so many multiprocessors. `chunk` is a multiple of 64 times any
/// number of warpgroups that a block may have.
inline division divide(const device_call<float>& c, int multiprocessors, int longest = quadratic_tokens,
                       int chunk = chunk_tokens) {
  division d;
  d.tokens = int(c.tokens);
  d.slices = int((c.values + tile - 1) / tile);
  d.enters = c.S_in || c.z_in;
  d.chunk = d.tokens <= longest ? longest : chunk;
  d.chunks = (d.tokens + d.chunk - 1) / d.chunk;
  d.walked = c.S_out || c.z_out ? d.chunks : d.chunks - 1;
  const index_t slices = c.sequences * c.heads * d.slices;
  d.segments = segments_for(4 * slices, d.walked, multiprocessors);
  d.segment_chunks = (d.walked + d.segments - 1) / d.segments;
  if (d.segment_chunks > 0) d.segments = (d.walked + d.segment_chunks - 1) / d.segment_chunks;
  // Blocks as large as fills the GPU.
  const index_t groups = (slices * ((d.tokens + tile - 1) / tile) + multiprocessors - 1) / multiprocessors;
  d.groups = int(groups < 1 ? 1 : groups < most_groups ? groups : most_groups);
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
