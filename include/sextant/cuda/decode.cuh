// SPDX-License-Identifier: Apache-2.0
/// @file  Decode: one token more in one launch, the time of reading and writing the state once.
#pragma once

#include <cmath>  // log2

#include <sextant/cuda/decode/kernel.cuh>
#include <sextant/cuda/launch.cuh>
#include <sextant/form.hpp>

namespace sextant::gpu {

/// The recurrent form of a single token (T = 1), every causal or reversed design in float:
///   S = F (.) S + k^T (I (.) v),  y = (scale q S) / (q z + eps, or 1) + d (.) v,  times silu(gate)
/// in place where the final state is the initial one. Bound by memory: 2 B H K' V numbers of the state's type.
///
/// Takes rows of the state that are whole packets of 16 bytes: V a multiple of 4 (state in float) or 8 (16 bits), V
/// contiguous, other strides multiples of the same, the memory aligned to 16 bytes; K' while the keys fit into 48 KB of
/// shared memory, which 2900 always do, 1900 where the map expands. All else goes to the generic recurrent form. No
/// workspace. One launch; a second one for the normaliser where a head has more than 8 blocks, and before sm_90 where
/// it has several. Sums over keys are taken in a fixed order. docs/kernels/decode.md tells how.
struct decode {
  static constexpr const char* form = "recurrent";

  template <class Design, class Precision>
  static constexpr bool runs = std::is_same_v<typename Precision::accumulator, float> &&
                               sizeof(typename Precision::state) <= 4 && sizeof(typename Precision::token) <= 4 &&
                               !sextant::detail::is_local<Design> && !sextant::detail::turns_2d<Design> &&
                               !std::is_same_v<typename Design::order_type, order::global>;

  template <class Design, class Precision> static bool takes(const Design&, const sequence_of<Design, Precision>& x) {
    using state = typename Precision::state;
    constexpr index_t lanes = packet<state>::count, most = 65535;
    const sizes n = sizes_of<Design>(x);
    if (x.offsets || x.v.template extent<axis::time>() != 1 || n.V % lanes != 0) return false;
    if (n.B < 1 || n.H < 1 || n.K < 1 || n.V < 1 || n.B > most || n.H > most || n.W > 8192) return false;
    const auto packed = [](const auto& S) {
      return !S || (S.template stride<axis::value>() == 1 && S.template stride<axis::key>() % lanes == 0 &&
                    S.template stride<axis::head>() % lanes == 0 && S.template stride<axis::batch>() % lanes == 0 &&
                    holds_packets(S.data()));
    };
    return packed(x.initial_state.S) && packed(x.final_state.S) &&
           shared_bytes<Design, state, tall_tile<state>>(n) <= 48 * 1024;
  }

  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design&, const sequence_of<Design, Precision>&) {
    return 0;
  }

  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    using state = typename Precision::state;
    constexpr bool per_number = granularity<typename Design::forget_type> == per::key_channel;
    const sizes n = sizes_of<Design>(x);
    const decoding::call_numbers numbers = numbers_of(design, x, n);
    if (n.W <= 2 * flat_tile::keys) return run_tiles<flat_tile>(design, x, n, numbers, on);
    if constexpr (!per_number) {
      // Three blocks for each multiprocessor keep its memory busy; where heads are fewer, they are cut finer.
      const index_t blocks = n.B * n.H * tiles_of<tall_tile<state>, state>(n.V);
      if (blocks >= 3 * index_t(device_attribute(cudaDevAttrMultiProcessorCount)))
        return run_tiles<tall_tile<state>>(design, x, n, numbers, on);
    }
    return run_tiles<narrow_tile>(design, x, n, numbers, on);
  }

 private:
  // A block's share of a head: 64 channels of 128 keys at once where heads are many, 64 bytes of channels where they
  // are few, and 512 bytes where keys are few. There a warp stands over 16 keys, as rates per key and channel lie.
  template <class State> using tall_tile = decoding::tile<sizeof(State) == 4 ? 16 : 8, sizeof(State) == 4 ? 16 : 8>;
  using narrow_tile = decoding::tile<4, 4>;
  using flat_tile = decoding::tile<32, 4, 8>;

  struct sizes {
    index_t B, H, K, W, V;
  };
  template <class Design, class Sequence> static sizes sizes_of(const Sequence& x) {
    const index_t K = x.k.template extent<axis::key>();
    return {x.v.template extent<axis::batch>(), x.v.template extent<axis::head>(), K,
            state_width<typename Design::map_type>(K), x.v.template extent<axis::value>()};
  }
  template <class Tile, class State> static index_t tiles_of(index_t V) {
    constexpr index_t channels = Tile::template channels<State>;
    return (V + channels - 1) / channels;
  }
  template <class Design, class State, class Tile> static std::size_t shared_bytes(const sizes& n) {
    return sizeof(float) * std::size_t(decoding::shared_layout<Design, State, Tile>(int(n.K), int(n.W)).all);
  }

  template <class Design, class Precision>
  static decoding::call_numbers numbers_of(const Design& design, const sequence_of<Design, Precision>& x,
                                           const sizes& n) {
    decoding::call_numbers c;
    c.scale = float(design.scale(n.K));
    c.key_scale = key_scale<float>(design.feature_map, n.K);
    c.eps = float(sextant::detail::eps_of(design.norm));
    if constexpr (sextant::detail::turns_1d<Design>) {
      constexpr double pi = 3.14159265358979323846;
      c.half_turns = double(x.first_position) / pi;
      c.octaves = 2 * std::log2(design.position.base) / double(n.W);
    }
    return c;
  }

  template <class Tile, class Design, class Precision>
  static status run_tiles(const Design& design, const sequence_of<Design, Precision>& x, const sizes& n,
                          const decoding::call_numbers& numbers, const stream& on) {
    using state = typename Precision::state;
    static_assert(Tile::threads == 128);
    return run_kernel(decoding::step_heads<Design, Precision, Tile>, unsigned(tiles_of<Tile, state>(n.V)),
                      shared_bytes<Design, state, Tile>(n), design, x, n, numbers, on);
  }
  /// One of the kernels, of so many blocks to a head and bytes of shared memory to a block.
  template <class Kernel, class Design, class Precision>
  [[gnu::noinline]] static status run_kernel(Kernel* kernel, unsigned tiles, std::size_t bytes, const Design& design,
                                             const sequence_of<Design, Precision>& x, const sizes& n,
                                             const decoding::call_numbers& numbers, const stream& on) {
    unsigned together = 1;
    if constexpr (sextant::detail::normalises<typename Design::norm_type>) {
      bool written = bool(x.final_state.z);
      if constexpr (sextant::detail::stabilises<Design>) written = written || bool(x.final_state.m);
      if (written && tiles > 1) {
        // The blocks of a head must all have read z before it is written: as a cluster they know.
        cudaFuncAttributes compiled{};
        if (const status known = as_status(cudaFuncGetAttributes(&compiled, kernel)); !known) return known;
        const bool clusters = compiled.ptxVersion >= 90 && device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9;
        if (clusters && tiles <= 8) together = tiles;
      }
    }
    status done = launch_in({.together = together, .early = true}, kernel, dim3(tiles, unsigned(n.H), unsigned(n.B)),
                            dim3(128), bytes, on.handle, design, x, numbers);
    if constexpr (sextant::detail::normalises<typename Design::norm_type>)
      if (done && tiles > together)
        done = launch(&decoding::step_normalisers<Design, Precision>, dim3(1, unsigned(n.H), unsigned(n.B)), dim3(128),
                      sizeof(float) * std::size_t(2 * (n.W + n.K)), on.handle, design, x, numbers);
    return done;
  }
};

}  // namespace sextant::gpu
