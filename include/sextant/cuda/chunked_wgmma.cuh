// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form on Hopper: gates per head or none, tokens of 16 bits.
#pragma once

#include <sextant/cuda/chunked_wgmma/kernel.cuh>
#include <sextant/cuda/chunked_wgmma/rewritten.cuh>
#include <sextant/cuda/chunked_wgmma/segments.cuh>
#include <sextant/cuda/chunked_wgmma/tensor_maps.cuh>

namespace sextant::gpu {

/// The chunked form for designs whose gates vary over heads at most (linear attention, RetNet, Mamba-2, simple GLA, mLSTM),
/// with the tensor cores and the copy engine of compute capability 9.0. Exact at any decay. With enough heads to fill the GPU
/// one launch and no workspace: q, k, v and y pass through memory once (q and k once per block that shares them), the
/// state not at all. Long sequences of few heads are cut into segments, in two or three launches: k and v pass twice,
/// as far as they are not forgotten, and the workspace holds the states between segments. Rotary positions without a
/// normaliser, and maps of keys that heads share, take a launch more and room for queries and keys; beside a normaliser that
/// does not decay, positions in one dimension take neither. Positions want 2048 rows of keys or more. See docs/kernels/chunked_wgmma.md.
///
/// Takes K of 64 or 128, V a multiple of 64, rows without gaps at multiples of 16 bytes, not packed. With a normaliser and
/// more than 128 channels its final state may not take the place of the initial one.
struct chunked_wgmma {
  static constexpr const char* form = "chunked";

  template <class Design, class Precision>
  static constexpr bool runs = [] {
    using namespace sextant::detail;
    using token = typename Precision::token;
    constexpr per input = granularity<typename Design::input_type>, forget = granularity<typename Design::forget_type>;
    return (std::is_same_v<token, bfloat16> ||
            std::is_same_v<token, float16>)&&std::is_same_v<typename Precision::state, float> &&
           std::is_same_v<typename Precision::accumulator, float> && (input == per::nothing || input == per::head) &&
           (forget == per::nothing || forget == per::head) &&
           is_any<typename Design::norm_type, norm::none, norm::sum, norm::sum_undecayed, norm::abs_max> &&
           !is_local<Design> &&
           ((!turns_1d<Design> && !turns_2d<Design>) || wgmma::rewrites_ahead<Design> ||
            wgmma::turns_in_place<Design>)&&pointwise_map<typename Design::map_type> &&
           !std::is_same_v<typename Design::order_type, order::global>;
  }();

  template <class Design, class Precision>
  static bool takes(const Design& design, const sequence_of<Design, Precision>& x) {
    if constexpr (wgmma::rewrites_ahead<Design>) {
      if (!wgmma::can_be_mapped(x.q) || !wgmma::can_be_mapped(x.k)) return false;
      return has_rows(x) && takes(wgmma::rewritten(design, nullptr), wgmma::rewritten(x, x.q, x.k));
    } else {
      return has_rows(x) && takes_as_it_is(x);
    }
  }
  /// The states between segments, where a call is cut into any, and queries and keys that are rewritten ahead.
  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design& design, const sequence_of<Design, Precision>& x) {
    if constexpr (wgmma::rewrites_ahead<Design>) {
      const std::size_t states = workspace_bytes(wgmma::rewritten(design, nullptr), wgmma::rewritten(x, x.q, x.k));
      return wgmma::rewritten_keys{x}.bytes() + states;
    } else {
      return with_plan(x, std::size_t(0), [&](auto plan) {
        return wgmma::states_of<decltype(plan)>::floats(segments_of(plan, x), std::size_t(slices_of(x))) *
               sizeof(float);
      });
    }
  }
  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    if constexpr (wgmma::rewrites_ahead<Design>) {
      const wgmma::rewritten_keys made{x};
      if (const status done = made.make(design, x, on); !done) return done;
      auto q = x.q, k = x.k;
      q = {made.queries(on), {made.B, made.T, made.H, made.K}}, k = {made.keys(on), {made.B, made.T, made.H, made.K}};
      return run(wgmma::rewritten(design, made.own(on)), wgmma::rewritten(x, q, k), made.behind(on));
    } else {
      const status refused{errc::unsupported, "the chunked kernel does not take these sizes"};
      wgmma::chunked_maps maps{};
      if (const status made = map_tensors(maps, x); !made) return made;
      return with_plan(x, refused, [&](auto plan) { return launch_plan<decltype(plan)>(design, x, maps, on); });
    }
  }

 private:
  /// Whether positions have rows of keys enough: keys in two parts serve few answers better.
  template <class Design, class Precision> static bool has_rows(const sequence_of<Design, Precision>& x) {
    constexpr bool turns = sextant::detail::turns_1d<Design> || sextant::detail::turns_2d<Design>;
    return !turns || x.k.extent(0) * x.k.extent(1) * x.k.extent(2) >= 2048;
  }
  template <class Design, class Precision> static bool takes_as_it_is(const sequence_of<Design, Precision>& x) {
    const index_t K = x.k.template extent<axis::key>(), V = x.v.template extent<axis::value>();
    const index_t T = x.v.template extent<axis::time>(), B = x.v.template extent<axis::batch>();
    const index_t H = x.v.template extent<axis::head>();
    if ((K != 64 && K != 128) || V < 64 || V % 64 != 0 || T < 1 || x.offsets) return false;
    if constexpr (sextant::detail::normalises<typename Design::norm_type>)  // blocks of a head begin with one z
      if (V > 128 && x.final_state.z && x.final_state.z.data() == x.initial_state.z.data()) return false;
    if constexpr (sextant::detail::stabilises<Design>)  // and one m
      if (V > 128 && x.final_state.m && x.final_state.m.data() == x.initial_state.m.data()) return false;
    if (B * H * (V / 64) >= (index_t(1) << 30) || T >= (index_t(1) << 30)) return false;
    if (!wgmma::can_be_mapped(x.q) || !wgmma::can_be_mapped(x.k)) return false;
    if (!wgmma::can_be_mapped(x.v) || !wgmma::can_be_mapped(x.y)) return false;
    if constexpr (sextant::detail::has_output_gate<Design>)
      if (!wgmma::can_be_mapped(x.gate)) return false;
    if (device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) return false;
    // All kernels have a body if one of them has: that they are compiled for is the same.
    cudaFuncAttributes attributes;
    return cudaFuncGetAttributes(&attributes, wgmma::segment_kernel<wgmma::segment_plan<Design, Precision, 64>>) ==
               cudaSuccess &&
           attributes.sharedSizeBytes > 0;
  }
  /// visit(plan) for the plan of a call's sizes.
  template <class Design, class Precision, class Answer, class Visit>
  static Answer with_plan(const sequence_of<Design, Precision>& x, const Answer& otherwise, const Visit& visit) {
    switch (x.k.template extent<axis::key>()) {
      case 64:
        return with_keys<64>(x, visit);
      case 128:
        return with_keys<128>(x, visit);
      default:
        return otherwise;
    }
  }
  template <int Keys, class Design, class Precision, class Visit>
  static auto with_keys(const sequence_of<Design, Precision>& x, const Visit& visit) {
    [[maybe_unused]] const index_t V = x.v.template extent<axis::value>();
    constexpr bool shares = std::is_same_v<typename Design::heads_type, heads::grouped>;
    constexpr bool normalises = sextant::detail::normalises<typename Design::norm_type>;
    using pair = wgmma::chunked_plan<Design, Precision, Keys, 2, true>;
    if constexpr (shares && !normalises) {
      return visit(pair{});
    } else {
      if constexpr (shares && !wgmma::turns_in_place<Design> && !sextant::detail::stabilises<Design>)
        if (V <= 64) return visit(pair{});
      if constexpr (Keys == 64)
        if (V % 128 != 0) return visit(wgmma::chunked_plan<Design, Precision, Keys, 1, false>{});
      // With 128 keys a block of 64 channels would be alone on its multiprocessor too: one of 128, half of which may not be
      // there, takes as long.
      return visit(wgmma::chunked_plan<Design, Precision, Keys, 2, false>{});
    }
  }
  /// Times 64 channels of all heads of all sequences.
  template <class Sequence> static int slices_of(const Sequence& x) {
    return int(x.v.template extent<axis::batch>() * x.v.template extent<axis::head>() *
               (x.v.template extent<axis::value>() / 64));
  }
  /// Blocks that walk through all sequences side by side.
  template <class Plan, class Sequence> static int blocks_of(Plan, const Sequence& x) {
    const int slices = slices_of(x), of_head = int(x.v.template extent<axis::value>() / 64);
    if constexpr (Plan::paired) {
      const int shared_by = int(x.v.template extent<axis::head>() / x.k.template extent<axis::head>());
      return slices / shared_by * ((shared_by + Plan::heads - 1) / Plan::heads);
    }
    return slices / of_head * ((of_head + Plan::slices - 1) / Plan::slices);
  }
  /// Segments of a sequence.
  template <class Plan, class Design, class Precision>
  static int segments_of(Plan plan, const sequence_of<Design, Precision>& x) {
    const int chunks = int((x.v.template extent<axis::time>() + 63) / 64);
    return wgmma::segments_for<Plan>(chunks, blocks_of(plan, x), device_attribute(cudaDevAttrMultiProcessorCount));
  }
  template <class Design, class Precision>
  static status map_tensors(wgmma::chunked_maps& maps, const sequence_of<Design, Precision>& x) {
    status made = wgmma::map_boxes(maps.q, x.q);
    if (made) made = wgmma::map_boxes(maps.k, x.k);
    if (made) made = wgmma::map_boxes(maps.v, x.v);
    if (made) made = wgmma::map_boxes(maps.y, x.y);
    if constexpr (sextant::detail::has_output_gate<Design>)
      if (made) made = wgmma::map_boxes(maps.gate, x.gate);
    return made;
  }
  /// What kernels are told.
  template <class Design, class Precision>
  [[gnu::noinline]] static wgmma::chunked_call<Design, Precision> call_of(const Design& design,
                                                                          const sequence_of<Design, Precision>& x,
                                                                          int blocks, int segments, const stream& on) {
    const index_t H = x.v.template extent<axis::head>();
    const int T = int(x.v.template extent<axis::time>()), chunks = (T + 63) / 64;
    return {design,
            x,
            T,
            chunks,
            int(H),
            int(H / x.k.template extent<axis::head>()),
            int(x.v.template extent<axis::value>()),
            float(design.scale(x.k.template extent<axis::key>())),
            float(sextant::detail::eps_of(design.norm)),
            blocks,
            segments,
            (chunks + segments - 1) / segments,
            reinterpret_cast<float*>(on.memory.data)};
  }
  template <class Plan, class Design, class Precision>
  static status launch_plan(const Design& design, const sequence_of<Design, Precision>& x,
                            const wgmma::chunked_maps& maps, const stream& on) {
    const int segments = segments_of(Plan{}, x), blocks = blocks_of(Plan{}, x);
    auto call = call_of(design, x, blocks, segments, on);
    if (segments > 1) {
      using segment = wgmma::segment_plan<Design, Precision, Plan::keys>;
      call.blocks = blocks_of(segment{}, x);
      if (const status done = hand_over<segment>(call, maps, unsigned(slices_of(x)), on); !done) return done;
      call.blocks = blocks;
    }
    return launch(&wgmma::chunked_kernel<Plan>, dim3(unsigned(blocks * segments)), dim3(Plan::threads),
                  wgmma::chunked_shared_bytes<Plan>, on.handle, call, maps);
  }
  /// Puts the states that segments begin with into the workspace.
  template <class Plan, class Call>
  [[gnu::noinline]] static status hand_over(const Call& call, const wgmma::chunked_maps& maps, unsigned slices,
                                            const stream& on) {
    const status done = launch(&wgmma::segment_kernel<Plan>, dim3(unsigned(call.blocks * (call.segments - 1))),
                               dim3(Plan::threads), wgmma::chunked_shared_bytes<Plan>, on.handle, call, maps);
    using states = wgmma::states_of<Plan>;
    if (!done || call.segments <= states::most_added_up) return done;
    return launch(&wgmma::pass_on_kernel<8, Plan::stabilises>, dim3(unsigned((states::numbers + 255) / 256), slices),
                  dim3(256), 0, on.handle, call.handed, wgmma::is_given<Plan>(call), call.segments, states::numbers,
                  states::record_numbers, Plan::decays ? states::numbers : states::state_numbers);
  }
};

}  // namespace sextant::gpu
