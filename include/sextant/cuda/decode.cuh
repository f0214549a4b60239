// SPDX-License-Identifier: Apache-2.0
/// @file  Decode: one token more in one launch, the time of reading and writing the state once.
#pragma once

#include <cmath>  // log2

#include <sextant/cuda/decode_kernel.cuh>
#include <sextant/cuda/launch.cuh>
#include <sextant/form.hpp>

namespace sextant::gpu {

/// The recurrent form of a single token (T = 1), every causal or reversed design in float:
///   S = F (.) S + k^T (I (.) v),  y = (scale q S) / (q z + eps, or 1) + d (.) v,  times silu(gate)
/// in place where the final state is the initial one. Bound by memory: 2 B H K' V numbers of the state's type.
///
/// Fast where rows of the state are whole packets of 16 bytes: V a multiple of 4 (state in float) or 8 (16 bits), V
/// contiguous, other strides multiples of the same, the memory aligned to 16 bytes; K' up to about 4000. All else goes to
/// the generic recurrent form. No workspace. Sums over keys are taken in a fixed order.
struct decode {
  static constexpr const char* form = "recurrent";

  // A block's share of a head. Many keys: 256 bytes of channels where heads are many, 64 bytes where they are few, so that
  // there are enough blocks. Few keys: 2048 bytes of channels and every thread all keys, or 512 bytes.
  template <class State> using tall_tile = decode_tile<sizeof(State) == 4 ? 16 : 8, sizeof(State) == 4 ? 8 : 4>;
  using narrow_tile = decode_tile<4, 4>;
  using wide_tile = decode_tile<128, 8>;
  using flat_tile = decode_tile<32, 4>;

  template <class Design, class Precision>
  static constexpr bool runs = std::is_same_v<typename Precision::accumulator, float> && sizeof(typename Precision::state) <= 4 &&
                               sizeof(typename Precision::token) <= 4 && !sextant::detail::is_local<Design> &&
                               !sextant::detail::turns_2d<Design> && !std::is_same_v<typename Design::order_type, order::global>;

  template <class Design, class Precision>
  static bool takes(const Design&, const sequence_of<Design, Precision>& x) {
    using state = typename Precision::state;
    constexpr index_t lanes = packet<state>::count, most = 65535;
    const index_t K = x.k.template extent<axis::key>(), W = state_width<typename Design::map_type>(K);
    const index_t V = x.v.template extent<axis::value>();
    if (x.offsets || x.v.template extent<axis::time>() != 1 || V % lanes != 0 || W > 8192) return false;
    if (x.v.template extent<axis::head>() > most || x.v.template extent<axis::batch>() > most) return false;
    const auto packed = [](const auto& S) {
      return !S || (S.template stride<axis::value>() == 1 && S.template stride<axis::key>() % lanes == 0 &&
                    S.template stride<axis::head>() % lanes == 0 && S.template stride<axis::batch>() % lanes == 0 &&
                    holds_packets(S.data()));
    };
    return packed(x.initial_state.S) && packed(x.final_state.S) &&
           shared_bytes<Design, state, wide_tile>(K, W) <= 48 * 1024;
  }

  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design&, const sequence_of<Design, Precision>&) { return 0; }

  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    using state = typename Precision::state;
    constexpr bool per_number = granularity<typename Design::forget_type> == per::key_channel;
    const index_t W = state_width<typename Design::map_type>(x.k.template extent<axis::key>());
    const index_t heads = x.v.template extent<axis::batch>() * x.v.template extent<axis::head>();
    const index_t processors = device_attribute(cudaDevAttrMultiProcessorCount);
    const auto blocks = [&]<class Tile>(Tile) { return heads * tiles_of<Tile, state>(x.v.template extent<axis::value>()); };
    if (W <= 2 * flat_tile::keys)
      return blocks(wide_tile{}) >= 3 * processors ? run_tiles<wide_tile>(design, x, on, processors)
                                                   : run_tiles<flat_tile>(design, x, on, processors);
    if constexpr (!per_number)
      if (blocks(tall_tile<state>{}) >= 3 * processors) return run_tiles<tall_tile<state>>(design, x, on, processors);
    return run_tiles<narrow_tile>(design, x, on, processors);
  }

 private:
  template <class Tile, class State> static index_t tiles_of(index_t V) {
    constexpr index_t channels = Tile::template channels<State>;
    return (V + channels - 1) / channels;
  }
  template <class Design, class State, class Tile> static std::size_t shared_bytes(index_t K, index_t W) {
    return sizeof(float) * std::size_t(decode_memory<Design, State, Tile>(int(K), int(W)).all);
  }

  template <class Design, class Precision>
  static decode_numbers numbers_of(const Design& design, const sequence_of<Design, Precision>& x) {
    const index_t K = x.k.template extent<axis::key>();
    decode_numbers n;
    n.scale = float(design.scale(K));
    n.key_scale = key_scale<float>(design.feature_map, K);
    if constexpr (sextant::detail::normalises<typename Design::norm_type>) n.eps = float(design.norm.eps);
    if constexpr (sextant::detail::turns_1d<Design>) {
      constexpr double pi = 3.14159265358979323846;
      n.half_turns = double(x.first_position) / pi;
      n.octaves = 2 * std::log2(design.position.base) / double(state_width<typename Design::map_type>(K));
    }
    return n;
  }

  template <class Tile, class Design, class Precision>
  static status run_tiles(const Design& design, const sequence_of<Design, Precision>& x, const stream& on, index_t processors) {
    using state = typename Precision::state;
    constexpr bool normalises = sextant::detail::normalises<typename Design::norm_type>;
    const index_t K = x.k.template extent<axis::key>(), W = state_width<typename Design::map_type>(K);
    const index_t B = x.v.template extent<axis::batch>(), H = x.v.template extent<axis::head>();
    const decode_numbers numbers = numbers_of(design, x);

    index_t tiles = tiles_of<Tile, state>(x.v.template extent<axis::value>());
    bool normaliser_follows = false;
    if constexpr (normalises) {
      bool written = bool(x.final_state.z);
      if constexpr (sextant::detail::stabilises<Design>) written = written || bool(x.final_state.m);
      // One block per head may read and write z in place; several need a second launch, worth it where heads are few.
      if (written && B * H >= 2 * processors) tiles = 1;
      normaliser_follows = written && tiles > 1;
    }
    status done = launch(&decode_heads<Design, Precision, Tile>, dim3(unsigned(tiles), unsigned(H), unsigned(B)),
                         dim3(Tile::threads), shared_bytes<Design, state, Tile>(K, W), on.handle, design, x, numbers);
    if constexpr (normalises)
      if (done && normaliser_follows)
        done = launch(&decode_normalisers<Design, Precision>, dim3(1, unsigned(H), unsigned(B)), dim3(128),
                      sizeof(float) * std::size_t(2 * (W + K)), on.handle, design, x, numbers);
    return done;
  }
};

}  // namespace sextant::gpu
