// SPDX-License-Identifier: Apache-2.0
/// @file  Global form by mma.sync: a warp's own ring of tiles in shared memory, and the rows on their way into it.
#pragma once

#include <sextant/cuda/global_mma/plan.cuh>
#include <sextant/cuda/ptx/async_copy.cuh>

namespace sextant::gpu::pooling {

/// Where a row of a tile has its piece of 16 bytes number `piece`: the pieces of a row change places from row to row, so that
/// neither the rows of a fragment's lanes nor those of ldmatrix meet in a bank. Rows of 16-bit numbers have 4 pieces, of
/// floats 8.
template <class Token> SEXTANT_FN constexpr int exchange(int row) {
  return sizeof(Token) == 4 ? ((row & 1) * 3) ^ ((row >> 1 & 1) * 4) : (row >> 1 & 1) * 2 + (row >> 2 & 1);
}
template <class Token> SEXTANT_FN constexpr int place_in_tile(int row, int piece) {
  return row * unit_channels * int(sizeof(Token)) + (piece ^ exchange<Token>(row)) * 16;
}
/// The same in a tile of queries, of which lanes may read every fourth row.
template <class Traits> SEXTANT_FN constexpr int place_of_query(int row, int piece) {
  if (!Traits::four_in_a_row) return place_in_tile<typename Traits::token>(row, piece);
  return row * Traits::row_bytes + (piece ^ (row >> 2 & 1)) * 16;
}

/// The same in a tile of values, which of a convolution is part of its window.
template <class Traits> SEXTANT_FN constexpr int place_of_value(int row, int piece) {
  if (!Traits::local) return place_in_tile<typename Traits::token>(row, piece);
  return row * Traits::spread_bytes + (Traits::exact ? piece : piece ^ (row >> 1 & 3)) * 16;
}

/// The tiles of one warp: in the first `rounds` steps its tokens' keys and values, then, from the last round to the first, their
/// queries. `stages` tiles are in shared memory or on their way there. A lane copies one piece of 16 bytes of every
/// eighth row, of floats every fourth.
template <class Traits> struct warp_feed {
  using token = typename Traits::token;
  static constexpr int pieces = unit_channels * Traits::size / 16, rows_at_once = 32 / pieces,
                       copies = Traits::tokens / rows_at_once;

  const device_call<float>& c;
  const tile_plan& p;
  const warp_place& at;
  unsigned char *ring, *value_ring, *gate_ring;
  const std::byte *k, *q, *v, *gate;  ///< the lane's piece of its row of the sequence's first token
  bool values_there;                  ///< whether rows of values have that piece

  __device__ __forceinline__ warp_feed(const device_call<float>& call, const tile_plan& plan, const warp_place& place,
                                       unsigned char* shared)
      : c{call}, p{plan}, at{place} {
    ring = shared + p.queries + at.warp * Traits::stages * Traits::tile_bytes;
    value_ring = shared + p.values + at.warp * (Traits::local ? 1 : Traits::stages) * Traits::value_bytes;
    gate_ring = shared + p.gates + at.warp * Traits::stages * Traits::gate_bytes;
    const int number = piece() * 16 / Traits::size;
    values_there = number < at.channels;
    k = of_keys(c.k, at.lane), q = of_keys(c.q, at.lane);
    v = row_of_token(at.row_of<Traits>(c.v, at.h, at.first_channel + number), c.v.time, row());
    gate = nullptr;
    if constexpr (Traits::gate_rows)
      gate = row_of_token(at.row_of<Traits>(raw(), at.h, at.first_channel + number), raw().time, row());
  }
  /// Begins to copy what step `step` needs, if there is such a step; without Keys it is one of queries.
  template <bool Keys> __device__ __forceinline__ void send(int step) const {
    const int round = Keys && step < at.rounds ? step : 2 * at.rounds - 1 - step;
    if (round < 0 || !at.has_tile<Traits>(p, round)) return;
    const int t = at.token_of<Traits>(p, round), stage = step % Traits::stages;
    const std::uint32_t to = ptx::shared_address(ring) + stage * Traits::tile_bytes;
    if (!Keys && Traits::four_in_a_row) {
      // The convolution has no registers for an address from round to round.
      int lane = at.lane;
      asm volatile("" : "+r"(lane));
      return copy<place_of_query<Traits>>(to, lane, of_keys(c.q, lane), c.q.time, true, t);
    }
    if (!Keys || step >= at.rounds) {
      if constexpr (Traits::in_pairs)
        if (p.two_rows) return copy_two_rows(to, tile_tokens<true>(c, p, at, t));
      return copy<place_of_query<Traits>>(to, at.lane, q, c.q.time, true, t);
    }
    const unsigned char* const to_values = values(step);
    copy<place_in_tile<token>>(to, at.lane, k, c.k.time, true, t);
    copy<place_of_value<Traits>>(ptx::shared_address(to_values), at.lane, v, c.v.time, values_there, t);
    if constexpr (Traits::local && Traits::exact)
      if (to_values == value_ring && at.warp == 0) copy_again(v, c.v.time, t);
    if constexpr (Traits::gate_rows)
      copy<place_of_value<Traits>>(ptx::shared_address(gates(step)), at.lane, gate, raw().time, values_there, t);
  }
  /// The tile of keys or queries of a step, that of values, and that of their gates.
  __device__ __forceinline__ const unsigned char* tile(int step) const {
    return ring + step % Traits::stages * Traits::tile_bytes;
  }
  __device__ __forceinline__ const unsigned char* values(int step) const {
    if constexpr (Traits::local) return value_ring + p.window_of_round<Traits>(step) * Traits::spread_bytes;
    else return value_ring + step % Traits::stages * Traits::value_bytes;
  }
  __device__ __forceinline__ const unsigned char* gates(int step) const {
    return gate_ring + step % Traits::stages * Traits::gate_bytes;
  }

 private:
  __device__ __forceinline__ int piece() const { return at.lane % pieces; }
  __device__ __forceinline__ int row() const { return at.lane / pieces; }
  __device__ __forceinline__ const tensor<float>& raw() const {
    return reads_step<typename Traits::input_type> ? c.dt : c.input_raw;
  }
  /// A lane's piece of its row of the first token's keys or queries. Those that there are not are others again: S has zeros
  /// for them.
  __device__ __forceinline__ const std::byte* of_keys(const tensor<float>& x, int lane) const {
    const int number = lane % pieces * 16 / Traits::size;
    return row_of_token(at.row_of<Traits>(x, at.key_head, number < int(c.width) ? number : 0), x.time, lane / pieces);
  }
  template <int (*Place)(int, int)>
  __device__ __forceinline__ void copy(std::uint32_t to, int lane, const std::byte* from, index_t step, bool there,
                                       int t) const {
    const int first = lane / pieces, piece = lane % pieces, left = at.length - t - first;
#pragma unroll
    for (int i = 0; i < copies; ++i) {
      const int row = first + i * rows_at_once;
      ptx::copy_async_or_zeros(to + Place(row, piece), row_of_token(from, step, t + i * rows_at_once),
                               there && i * rows_at_once < left);
    }
  }
  /// The queries of 16 pixels and of those below them.
  __device__ __forceinline__ void copy_two_rows(std::uint32_t to, const tile_tokens<true>& tokens) const {
    const int first = at.lane / pieces, piece = at.lane % pieces;
    int t[4];
    tokens.of_rows(first, t);
#pragma unroll
    for (int i = 0; i < copies; ++i)
      ptx::copy_async_or_zeros(to + place_of_query<Traits>(first + i * rows_at_once, piece),
                               row_of_token(q, c.q.time, t[i] - first), true);
  }
  /// Copies a window's first rows to behind its last one as well.
  __device__ __forceinline__ void copy_again(const std::byte* from, index_t step, int t) const {
    constexpr int rows_again = tile_plan::rows_again<Traits>;
    const std::uint32_t to = ptx::shared_address(value_ring) + p.window * Traits::spread_bytes;
#pragma unroll
    for (int i = 0; i < (rows_again + rows_at_once - 1) / rows_at_once; ++i)
      if (const int its = row() + i * rows_at_once; its < rows_again)
        ptx::copy_async_or_zeros(to + place_of_value<Traits>(its, piece()),
                                 row_of_token(from, step, t + i * rows_at_once), values_there && its < at.length - t);
  }
};

}  // namespace sextant::gpu::pooling
