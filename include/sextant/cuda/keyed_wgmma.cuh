// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form on Hopper: decays per key, tokens in bfloat16.
#pragma once

#include <sextant/cuda/chunked_wgmma/tensor_maps.cuh>
#include <sextant/cuda/keyed_wgmma/kernel.cuh>

namespace sextant::gpu {

/// The chunked form for designs whose forget gate varies over keys (GLA), with the tensor cores and the copy engine of compute
/// capability 9.0. Exact at any decay. With enough heads to fill the GPU one launch and no workspace: q, k, v, raw decays and y
/// pass through memory once (q, k and decays once per 128 channels), the state not at all. Long sequences of few heads are cut
/// into segments, in two or three launches: k, v and decays pass twice, as far as they are not forgotten, and the
/// workspace holds the states between segments. See docs/kernels/keyed_wgmma.md.
///
/// Takes K of 8 to 128 and any V, multiples of 8, rows without gaps at multiples of 16 bytes, not packed. With a normaliser and
/// more than 128 channels its final state may not take the place of the initial one.
struct keyed_wgmma {
  static constexpr const char* form = "chunked";

  template <class Design, class Precision>
  static constexpr bool runs = [] {
    using namespace sextant::detail;
    using forget_type = typename Design::forget_type;
    return std::is_same_v<typename Precision::token, bfloat16> && std::is_same_v<typename Precision::state, float> &&
           std::is_same_v<typename Precision::accumulator, float> && granularity<forget_type> == per::key &&
           reads_own<forget_type> && raw_granularity<forget_type> == per::key &&
           (granularity<typename Design::input_type> == per::nothing ||
            granularity<typename Design::input_type> == per::head) &&
           (std::is_same_v<typename Design::norm_type, norm::none> ||
            (std::is_same_v<typename Design::norm_type, norm::sum> &&
             granularity<typename Design::input_type> == per::nothing && !turns_1d<Design>)) &&
           !is_local<Design> && !turns_2d<Design> && pointwise_map<typename Design::map_type> &&
           !std::is_same_v<typename Design::order_type, order::global>;
  }();

  template <class Design, class Precision>
  static bool takes(const Design& design, const sequence_of<Design, Precision>& x) {
    const index_t K = x.k.template extent<axis::key>(), V = x.v.template extent<axis::value>();
    const index_t T = x.v.template extent<axis::time>(), B = x.v.template extent<axis::batch>();
    const index_t H = x.v.template extent<axis::head>();
    if (K < 8 || K > 128 || K % 8 != 0 || V < 8 || V % 8 != 0 || T < 1 || x.offsets) return false;
    if constexpr (!std::is_same_v<typename Design::map_type, map::identity>)
      if (K % 64 != 0) return false;  // a map may make anything of keys that are not there
    if constexpr (!sextant::detail::is_any<typename Design::forget_type, forget::log_sigmoid<per::key>,
                                           forget::log_decay<per::key>>)
      if (K % 64 != 0) return false;                                        // and so may a gate of one's own
    if constexpr (sextant::detail::normalises<typename Design::norm_type>)  // blocks of a head begin with one z
      if (V > 128 && x.final_state.z && x.final_state.z.data() == x.initial_state.z.data()) return false;
    if (B * H * ((V + 127) / 128) >= (index_t(1) << 30) || T >= (index_t(1) << 30)) return false;
    if (!wgmma::can_be_mapped(x.q) || !wgmma::can_be_mapped(x.k) || !wgmma::can_be_mapped(x.forget)) return false;
    if (!wgmma::can_be_mapped(x.v) || !wgmma::can_be_mapped(x.y)) return false;
    if constexpr (sextant::detail::has_output_gate<Design>)
      if (!wgmma::can_be_mapped(x.gate)) return false;
    if (device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) return false;
    return with_plan(design, x, [](auto plan) {
      cudaFuncAttributes attributes;
      return cudaFuncGetAttributes(&attributes, wgmma::keyed_kernel<decltype(plan)>) == cudaSuccess &&
             attributes.sharedSizeBytes > 0;
    });
  }
  /// The states between segments, where a call is cut into any.
  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design& design, const sequence_of<Design, Precision>& x) {
    return with_plan(design, x, [&](auto plan) {
      return wgmma::states_of_keys<decltype(plan)>::count(segments_of(plan, x), blocks_of(x)) * sizeof(float);
    });
  }
  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    return with_plan(design, x, [&](auto plan) { return launch_plan<decltype(plan)>(design, x, on); });
  }

 private:
  /// visit(plan) for the plan of a call's sizes.
  template <class Design, class Precision, class Visit>
  static auto with_plan(const Design&, const sequence_of<Design, Precision>& x, const Visit& visit) {
    if (x.k.template extent<axis::key>() <= 64) return visit(wgmma::keyed_plan<Design, Precision, 64>{});
    return visit(wgmma::keyed_plan<Design, Precision, 128>{});
  }
  /// What kernels are told that work on chunks of so many rows.
  template <class Design, class Precision>
  [[gnu::noinline]] static wgmma::keyed_call<Design, Precision> call_of(const Design& design,
                                                                        const sequence_of<Design, Precision>& x,
                                                                        int rows, int blocks, int segments,
                                                                        const stream& on) {
    const index_t H = x.v.template extent<axis::head>(), K = x.k.template extent<axis::key>();
    const int T = int(x.v.template extent<axis::time>()), chunks = (T + rows - 1) / rows;
    return {design,
            x,
            T,
            chunks,
            int(H),
            int(H / x.k.template extent<axis::head>()),
            int(K),
            int(x.v.template extent<axis::value>()),
            float(design.scale(K)),
            true,
            blocks,
            segments,
            (chunks + segments - 1) / segments,
            segments <= wgmma::most_added_up,
            reinterpret_cast<float*>(on.memory.data),
            float(sextant::detail::eps_of(design.norm))};
  }
  template <class Design, class Precision>
  [[gnu::noinline]] static status map_tensors(wgmma::keyed_maps& maps, const sequence_of<Design, Precision>& x,
                                              unsigned rows, unsigned step_rows) {
    status made = wgmma::map_boxes(maps.q, x.q, step_rows);
    if (made) made = wgmma::map_boxes(maps.k, x.k, step_rows);
    if (made) made = wgmma::map_boxes(maps.decays, x.forget, step_rows);
    if (made) made = wgmma::map_boxes(maps.v, x.v, rows);
    if (made) made = wgmma::map_boxes(maps.y, x.y, rows);
    if constexpr (sextant::detail::has_output_gate<Design>)
      if (made) made = wgmma::map_boxes(maps.gate, x.gate, rows);
    return made;
  }
  template <class Plan, class Design, class Precision>
  static status launch_plan(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    const int segments = segments_of(Plan{}, x), blocks = blocks_of(x);
    auto call = call_of(design, x, Plan::rows, blocks, segments, on);
    wgmma::keyed_maps maps{};
    status made = map_tensors(maps, x, Plan::rows, Plan::step_rows);
    if (!made) return made;
    if (segments > 1) {
      call.answers = false;
      made = launch_kernel<Plan>({}, blocks * (segments - 1), on, call, maps);
      call.answers = true;
      if (made && !call.adds_up)
        made = launch(&wgmma::pass_on_keys_kernel<Plan::keys, Plan::normalised>,
                      dim3(unsigned((wgmma::states_of_keys<Plan>::handed_numbers + 255) / 256), unsigned(blocks)),
                      dim3(256), 0, on.handle, call.handed, segments);
      if (!made) return made;
    }
    return launch_kernel<Plan>({.early = segments > 1 && call.adds_up}, blocks * segments, on, call, maps);
  }
  template <class Plan, class Call>
  [[gnu::noinline]] static status launch_kernel(launch_manner manner, int blocks, const stream& on, const Call& call,
                                                const wgmma::keyed_maps& maps) {
    return launch_in(manner, &wgmma::keyed_kernel<Plan>, dim3(unsigned(blocks)), dim3(Plan::threads),
                     wgmma::keyed_shared_bytes<Plan>, on.handle, call, maps);
  }
  /// Blocks that walk through all sequences side by side.
  template <class Design, class Precision> static int blocks_of(const sequence_of<Design, Precision>& x) {
    return int(x.v.template extent<axis::batch>() * x.v.template extent<axis::head>() *
               ((x.v.template extent<axis::value>() + 127) / 128));
  }
  /// Segments of a sequence.
  template <class Plan, class Design, class Precision>
  static int segments_of(Plan, const sequence_of<Design, Precision>& x) {
    const int chunks = int((x.v.template extent<axis::time>() + Plan::rows - 1) / Plan::rows);
    return wgmma::keyed_segments_for<Plan>(chunks, blocks_of(x), device_attribute(cudaDevAttrMultiProcessorCount));
  }
};

}  // namespace sextant::gpu
