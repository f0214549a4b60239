// SPDX-License-Identifier: Apache-2.0
/// @file  The family of kernels for forget gates that vary over channels where keys are few: VMamba's selective scan.
#pragma once

#include <sextant/cuda/few_keys/kernel.cuh>
#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/selective/calls.cuh>

namespace sextant::gpu {

/// The recurrence of up to 4 keys, bound by memory: a lane has two channels with all their keys, so that nothing is summed
/// over lanes, and the warps of a block have neighbouring runs of a sequence's tokens, whose effects on the state they pass on.
///
/// Runs forget gates that vary over channels, of the step size or of a tensor per head or channel, causal and reversed order,
/// any input gate, pointwise maps, norm::none; tokens of bfloat16, half or float with sums in float. Takes K up to 4, whose rows
/// may lie anywhere, and even V, whose rows of two numbers are aligned; any T; K of 1 or 4 where a gate is no number at a rate
/// of 0. Deterministic; no workspace. Cost: every token tensor is read once, q and k once for every 64 channels, from L2; two
/// exponentials for each token, key and channel, one of a single key, and two or three keys cost as many as four.
struct few_keys {
  static constexpr const char* form = "recurrent";

  template <class Design, class Precision>
  static constexpr bool runs =
      (lanes::decay_kind_of<typename Design::forget_type>() == lanes::decay_kind::state ||
       lanes::decay_kind_of<typename Design::forget_type>() == lanes::decay_kind::channel) &&
      !lanes::same_for_all<typename Design::forget_type> && lanes::meets_tokens_in_turn<Design, Precision> &&
      !sextant::detail::turns_1d<Design> &&
      !sextant::detail::turns_2d<Design> && std::is_same_v<typename Design::norm_type, norm::none>;

  template <class Design, class Precision>
  static bool takes(const Design& design, const sequence_of<Design, Precision>& x) {
    const auto in_pairs = [](const auto& rows) { return rows_in_pieces(rows, 2 * index_t(sizeof(*rows.data()))); };
    const index_t K = x.k.template extent<axis::key>();
    return lanes::takes_keys(design, K, K > 1 ? 4 : 1) && lanes::fits_a_grid(x) &&
           lanes::rows_of_channels_fit<Design, Precision>(x, in_pairs);
  }

  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design&, const sequence_of<Design, Precision>&) {
    return 0;
  }

  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    return x.k.template extent<axis::key>() > 1 ? run_keys<4>(design, x, on) : run_keys<1>(design, x, on);
  }

 private:
  template <int Keys, class Design, class Precision>
  static status run_keys(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    using walk = gpu::runs::block_walk<Design, Precision, Keys>;
    using layout = typename walk::layout;
    const index_t blocks = (x.v.template extent<axis::value>() + layout::channels - 1) / layout::channels;
    const dim3 grid(unsigned(blocks), unsigned(x.v.template extent<axis::head>()), unsigned(sequences_of(x)));
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return {};
    return launch(gpu::runs::few_keys_kernel<Design, Precision, Keys>, grid, dim3(layout::threads),
                  sizeof(typename walk::memory), on.handle, design, x);
  }
};

}  // namespace sextant::gpu
