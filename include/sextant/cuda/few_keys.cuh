// SPDX-License-Identifier: Apache-2.0
/// @file  The family of kernels for forget gates that vary over channels where keys are few: VMamba's selective scan.
#pragma once

#include <cstdint>  // uintptr_t

#include <sextant/cuda/few_keys/kernel.cuh>
#include <sextant/cuda/launch.cuh>

namespace sextant::gpu {

/// The recurrence of up to 4 keys, bound by memory: a lane has two channels with all their keys, so that nothing is summed
/// over lanes, and the warps of a block have neighbouring runs of a sequence's tokens, whose effects on the state they pass on.
///
/// Runs forget gates that vary over channels, of the step size or of a tensor per head or channel, causal and reversed order,
/// any input gate, pointwise maps, norm::none; tokens of bfloat16, half or float with sums in float. Takes K up to 4, whose rows
/// may lie anywhere, and even V, whose rows of two numbers are aligned; any T. Deterministic; no workspace. Cost: every token
/// tensor is read once, q and k once for every 64 channels, from L2; two exponentials for each token, key and channel,
/// one of a single key, and two or three keys cost as many as four.
struct few_keys {
  static constexpr const char* form = "recurrent";

  template <class Design, class Precision>
  static constexpr bool runs =
      (lanes::decay_kind_of<typename Design::forget_type>() == lanes::decay_kind::state ||
       lanes::decay_kind_of<typename Design::forget_type>() == lanes::decay_kind::channel) &&
      !lanes::same_for_all<typename Design::forget_type> && std::is_same_v<typename Precision::accumulator, float> &&
      !std::is_same_v<typename Precision::token, double> &&
      !std::is_same_v<typename Design::order_type, order::global> && !sextant::detail::is_local<Design> &&
      !sextant::detail::turns_1d<Design> &&
      !sextant::detail::turns_2d<Design> && sextant::detail::pointwise_map<typename Design::map_type> &&
      std::is_same_v<typename Design::norm_type, norm::none>;

  template <class Design, class Precision> static bool takes(const Design&, const sequence_of<Design, Precision>& x) {
    using traits = lanes::design_traits<Design, Precision>;
    if (x.k.template extent<axis::key>() > 4 || x.v.template extent<axis::time>() > (index_t(1) << 30)) return false;
    if (x.v.template extent<axis::head>() > 65535 || sequences_of(x) > 65535) return false;  // the most that a grid has
    if (device_attribute(cudaDevAttrComputeCapabilityMajor) < 8) return false;
    bool fits = rows_fit(x.v) && rows_fit(x.y) && steps_fit(x.k) && steps_fit(x.q);
    if constexpr (traits::step_of_channel) fits = fits && rows_fit(x.dt);
    if constexpr (traits::step_of_head) fits = fits && steps_fit(x.dt);
    if constexpr (traits::forget_of_channel) fits = fits && rows_fit(x.forget);
    if constexpr (traits::forget_of_head) fits = fits && steps_fit(x.forget);
    if constexpr (traits::input_of_channel) fits = fits && rows_fit(x.input);
    if constexpr (traits::input_of_head) fits = fits && steps_fit(x.input);
    if constexpr (traits::has_gate) fits = fits && rows_fit(x.gate);
    return fits;
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
  /// Tokens of a tile are less than 2^31 numbers apart.
  template <class View> static bool steps_fit(const View& of) {
    const index_t apart = of.template stride<axis::time>() * 64;
    return apart < (index_t(1) << 31) && apart > -(index_t(1) << 31);
  }
  /// Rows of pairs of neighbours, aligned.
  template <class View> static bool rows_fit(const View& rows) {
    if (!steps_fit(rows) ||
        reinterpret_cast<std::uintptr_t>(rows.data()) % (2 * sizeof(typename View::element_type)) != 0)
      return false;
    if (rows.extent(View::rank - 1) % 2 != 0 || rows.stride(View::rank - 1) != 1) return false;
    for (int r = 0; r + 1 < View::rank; ++r)
      if (rows.extent(r) > 1 && rows.stride(r) % 2 != 0) return false;
    return true;
  }
  template <class Sequence> static index_t sequences_of(const Sequence& x) {
    return x.offsets ? x.offsets.size() - 1 : x.v.template extent<axis::batch>();
  }
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
