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

}  // namespace sextant::gpu::lanes
