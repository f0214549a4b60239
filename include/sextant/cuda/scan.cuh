// SPDX-License-Identifier: Apache-2.0
/// @file  The scan form on the GPU by CUB's BlockScan: the second opinion on every design. Includes CUB, so it is not part of
/// <sextant/cuda/forward.cuh>: include it to ask for form::scan.
#pragma once

#include <cub/block/block_scan.cuh>

#include <sextant/cuda/forward.cuh>
#include <sextant/cuda/ptx/mbarrier.cuh>
#include <sextant/cuda/recurrent.cuh>
#include <sextant/design/scan_operator.hpp>

namespace sextant::gpu {

/// A block of the scan: some channels of one head of one sequence, one thread for each token of a tile. For each key and
/// channel the pairs (F_t, k_t u_t) of the tile are scanned by
///   (F1, S1) then (F2, S2) = (F1 F2, F2 S1 + S2)
/// and applied to the state before the tile.
///   scratch: S [W][channels], z [W], queries and keys of the tile, mapped and turned, [tile][W] each
template <class Real, class Parts> struct scan_block {
  static constexpr int tile = 128, warp = 32;
  using pair = transition<Real>;
  using block_scan = cub::BlockScan<pair, tile>;

  const device_call<Real>& c;
  head_tokens<Real, Parts> tokens;
  index_t channels, first_channel, count;
  typename block_scan::TempStorage& storage;
  Real *S, *z, *q, *k, *q_turned, *k_turned, *raw;

  /// Numbers of scratch besides the state, and for each channel.
  static std::size_t fixed(const device_call<Real>& c, bool expands) {
    const index_t rows = 2 + (c.position != position_kind::none ? 2 : 0);
    return std::size_t(tile * rows * c.width + (c.normalises() ? c.width : 0) + (expands ? tile / warp * c.keys : 0));
  }
  static std::size_t each(const device_call<Real>& c) { return std::size_t(c.width); }

  __device__ scan_block(const device_call<Real>& call, const Parts& parts, index_t n, index_t h, index_t from, index_t held,
                        Real* memory, typename block_scan::TempStorage& temporary)
      : c{call}, tokens{call, parts, n, h}, channels{held}, first_channel{from}, storage{temporary} {
    count = c.values - from < held ? c.values - from : held;
    const auto take = [&memory](index_t numbers) { return memory += numbers, memory - numbers; };
    S = take(c.width * channels);
    q = take(tile * c.width), k = take(tile * c.width);
    const bool turns = c.position != position_kind::none;
    q_turned = turns ? take(tile * c.width) : q, k_turned = turns ? take(tile * c.width) : k;
    z = take(c.normalises() ? c.width : 0);
    raw = take(parts.map.expands ? tile / warp * c.keys : 0);
  }

  /// The rows of the tile that begins at token `t`, a warp for each token.
  __device__ void load(index_t t, index_t present) {
    const index_t lane = threadIdx.x % warp, first = threadIdx.x / warp;
    for (index_t i = first; i < present; i += tile / warp) {
      const index_t at = tokens.s.place(t + i);
      for (const bool is_key : {false, true}) {
        Real* const row = (is_key ? k : q) + i * c.width;
        Real* const loaded = tokens.parts.map.expands ? raw + first * c.keys : row;
        tokens.load_row(is_key, at, loaded, lane, warp);
        __syncwarp();
        if (tokens.parts.map.expands) tokens.parts.map.expand(loaded, c.keys, row, c.width, lane, warp);
        __syncwarp();
        if (c.position != position_kind::none)
          tokens.turn(at, row, (is_key ? k_turned : q_turned) + i * c.width, lane, warp);
      }
    }
    __syncthreads();
  }
  /// The state after every token of the tile, of one key and channel: from the decay and what enters at this thread's
  /// token. The state after the tile's last token replaces `before`.
  __device__ Real after(Real decay, Real enters, index_t present, Real& before) {
    const Real carried = before;
    pair mine{decay, enters}, stretch_of_mine = pair::identity();
    block_scan(storage).InclusiveScan(mine, stretch_of_mine, scan_operator{});
    const Real state = stretch_of_mine(carried);
    __syncthreads();
    if (index_t(threadIdx.x) == present - 1) before = state;
    return state;
  }
  __device__ void run_tile(index_t t, index_t present) {
    load(t, present);
    const index_t i = threadIdx.x;
    const bool is_there = i < present;
    const index_t at = tokens.s.place(is_there ? t + i : t);
    Real qz = Real(0);
    if (c.normalises()) {
      const Real raw_gate = tokens.forget_raw(at, 0);
      for (index_t key = 0; key < c.width; ++key) {
        const bool decays = c.norm != norm_kind::sum_undecayed;
        const Real F = is_there && decays ? tokens.forget(at, key, 0, raw_gate) : Real(1);
        const Real now = after(F, is_there ? k[i * c.width + key] : Real(0), present, z[key]);
        if (is_there) qz += q[i * c.width + key] * now;
      }
    }
    for (index_t channel = 0; channel < count; ++channel) {
      const index_t v = first_channel + channel;
      const Real raw_gate = tokens.forget_raw(at, v), u = is_there ? tokens.input(at, v) * tokens.value(at, v) : Real(0);
      Real qS = Real(0);
      for (index_t key = 0; key < c.width; ++key) {
        const Real F = is_there ? tokens.forget(at, key, v, raw_gate) : Real(1);
        const Real enters = is_there ? k_turned[i * c.width + key] * u : Real(0);
        const Real now = after(F, enters, present, S[key * channels + channel]);
        if (is_there) qS += q_turned[i * c.width + key] * now;
      }
      if (is_there) tokens.store(at, v, qS, tokens.divisor(qz, Real(0)));
    }
    __syncthreads();
  }
  __device__ void run() {
    for (index_t i = threadIdx.x; i < c.width * count; i += tile) {
      const index_t key = i / count, channel = i % count;
      S[key * channels + channel] =
          c.S_in ? c.S_in.of_both(tokens.n, 0, tokens.h, key, first_channel + channel) : Real(0);
    }
    if (c.normalises())
      for (index_t key = threadIdx.x; key < c.width; key += tile)
        z[key] = c.z_in ? c.z_in.of_key(tokens.n, 0, tokens.h, key) : Real(0);
    __syncthreads();
    for (index_t t = 0; t < tokens.s.length; t += tile)
      run_tile(t, tokens.s.length - t < tile ? tokens.s.length - t : index_t(tile));
    if (c.S_out)
      for (index_t i = threadIdx.x; i < c.width * count; i += tile) {
        const index_t key = i / count, channel = i % count;
        c.S_out.write(c.S_out.at(tokens.n, 0, tokens.h) + key * c.S_out.key + (first_channel + channel) * c.S_out.value,
                      S[key * channels + channel]);
      }
    if (c.z_out && first_channel == 0)
      for (index_t key = threadIdx.x; key < c.width; key += tile)
        c.z_out.write(c.z_out.at(tokens.n, 0, tokens.h) + key * c.z_out.key, z[key]);
  }
};

template <class Real, class Parts>
__global__ void __launch_bounds__(128) scan_kernel(const __grid_constant__ device_call<Real> c,
                                                   const __grid_constant__ Parts parts,
                                                   const __grid_constant__ block_memory memory, Real* workspace) {
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ typename scan_block<Real, Parts>::block_scan::TempStorage temporary;
  Real* const scratch = memory.is_shared ? reinterpret_cast<Real*>(shared)
                                         : workspace + index_t(blockIdx.x) * index_t(memory.bytes / sizeof(Real));
  const index_t head = index_t(blockIdx.x) / memory.blocks, part = index_t(blockIdx.x) % memory.blocks;
  scan_block<Real, Parts> block{c,       parts,     head / c.heads, head % c.heads, part * memory.channels, memory.channels,
                                scratch, temporary};
  block.run();
}

/// Pairs (F, S) of every key and channel scanned over tiles of 128 tokens. Every causal or reversed design without
/// abs_max's stabiliser, every shape and precision. O(T K' V) per head, a few barriers for each key and channel of a
/// tile: a second opinion, not a fast one.
struct scan : untyped_family<scan> {
  static constexpr const char* form = "scan";
  template <class Design, class Precision> static constexpr bool runs = form::runs<form::scan, Design>;

  template <class Real> static block_memory memory(const device_call<Real>& c, bool expands) {
    using block = scan_block<Real, int>;
    constexpr std::size_t temporary = ptx::static_shared_bytes<typename block::block_scan::TempStorage>;
    block_memory m = block_memory::fit(c.values, 8, block::fixed(c, expands) * sizeof(Real) + temporary,
                                       block::each(c) * sizeof(Real), in_place_per_head(c));
    if (m.is_shared) m.bytes -= temporary;  // which is not of the scratch
    return m;
  }
  template <class Design, class Precision> static bool takes(const Design&, const sequence_of<Design, Precision>&) {
    return true;
  }

  template <class Real, class Parts> static std::size_t bytes_of_call(const device_call<Real>& c, const Parts& parts) {
    const block_memory m = memory(c, parts.map.expands);
    return m.workspace(c.sequences * c.heads * m.blocks);
  }
  template <class Real, class Parts>
  static status run_call(const device_call<Real>& c, const Parts& parts, const stream& on) {
    const block_memory m = memory(c, parts.map.expands);
    const index_t blocks = c.sequences * c.heads * m.blocks;
    if (blocks == 0) return {};
    return launch(&scan_kernel<Real, Parts>, dim3(unsigned(blocks)), dim3(128), m.is_shared ? m.bytes : 0, on.handle, c,
                  parts, m, reinterpret_cast<Real*>(on.memory.data));
  }
};

template <> struct families_of<form::scan> {
  using type = family_table<scan>;
};

}  // namespace sextant::gpu
