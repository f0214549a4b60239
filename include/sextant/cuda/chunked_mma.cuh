// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked form by the tensor cores' plain instructions: every GPU from sm_80 on, nearly every size.
#pragma once

#include <sextant/cuda/chunked_mma/kernel.cuh>
#include <sextant/cuda/launch.cuh>

namespace sextant::gpu {

namespace mma {

// The library's gates by what a kernel needs of them, so that designs share kernels: decays per key, or not.
template <bool Keyed, class Gate>
using forget_choice = std::conditional_t<
    Keyed, detail::choice_for<gate_choice, Gate, forget::log_decay<per::key>, forget::log_sigmoid<per::key>>,
    detail::choice_for<gate_choice, Gate, forget::one, forget::constant, forget::exponential, forget::softplus,
                       forget::log_decay<per::head>, forget::log_sigmoid<per::head>>>;
template <class Map>
using map_choice_of = detail::choice_for<map_choice, Map, map::identity, map::elu_plus_one, map::relu>;

/// What the kernel of a design reads its gates and its map from: the same for all designs of the library's own parts
/// whose decays are of one kind.
template <bool Keyed, class Design>
using parts_of =
    gates_and_map<detail::input_choice<typename Design::input_type>, forget_choice<Keyed, typename Design::forget_type>,
                  map_choice_of<typename Design::map_type>>;

}  // namespace mma

/// The chunked form in steps of 16 tokens, by mma.sync: with S the state before a step, cum_t the logarithms of its
/// decays summed up to token t, per head or per key,
///   Y = exp(cum_t) (.) (Q S) + ((Q K^T) (.) exp(cum_t - cum_s), s <= t) U,   S <- exp(cum_15) S + (exp(cum_15 - cum_s) (.) K)^T U.
/// The state stays in registers from the first token to the last. For designs whose forget gate does not vary over
/// channels (linear attention, RetNet, Mamba-2, GLA, mLSTM) with pointwise maps, causal and reversed; with and without
/// rotary positions; tokens of bfloat16, float16 (scores between +-65504) and float (three products in TF32 for one).
/// Exact at any decay.
///
/// Takes 1 to 256 keys and every number of channels and tokens, packed sequences, and every stride but that of the last
/// dimension, which is 1; rows of whole 16-byte pieces at multiples of 16 bytes are loaded fastest. A block walks one
/// slice of a head's channels through one sequence, in one launch and without a workspace; long sequences of few heads
/// are cut into segments, in three launches and with a state for each segment as the workspace.
struct chunked_mma {
  static constexpr const char* form = "chunked";

  template <class Design> static constexpr bool keyed = granularity<typename Design::forget_type> == per::key;
  template <class Design> static constexpr bool turns = detail::turns_1d<Design> || detail::turns_2d<Design>;

  template <class Design, class Precision>
  static constexpr bool runs = [] {
    using namespace sextant::detail;
    using token = typename Precision::token;
    constexpr per forget = granularity<typename Design::forget_type>;
    return (std::is_same_v<token, bfloat16> || std::is_same_v<token, float16> ||
            std::is_same_v<token, float>)&&std::is_same_v<typename Precision::state, float> &&
           std::is_same_v<typename Precision::accumulator, float> &&
           (forget == per::nothing || forget == per::head || forget == per::key) && !is_local<Design> &&
           pointwise_map<typename Design::map_type> && !std::is_same_v<typename Design::order_type, order::global>;
  }();

  template <class Design, class Precision>
  static bool takes(const Design& design, const sequence_of<Design, Precision>& x) {
    status found;
    const auto c = make_call(design, x, found);
    const index_t many = index_t(1) << 30;
    if (c.keys < 1 || c.keys > 256 || c.values < 1 || c.values >= many || c.tokens >= many) return false;
    if (c.sequences * c.heads * ((c.values + 15) / 16) >= many) return false;
    if (!adjacent(c.q.key, c.q) || !adjacent(c.k.key, c.k) || !adjacent(c.v.value, c.v) || !adjacent(c.y.value, c.y))
      return false;
    if (c.output_gate && !adjacent(c.output_gate.value, c.output_gate)) return false;
    if (raw_granularity<typename Design::forget_type> == per::key && !adjacent(c.forget_raw.key, c.forget_raw))
      return false;
    if (raw_granularity<typename Design::input_type> == per::channel &&
        !adjacent(gate_rows<Design>(c).value, gate_rows<Design>(c)))
      return false;
    if (device_attribute(cudaDevAttrComputeCapabilityMajor) < 8) return false;
    const mma::block_plan p = plan_of(design, x, c);
    return p.tokens > 0 && (p.slices == 1 || p.segments > 1 || !shares_state(c));
  }
  template <class Design, class Precision>
  static std::size_t workspace_bytes(const Design& design, const sequence_of<Design, Precision>& x) {
    status found;
    const auto c = make_call(design, x, found);
    return std::size_t(mma::handed_state::bytes(c, plan_of(design, x, c)));
  }
  template <class Design, class Precision>
  static status run(const Design& design, const sequence_of<Design, Precision>& x, const stream& on) {
    status found;
    const auto c = make_call(design, x, found);
    return run_plan(design, c, plan_of(design, x, c), typename Precision::token{}, on);
  }

  /// How a call is divided among so many multiprocessors.
  template <class Design, class Precision>
  [[gnu::noinline]] static mma::block_plan plan_of(
      const Design&, const sequence_of<Design, Precision>&, const device_call<float>& c,
      int multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount)) {
    using token = typename Precision::token;
    mma::block_plan needs;
    needs.keyed = keyed<Design>, needs.turns = turns<Design>;
    needs.raw_rows = raw_granularity<typename Design::forget_type> == per::key;
    needs.gate_rows = raw_granularity<typename Design::input_type> == per::channel;
    mma::block_plan p =
        mma::make_block_plan<token>(c, needs, shares_state(c), shared_bytes_of_block(), multiprocessors);
    p.maps = !std::is_same_v<typename Design::map_type, map::identity> || c.key_scale != 1.0f;
    p.pieces_of_keys = in_words(c.q, c.keys, 16) && in_words(c.k, c.keys, 16);
    p.pieces_of_values = in_words(c.v, c.values, 16);
    p.pieces_of_raw = needs.raw_rows && in_words(c.forget_raw, c.keys, 16);
    p.pieces_of_gate = needs.gate_rows && in_words(gate_rows<Design>(c), c.values, 16);
    p.pieces_of_y =
        in_words(c.y, 4, 4 * c.y.element) && (!c.output_gate || in_words(c.output_gate, 4, 4 * c.y.element));
    return p;
  }
  /// Runs a call as a plan says.
  template <class Design, class Token>
  static status run_plan(const Design& design, const device_call<float>& c, const mma::block_plan& p, Token,
                         const stream& on) {
    constexpr bool by_key = keyed<Design>;
    using parts_type = mma::parts_of<by_key, Design>;
    parts_type parts;
    parts.input = detail::choose_gate<decltype(parts.input)>(design.input_gate);
    parts.forget = detail::choose_gate<decltype(parts.forget)>(design.forget_gate);
    parts.map.which = parts.map.parts.take(design.feature_map);
    const index_t heads = c.sequences * c.heads;
    if (heads == 0) return {};
    const auto walk = [&](const mma::block_plan& its_plan, int segments) {
      return launch(&mma::chunked_mma_kernel<Token, by_key, turns<Design>, parts_type>,
                    dim3(unsigned(heads * segments * p.slices)), dim3(unsigned(p.threads())), std::size_t(p.bytes),
                    on.handle, c, parts, its_plan);
    };
    if (p.segments == 1) return walk(p, 1);
    mma::block_plan its_plan = p;
    its_plan.handed = reinterpret_cast<float*>(on.memory.data);
    its_plan.states_only = true;
    if (const status done = walk(its_plan, p.segments - 1); !done) return done;
    its_plan.states_only = false;
    const index_t numbers = c.keys * c.values + c.keys;
    if (const status done =
            launch(&mma::pass_on_kernel<device_call<float>>, dim3(unsigned((numbers + 255) / 256), unsigned(heads)),
                   dim3(256), 0, on.handle, c, its_plan);
        !done)
      return done;
    return walk(its_plan, p.segments);
  }

 private:
  /// What input gates per channel are computed from.
  template <class Design> static const tensor<float>& gate_rows(const device_call<float>& c) {
    return reads_step<typename Design::input_type> ? c.dt : c.input_raw;
  }
  static bool adjacent(index_t stride, const tensor<float>& x) { return stride == x.element; }
  /// Whether a head's blocks would read z or m where the first of them writes.
  static bool shares_state(const device_call<float>& c) {
    return (c.z_in && c.z_in.data == c.z_out.data) || (c.m_in && c.m_in.data == c.m_out.data);
  }
  /// Whether rows of `count` numbers are whole words of so many bytes, at multiples of them.
  static bool in_words(const tensor<float>& x, index_t count, index_t bytes) {
    const auto whole = [bytes](index_t n) { return n % bytes == 0; };
    return whole(index_t(reinterpret_cast<std::uintptr_t>(x.data))) && whole(x.batch) && whole(x.time) &&
           whole(x.head) && whole(count * x.element);
  }
};

}  // namespace sextant::gpu
