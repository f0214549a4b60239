// SPDX-License-Identifier: Apache-2.0
/// @file  Second order on Hopper: weights (q . k)^2 in linear time, the products of keys made in registers.
#pragma once

#include <sextant/cuda/chunked_wgmma/tensor_maps.cuh>
#include <sextant/cuda/launch.cuh>
#include <sextant/cuda/second_order/answers.cuh>
#include <sextant/cuda/second_order/gates.cuh>
#include <sextant/cuda/second_order/pass_on.cuh>
#include <sextant/cuda/second_order/states.cuh>

namespace sextant::gpu {

namespace second {

/// The library's forget gates by what a kernel needs of them, so that designs share kernels.
template <class Gate>
using forget_choice =
    detail::choice_for<gate_choice, Gate, forget::one, forget::constant, forget::exponential, forget::softplus,
                       forget::log_decay<per::head>, forget::log_sigmoid<per::head>>;
/// And its input gates.
template <class Gate>
using input_choice =
    detail::choice_for<gate_choice, Gate, input::one, input::softplus<per::head>, input::sigmoid, input::exponential>;
/// Both gates of a design.
template <class Design>
using parts_of = head_parts<input_choice<typename Design::input_type>, forget_choice<typename Design::forget_type>>;

}  // namespace second

/// The chunked form of map::squared for designs whose gates vary over heads at most (2Mamba), with the tensor cores of compute
/// capability 9.0. With phi(x) the d (d + 1) / 2 products of two of x's numbers, S_c the state before chunk c of 768 tokens,
///   y_i = phi(q_i) S_c + sum over the chunk's j <= i of (q_i . k_j)^2 decay_ij I_j v_j,   divided by the same without I v.
/// phi never leaves the registers; the states of all chunks pass through memory once, as numbers of 16 bits. Up to 4096
/// tokens without an initial or final state there is one chunk: the quadratic form, in one launch and one more for gates. Exact
/// at any decay.
///
/// Takes bfloat16 (half has too few exponents: squares of small scores would be 0), up to 64 keys and any number of channels,
/// both multiples of 8, rows without gaps at multiples of 16 bytes, one behind another as the copy engine takes them, not packed.
/// docs/kernels/second_order.md tells how.
struct second_order {
  static constexpr const char* form = "chunked";

  template <class Design, class Precision>
  static constexpr bool runs = [] {
    using namespace sextant::detail;
    using token = typename Precision::token;
    constexpr per input = granularity<typename Design::input_type>, forget = granularity<typename Design::forget_type>;
    return std::is_same_v<token, bfloat16> && std::is_same_v<typename Precision::state, float> &&
           std::is_same_v<typename Precision::accumulator, float> && (input == per::nothing || input == per::head) &&
           (forget == per::nothing || forget == per::head) &&
           is_any<typename Design::norm_type, norm::none, norm::sum> && !is_local<Design> && !turns_1d<Design> &&
           !turns_2d<Design> && std::is_same_v<typename Design::map_type, map::squared> &&
           !std::is_same_v<typename Design::order_type, order::global>;
  }();

  template <class Design, class Precision>
  static bool takes(const Design& design, const sequence_of<Design, Precision>& x) {
    status found;
    const auto c = make_call(design, x, found);
    const index_t many = index_t(1) << 30;
    if (c.keys < 8 || c.keys > 64 || c.keys % 8 != 0 || c.values < 8 || c.values % 8 != 0) return false;
    if (c.offsets != nullptr || c.tokens < 1 || c.tokens >= many || c.sequences * c.heads < 1) return false;
    if (c.sequences * c.heads * c.values * ((c.tokens + 63) / 64) >= many || c.sequences * c.heads > 65535)
      return false;
    if (!wgmma::can_be_mapped(x.q) || !wgmma::can_be_mapped(x.k) || !wgmma::can_be_mapped(x.v)) return false;
    if (!in_pieces(c.y, c.y.value)) return false;
    if (c.output_gate && !in_pieces(c.output_gate, c.output_gate.value)) return false;
    if (device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) return false;
    cudaFuncAttributes attributes;
    return cudaFuncGetAttributes(&attributes, second::answers_kernel<typename Precision::token>) == cudaSuccess &&
           attributes.binaryVersion == 90 && attributes.numRegs > 64;
  }
  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design& design, const sequence_of<Design, Precision>& x) {
    status found;
    const auto c = make_call(design, x, found);
    return std::size_t(division_of(design, c).lay_out(nullptr, c.sequences * c.heads));
  }
  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    status found;
    const auto c = make_call(design, x, found);
    return run_division(design, x, division_of(design, c), on);
  }
  /// Runs a call as a division says.
  template <class Design, class Precision>
  static status run_division(const Design& design, const sequence_of<Design, Precision>& x, second::division d,
                             const stream& on) {
    using token = typename Precision::token;
    status found;
    const auto c = make_call(design, x, found);
    second::token_maps maps;
    status done = wgmma::map_boxes(maps.q, x.q);
    if (done) done = wgmma::map_boxes(maps.k, x.k, 2 * second::tile);
    if (done) done = wgmma::map_boxes(maps.v, x.v, 2 * second::tile);
    if (!done) return done;
    const index_t heads = c.sequences * c.heads;
    d.lay_out(on.memory.data, heads);
    if (d.gated()) {
      using parts_type = second::parts_of<Design>;
      parts_type parts;
      parts.input = detail::choose_gate<decltype(parts.input)>(design.input_gate);
      parts.forget = detail::choose_gate<decltype(parts.forget)>(design.forget_gate);
      done = launch(&second::gates_kernel<token, parts_type>, dim3(unsigned(d.chunks), unsigned(heads)),
                    dim3(unsigned(second::gate_threads(d))), 0, on.handle, c, parts, d);
      if (!done) return done;
    }
    // Behind another kernel of the call a kernel begins early, and waits for it; so each of them waits for all before it.
    const launch_manner behind_gates{.early = d.gated()};
    if (d.has_states()) {
      constexpr bool admits = !std::is_same_v<typename Design::input_type, input::one>;
      done = launch_in(behind_gates, &second::states_kernel<token, admits>,
                       dim3(unsigned(heads * d.segments * d.slices * 4)), dim3(second::state_threads + 128),
                       second::state_shared_bytes, on.handle, c, maps, d);
      if (!done) return done;
    }
    if (d.segments > 1) {
      done = launch_early(&second::pass_on_kernel<token>,
                          dim3(second::pass_on_blocks, unsigned(d.slices), unsigned(heads)),
                          dim3(second::pass_on_threads), 0, on.handle, c, d);
      if (!done) return done;
    }
    const int blocks = (d.tokens + d.rows() - 1) / d.rows();
    const int window = d.chunk < d.tokens ? d.chunk + second::overlap : d.tokens;
    return launch_in({.early = d.gated() || d.has_states()}, &second::answers_kernel<token>,
                     dim3(unsigned(heads * d.slices * blocks)), dim3(unsigned(128 * d.groups)),
                     second::answer_memory::bytes(d.groups / d.parts, (window + 63) / 64, d.gated(), d.admits),
                     on.handle, c, maps, d);
  }

 private:
  template <class Design> static second::division division_of(const Design& design, const device_call<float>& c) {
    return second::divide(design, c, device_attribute(cudaDevAttrMultiProcessorCount));
  }
};

}  // namespace sextant::gpu
