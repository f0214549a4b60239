// SPDX-License-Identifier: Apache-2.0
/// @file  From a block's rows to the tensors of its mixer: whatever the design reads is projected, nothing else.
#pragma once

#include <type_traits>  // conditional_t, is_same_v

#include <sextant/blocks/memory.hpp>
#include <sextant/call/bind.hpp>
#include <sextant/design/design.hpp>
#include <sextant/tensor/sequence.hpp>

namespace sextant::blocks {

/// The sizes of a mixer in a block.
struct mixer_sizes {
  index_t channels = 0;    ///< of v and y: heads times values
  index_t inputs = 0;      ///< of the rows that q, k and the gates are projected from
  index_t key_heads = 1;   ///< of q and k
  index_t heads = 1;       ///< of v and y
  index_t keys = 32;       ///< of a head
  index_t rank = 1;        ///< of the step size's projection W_1 W_2
  bool projects_v = true;  ///< else v is what the block gives

  constexpr index_t values() const { return heads > 0 ? channels / heads : 0; }
  constexpr index_t all_keys() const { return key_heads * keys; }
};

/// The heads of a design for so many channels: `heads` of them share q and k or not, as the design says. Heads that do not
/// divide the channels have no keys; fit() refuses them.
template <class Design>
constexpr mixer_sizes sizes_of(const Design&, index_t channels, index_t inputs, index_t heads, index_t rank,
                               bool projects_v) {
  constexpr bool single = std::is_same_v<typename Design::heads_type, heads::single>;
  constexpr bool grouped = std::is_same_v<typename Design::heads_type, heads::grouped>;
  const index_t keys = heads > 0 && channels % heads == 0 ? channels / heads : 0;
  return {channels, inputs, single || grouped ? 1 : heads, single ? 1 : heads, keys, rank > 0 ? rank : 1, projects_v};
}

/// Whether a mixer can have such sizes: ok, or why not.
constexpr status fit(const mixer_sizes& s) {
  if (s.heads < 1 || s.key_heads < 1 || s.keys < 1 || s.channels % s.heads != 0)
    return {errc::shape, "mixer: the channels are a multiple of the heads, of which there is one at least"};
  return {};
}

/// No module: what a design does not read.
struct nothing {
  constexpr nothing() = default;
  template <class Module> constexpr nothing(const Module&) {}
  template <class Visit> constexpr void tensors(const Visit&) const {}
};
/// A module, or nothing.
template <bool Has, class Module> using module_if = std::conditional_t<Has, Module, nothing>;

namespace detail {
template <per P, class Real>
using step_bias_view = std::conditional_t<P == per::head, head_view<const Real>, hv<const Real>>;
template <per P, class Real>
using rate_view =
    std::conditional_t<P == per::head, head_view<const Real>,
                       std::conditional_t<P == per::key, hk<const Real>,
                                          std::conditional_t<P == per::channel, hv<const Real>, hvk<const Real>>>>;
/// A parameter's view without memory.
template <class View>
constexpr View sized(index_t H, [[maybe_unused]] index_t K, [[maybe_unused]] index_t V, [[maybe_unused]] per p) {
  if constexpr (View::rank == 1) return View(nullptr, {H});
  else if constexpr (View::rank == 2) return View(nullptr, {H, p == per::key ? K : V});
  else return View(nullptr, {H, V, K});
}
/// How many numbers a token's tensor of a gate has.
constexpr index_t width_of(per p, const mixer_sizes& s) {
  return p == per::head ? s.heads : p == per::key ? s.heads * s.keys : p == per::channel ? s.channels : 0;
}
}  // namespace detail

/// The weights that a mixer of the design reads: q, k (and v) as one product; the step size W_2 W_1 u, with a bias where a
/// forget gate reads it; the gates' own tensors; a rate (A_log), D, LePE.
template <class Design, class E> struct projections {
  using Real = accumulator_of<E>;
  using forget = typename Design::forget_type;
  using input = typename Design::input_type;
  static_assert(!time_invariant<forget>,
                "blocks: a time-invariant state space has no keys and queries of tokens to project");
  static_assert(raw_granularity<forget> != per::key_channel,
                "blocks: a gate given per key and channel is too large to be projected");

  static constexpr per step = sextant::detail::step_granularity<Design>;
  static constexpr per rate = rate_granularity<forget>;
  static constexpr bool has_step = step != per::nothing, step_has_bias = has_step && reads_step<forget>;
  static constexpr bool has_rate = rate != per::nothing && !sextant::detail::has_default_rate<forget>;
  static constexpr bool has_forget = reads_own<forget>, has_input = reads_own<input>;
  static constexpr bool is_learned = sextant::detail::is_learned<Design>, is_local = sextant::detail::is_local<Design>;
  static constexpr bool normalises = sextant::detail::normalises<typename Design::norm_type>;
  using bias_view = detail::step_bias_view<step, Real>;
  using a_view = detail::rate_view<rate, Real>;

  mixer_sizes sizes{};
  modules::linear<E> qkv{};
  module_if<has_step, modules::linear<E>> dt_down{}, dt_up{};
  module_if<step_has_bias, modules::parameter<bias_view>> dt_bias{};
  module_if<has_rate, modules::parameter<a_view>> a{};
  module_if<has_forget, modules::linear<E>> forget_gate{};
  module_if<has_input, modules::linear<E>> input_gate{};
  module_if<is_learned, modules::parameter<hv<const Real>>> d{};
  module_if<is_local, modules::depthwise<E>> lepe{};

  constexpr projections() = default;
  constexpr explicit projections(const mixer_sizes& s)
      : sizes(s), qkv(s.inputs, 2 * s.all_keys() + (s.projects_v ? s.channels : 0)) {
    const index_t H = s.heads, K = s.keys, V = s.values();
    if constexpr (has_step) {
      dt_down = modules::linear<E>(s.inputs, s.rank, false);
      dt_up = modules::linear<E>(s.rank, detail::width_of(step, s), false);
      dt_up.first_weight = start::uniform(modules::detail::bound_of(s.rank));
    }
    if constexpr (step_has_bias)
      dt_bias = modules::parameter<bias_view>(detail::sized<bias_view>(H, K, V, step),
                                              {start::rule::inverse_softplus, 0.001, 0.1})
                    .in_public({detail::width_of(step, s)});
    if constexpr (has_rate) {
      const a_view sizes_of_a = detail::sized<a_view>(H, K, V, rate);
      const start first =
          rate == per::head ? start{start::rule::log_uniform, 1, 16} : start{start::rule::log_of_count, 0, 0};
      a = modules::parameter<a_view>(sizes_of_a, first, kept::minus_exp);
      if constexpr (rate == per::key_channel) a = a.in_public({s.channels, K});
      else a = a.in_public({sizes_of_a.size()});
    }
    if constexpr (has_forget) forget_gate = modules::linear<E>(s.inputs, detail::width_of(raw_granularity<forget>, s));
    if constexpr (has_input) input_gate = modules::linear<E>(s.inputs, detail::width_of(raw_granularity<input>, s));
    if constexpr (is_learned)
      d = modules::parameter<hv<const Real>>(hv<const Real>(nullptr, {H, V}), start::at(1)).in_public({s.channels});
    if constexpr (is_local) lepe = modules::depthwise<E>(s.channels);
  }

  template <class Visit> constexpr void each(const Visit& visit) {
    visit(sizes.projects_v ? "qkv" : "qk", qkv);
    visit("dt.down", dt_down);
    visit("dt.up", dt_up);
    visit("dt.bias", dt_bias);
    visit("A_log", a);
    visit("forget_gate", forget_gate);
    visit("input_gate", input_gate);
    visit("D", d);
    visit("lepe", lepe);
  }

  /// Of n tokens. The mixer's products are 2 n C d for keys of d numbers and, of the normaliser, as many as q has numbers;
  /// a recurrence whose gate varies over keys and channels counts 9 n C d, the rule of the vision papers. D and the
  /// functions of single numbers count for nothing.
  constexpr multiply_adds macs(index_t n) const {
    multiply_adds sum = qkv.macs(n);
    if constexpr (has_step) sum += dt_down.macs(n) + dt_up.macs(n);
    if constexpr (has_forget) sum += forget_gate.macs(n);
    if constexpr (has_input) sum += input_gate.macs(n);
    if constexpr (is_local) sum += lepe.macs(n);
    sum.mixers += (granularity<forget> == per::key_channel ? 9 : 2) * n * sizes.channels * sizes.keys;
    if constexpr (normalises) sum.mixers += n * sizes.all_keys();
    return sum;
  }
};

/// The shape of a batch of pictures, whose pixels are the tokens.
struct picture_sizes {
  index_t batch = 0, height = 0, width = 0;
  constexpr index_t tokens() const { return height * width; }
  constexpr index_t rows() const { return batch * height * width; }
};

namespace detail {
template <class E> bth<const E> per_head(const rows<E>& x, const picture_sizes& p, index_t H) {
  const index_t S = x.template stride<axis::row>();
  return {x.data(), {p.batch, p.tokens(), H}, {p.tokens() * S, S, 1}};
}
template <class View, class E> View per_head_and(const rows<E>& x, const picture_sizes& p, index_t H, index_t each) {
  const index_t S = x.template stride<axis::row>();
  return {x.data(), {p.batch, p.tokens(), H, each}, {p.tokens() * S, S, each, 1}};
}
/// A gate's tensor of that granularity.
template <class View, class E> void set_gate(View& to, const rows<E>& x, const picture_sizes& p, const mixer_sizes& s) {
  if constexpr (View::rank == 3) to = per_head(x, p, s.heads);
  else to = per_head_and<View>(x, p, s.heads, x.template extent<axis::value>() / (s.heads > 0 ? s.heads : 1));
}
}  // namespace detail

/// y = mixer(u): projects the rows u [n, inputs], whose tokens are the pixels of pictures, and calls the design's forward
/// pass. `v` [n, C] is read where the mixer does not project it, `gate` [n, C] where the design has output::silu.
template <class On, class Design, class E>
status mix(const On& on, const Design& design, const projections<Design, E>& w, const rows<E>& u, const rows<E>& v,
           [[maybe_unused]] const rows<E>& gate, const rows<E>& y, const picture_sizes& p, buffers& memory) {
  using weights = projections<Design, E>;
  const mixer_sizes& s = w.sizes;
  if (const status sizes = fit(s); !sizes) return sizes;
  const index_t n = p.rows(), keys = s.all_keys();
  const std::size_t before = memory.used();
  sequence_of<Design, precision_of<E>> x;
  const rows<E> qkv = memory.take<E>(n, w.qkv.outputs());
  rows<E> low, dt, forget, input;
  if constexpr (weights::has_step) low = memory.take<E>(n, s.rank), dt = memory.take<E>(n, w.dt_up.outputs());
  if constexpr (weights::has_forget) forget = memory.take<E>(n, w.forget_gate.outputs());
  if constexpr (weights::has_input) input = memory.take<E>(n, w.input_gate.outputs());
  if (!memory.fits()) return too_little_memory;
  const On lent = memory.lend(on);

  x.q = detail::per_head_and<bthk<const E>>(columns(qkv, 0, keys), p, s.key_heads, s.keys);
  x.k = detail::per_head_and<bthk<const E>>(columns(qkv, keys, keys), p, s.key_heads, s.keys);
  x.v = detail::per_head_and<bthv<const E>>(s.projects_v ? columns(qkv, 2 * keys, s.channels) : v, p, s.heads,
                                            s.values());
  x.y = detail::per_head_and<bthv<E>>(y, p, s.heads, s.values());
  if constexpr (weights::has_step) detail::set_gate(x.dt, dt, p, s);
  if constexpr (weights::step_has_bias) x.bias = w.dt_bias.value;
  if constexpr (weights::has_rate) x.a = w.a.value;
  if constexpr (weights::has_forget) detail::set_gate(x.forget, forget, p, s);
  if constexpr (weights::has_input) detail::set_gate(x.input, input, p, s);
  if constexpr (weights::is_learned) x.d = w.d.value;
  if constexpr (weights::is_local) {
    const index_t V = s.values(), C = s.channels;
    x.lepe = {w.lepe.weight.data(), {s.heads, V, 3, 3}, {V, 1, 3 * C, C}};
    x.lepe_bias = {w.lepe.bias.data(), {s.heads, V}};
  }
  if constexpr (requires { x.grid; }) x.grid = {p.height, p.width};
  if constexpr (requires { x.gate; }) x.gate = detail::per_head_and<bthv<const E>>(gate, p, s.heads, s.values());

  const status done = in_order([&] { return linear(lent, rows<const E>(u), w.qkv, qkv); },
                               [&] {
                                 if constexpr (weights::has_step)
                                   return in_order([&] { return linear(lent, rows<const E>(u), w.dt_down, low); },
                                                   [&] { return linear(lent, rows<const E>(low), w.dt_up, dt); });
                                 else return status{};
                               },
                               [&] {
                                 if constexpr (weights::has_forget)
                                   return linear(lent, rows<const E>(u), w.forget_gate, forget);
                                 else return status{};
                               },
                               [&] {
                                 if constexpr (weights::has_input)
                                   return linear(lent, rows<const E>(u), w.input_gate, input);
                                 else return status{};
                               },
                               [&] { return sextant::forward(design, lent, x); });
  memory.back_to(before);
  return done;
}

}  // namespace sextant::blocks
