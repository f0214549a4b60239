// SPDX-License-Identifier: Apache-2.0
/// @file  What the families with channels over lanes, selective and few_keys, ask of a design and of a call.
#pragma once

#include <cuda_runtime.h>  // cudaDevAttrComputeCapabilityMajor

#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/selective/layout.cuh>
#include <sextant/cuda/views.cuh>

namespace sextant::gpu::lanes {

/// Whether tokens of 16 bits or float are met one after the other, sums are float, maps pointwise and v is not convolved.
template <class Design, class Precision>
inline constexpr bool meets_tokens_in_turn =
    std::is_same_v<typename Precision::accumulator, float> && !std::is_same_v<typename Precision::token, double> &&
    !std::is_same_v<typename Design::order_type, order::global> && !sextant::detail::is_local<Design> &&
    sextant::detail::pointwise_map<typename Design::map_type>;

/// Whether a grid has room for the heads and sequences, and int for the tokens and for what block_place multiplies; and whether
/// the GPU copies asynchronously.
template <class Sequence> bool fits_a_grid(const Sequence& x) {
  const index_t heads = x.v.template extent<axis::head>();
  return x.v.template extent<axis::time>() <= (index_t(1) << 30) && heads <= 65535 &&
         heads * x.k.template extent<axis::head>() < (index_t(1) << 31) && sequences_of(x) <= 65535 &&
         device_attribute(cudaDevAttrComputeCapabilityMajor) >= 8;
}

/// Whether all rows of channels, and a forget gate's of keys, are as `fits` says.
template <class Design, class Precision, class Fits>
bool rows_of_channels_fit(const sequence_of<Design, Precision>& x, const Fits& fits) {
  using traits = design_traits<Design, Precision>;
  bool all = fits(x.v) && fits(x.y);
  if constexpr (traits::step_of_channel) all = all && fits(x.dt);
  if constexpr (traits::forget_of_channel || traits::forget_of_key) all = all && fits(x.forget);
  if constexpr (traits::input_of_channel) all = all && fits(x.input);
  if constexpr (traits::has_gate) all = all && fits(x.gate);
  return all;
}

/// Whether kernels of `room` keys take K of them: keys that are not there have rates of 0, and states of 0 as long as the
/// gate makes a number of that rate. So does one whose logarithm is proportional to it; a user's is asked.
template <class Design> bool takes_keys([[maybe_unused]] const Design& design, index_t K, index_t room) {
  using gate = typename Design::forget_type;
  constexpr decay_kind kind = decay_kind_of<gate>();
  constexpr bool reads_rates = rate_granularity<gate> != per::nothing && !sextant::detail::proportional_of<gate>();
  if constexpr (reads_rates && (kind == decay_kind::state || kind == decay_kind::fixed))
    if (K < room)
      for (const float number : {0.0f, 1.0f, -1.0f}) {
        const float F = gate_value(design.forget_gate, number, 0.0f);
        if (!(F - F == 0)) return false;
      }
  return K <= room;
}

}  // namespace sextant::gpu::lanes
