// SPDX-License-Identifier: Apache-2.0
/// @file  How the threads of a block lie over a head's state, and what the block keeps in shared memory.
#pragma once

#include <sextant/cuda/tile/packet.cuh>
#include <sextant/tensor/sequence.hpp>

/// The internals of the family `decode`.
namespace sextant::gpu::decoding {

/// The 128 threads of a block over a head's state [K', V]: `Columns` of them side by side, a packet of channels each,
/// the others below them, `KeysPerThread` neighbouring keys each, whose packets are all on their way at once. A warp is
/// `WarpColumns` wide.
template <int Columns, int KeysPerThread, int WarpColumns = (Columns < 32 ? Columns : 32)> struct tile {
  static constexpr int threads = 128, warps = threads / 32, columns = Columns, rows = threads / Columns;
  static constexpr int keys_per_thread = KeysPerThread, keys = rows * KeysPerThread;  ///< keys of one pass
  static constexpr int warp_columns = WarpColumns, across = Columns / WarpColumns;    ///< warps side by side
  static constexpr int parts = warps / across;  ///< sums of y that meet in shared memory
  template <class State> static constexpr int channels = Columns * packet<State>::count;

  /// Where thread t stands; which of the sums is its warp's.
  __device__ static int column_of(int t) { return t / 32 % across * WarpColumns + t % WarpColumns; }
  __device__ static int row_of(int t) { return t / 32 / across * (32 / WarpColumns) + t % 32 / WarpColumns; }
  __device__ static int part_of(int t) { return t / 32 / across; }
};

/// Shared memory of a block, in floats from its start.
template <class Design, class State, class Tile> struct shared_layout {
  using forget_type = typename Design::forget_type;
  static constexpr per gate = granularity<forget_type>;
  static constexpr per raw = raw_granularity<forget_type>, rate = rate_granularity<forget_type>;
  static constexpr bool expands = sextant::detail::expanding_map<typename Design::map_type>;
  static constexpr bool key_gate =
      gate == per::key || (gate == per::key_channel && (raw == per::key || rate == per::key));
  static constexpr bool channel_gate =
      gate == per::channel || (gate == per::key_channel && (raw == per::channel || rate == per::channel));
  static constexpr int channels = Tile::template channels<State>;

  int pairs;              ///< [W] of q and k, as they meet the state
  int gates_of_keys;      ///< [W], what of the forget gate varies over keys
  int inputs;             ///< [channels], u = I (.) v
  int gates_of_channels;  ///< [channels], what of the forget gate varies over channels
  int added;              ///< [channels], by the shortcut
  int factors;            ///< [channels], by the output gate
  int partial;            ///< [parts, channels], shares of q S
  int divisors;           ///< [warps], shares of q z
  int normaliser;         ///< [W], z after the token
  int rows;               ///< [2, K], q and k of an expanding map as given
  int expanded;           ///< [2, W], and expanded
  int all;

  __host__ __device__ shared_layout(int K, int W) {
    int at = 0;
    const auto take = [&at](int floats) {
      const int here = at;
      at += (floats + 3) / 4 * 4;  // packets of four stay aligned
      return here;
    };
    pairs = take(2 * W);
    gates_of_keys = take(key_gate ? W : 0);
    inputs = take(channels);
    gates_of_channels = take(channel_gate ? channels : 0);
    added = take(sextant::detail::is_learned<Design> ? channels : 0);
    factors = take(sextant::detail::has_output_gate<Design> ? channels : 0);
    partial = take(Tile::parts * channels);
    divisors = take(Tile::warps);
    normaliser = take(sextant::detail::normalises<typename Design::norm_type> ? W : 0);
    rows = take(expands ? 2 * K : 0);
    expanded = take(expands ? 2 * W : 0);
    all = at;
  }
};

}  // namespace sextant::gpu::decoding
