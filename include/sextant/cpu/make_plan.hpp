// SPDX-License-Identifier: Apache-2.0
/// @file  From a design and its tensors to a plan: binds every tensor, refusing what does not fit, and every part.
#pragma once

#include <sextant/cpu/rows.hpp>
#include <sextant/tensor/sequence.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// The first thing wrong with a call.
struct binder {
  status found{};

  void refuse(errc code, const char* what) {
    if (found) found = status{code, what};
  }

  template <class Real, class E, class... Axes>
  static tensor<Real> tensor_of(const view<E, Axes...>& x) {
    using stored = std::remove_const_t<E>;
    constexpr index_t bytes = index_t(sizeof(stored));
    tensor<Real> r;
    // A plan holds inputs and outputs alike; inputs are only ever read.
    r.data = reinterpret_cast<std::byte*>(const_cast<stored*>(x.data()));
    r.element = bytes;
    r.load = &load_row<stored, Real>;
    r.store = &store_row<stored, Real>;
    const auto take = [&x](index_t& to, int at) {
      if (at >= 0) to = x.stride(at) * bytes;
    };
    take(r.batch, sextant::detail::position_of<axis::batch, Axes...>());
    take(r.time, sextant::detail::position_of<axis::time, Axes...>());
    take(r.head, sextant::detail::position_of<axis::head, Axes...>());
    take(r.key, sextant::detail::position_of<axis::key, Axes...>());
    take(r.value, sextant::detail::position_of<axis::value, Axes...>());
    return r;
  }

  /// Binds a tensor of the given extents; an empty one may lack data.
  template <class Real, class View, class... Extents>
  [[gnu::noinline]] void bind(tensor<Real>& to, const View& x, const char* absent, const char* misshapen, Extents... extents) {
    to = tensor_of<Real>(x);
    const index_t expected[] = {index_t(extents)...};
    index_t size = 1;
    for (index_t e : expected) size *= e;
    if (x.data() == nullptr) {
      if (size != 0) refuse(errc::missing, absent);
      return;
    }
    for (int r = 0; r < View::rank; ++r)
      if (x.extent(r) != expected[r]) refuse(errc::shape, misshapen);
  }
  /// The same for a tensor that may be left out.
  template <class Real, class View, class... Extents>
  [[gnu::noinline]] void bind_optional(tensor<Real>& to, const View& x, const char* misshapen, Extents... extents) {
    if (x.data() != nullptr) bind(to, x, "", misshapen, extents...);
  }
  /// A raw gate tensor or step size: its axes are those of `varies`.
  template <per Varies, class Real, class View>
  void bind_raw(tensor<Real>& to, const View& x, const plan<Real>& p, index_t B, const char* absent,
                const char* misshapen) {
    if constexpr (Varies == per::head) bind(to, x, absent, misshapen, B, p.tokens, p.heads);
    else if constexpr (Varies == per::key) bind(to, x, absent, misshapen, B, p.tokens, p.heads, p.width);
    else if constexpr (Varies == per::channel) bind(to, x, absent, misshapen, B, p.tokens, p.heads, p.values);
    else bind(to, x, absent, misshapen, B, p.tokens, p.heads, p.width, p.values);
  }
};

/// Sequences from offsets: they rise from 0 to the number of tokens.
template <class Real> [[gnu::noinline]] void bind_offsets(binder& bind, plan<Real>& p, const view<const index_t, axis::sequence>& offsets) {
  if (!offsets) return;
  const index_t last = offsets.size() - 1;
  if (last < 0 || p.sequences != 1) {
    bind.refuse(errc::offsets, "offsets: packed sequences need at least one number and token tensors of batch 1");
    return;
  }
  for (index_t n = 0; n < last; ++n)
    if (offsets(n) > offsets(n + 1)) bind.refuse(errc::offsets, "offsets: they must not fall");
  if (offsets(0) != 0 || offsets(last) != p.tokens)
    bind.refuse(errc::offsets, "offsets: the first is 0 and the last the number of tokens");
  p.sequences = last;
  p.offsets = offsets.data();
  p.offsets_stride = offsets.stride(0);
}

template <class Gate, class Real> [[gnu::noinline]] void plan_gate(gate_plan<Real>& to, const Gate& gate) {
  to.part = &gate;
  to.value = &gate_box<Gate, Real, false>;
  to.logarithm = &gate_box<Gate, Real, true>;
  to.is_one = std::is_same_v<Gate, input::one> || std::is_same_v<Gate, forget::one>;
  // A gate that reads nothing and yet is not 1 is one number per head.
  to.varies = granularity<Gate> == per::nothing && !to.is_one ? per::head : granularity<Gate>;
  to.raw_varies = raw_granularity<Gate>;
  to.rate_varies = rate_granularity<Gate>;
  to.from_step = reads_step<Gate>;
}

/// The plan of a call. It points into `design` and `x`, which must outlive it. Where something does not fit, `found`
/// says what, and the plan must not be run.
template <class Design, class Precision>
plan<typename Precision::accumulator> make_plan(const Design& design, const sequence_of<Design, Precision>& x,
                                                status& found) {
  using Real = typename Precision::accumulator;
  using map_type = typename Design::map_type;
  plan<Real> p;
  binder bind;

  const index_t B = x.v.template extent<axis::batch>();
  p.sequences = B;
  p.tokens = x.v.template extent<axis::time>();
  p.heads = x.v.template extent<axis::head>();
  p.values = x.v.template extent<axis::value>();
  p.key_heads = x.k.template extent<axis::head>();
  p.keys = x.k.template extent<axis::key>();
  p.width = state_width<map_type>(p.keys);
  // The shapes are those of v and k, so without them nothing else could be said of a shape.
  if (!x.v && x.y.size() != 0) bind.refuse(errc::missing, "v is missing");
  if (!x.k && x.q.size() != 0) bind.refuse(errc::missing, "k is missing");
  bind.bind(p.v, x.v, "v is missing", "v: [B, T, H, V]", B, p.tokens, p.heads, p.values);
  bind.bind(p.q, x.q, "q is missing", "q: [B, T, Hk, K] as k, with B and T of v", B, p.tokens, p.key_heads, p.keys);
  bind.bind(p.k, x.k, "k is missing", "k: [B, T, Hk, K] with B and T of v", B, p.tokens, p.key_heads, p.keys);
  bind.bind(p.y, x.y, "y is missing", "y: [B, T, H, V] as v", B, p.tokens, p.heads, p.values);
  if (!Design::heads_type::allows(p.key_heads, p.heads)) bind.refuse(errc::shape, Design::heads_type::requirement);
  bind_offsets(bind, p, x.offsets);

  plan_gate(p.input, design.input_gate);
  plan_gate(p.forget, design.forget_gate);
  p.step_varies = sextant::detail::step_granularity<Design>;
  if constexpr (sextant::detail::step_granularity<Design> != per::nothing) {
    bind.template bind_raw<sextant::detail::step_granularity<Design>>(
        p.dt, x.dt, p, B, "dt is missing", "dt: [B, T, H] for a step per head, [B, T, H, V] per channel");
    if constexpr (sextant::detail::step_granularity<Design> == per::head)
      bind.bind_optional(p.bias, x.bias, "bias: [H] as dt varies per head", p.heads);
    else
      bind.bind_optional(p.bias, x.bias, "bias: [H, V] as dt varies per channel", p.heads, p.values);
  }
  if constexpr (reads_own<typename Design::input_type>)
    bind.template bind_raw<raw_granularity<typename Design::input_type>>(
        p.input.raw, x.input, p, B, "input is missing", "input: [B, T, H] or [B, T, H, V], as the input gate varies");
  if constexpr (reads_own<typename Design::forget_type>)
    bind.template bind_raw<raw_granularity<typename Design::forget_type>>(
        p.forget.raw, x.forget, p, B, "forget is missing",
        "forget: [B, T, H], then K' or V or both, as the forget gate varies (K' keys of the state)");
  constexpr per rate = rate_granularity<typename Design::forget_type>;
  if constexpr (rate != per::nothing) {
    constexpr const char *absent = "a is missing", *misshapen = "a: [H], [H, K'], [H, V] or [H, V, K'], as the rate varies";
    if constexpr (requires { Design::forget_type::template default_rate<Real>(0); })
      p.default_rate = &Design::forget_type::template default_rate<Real>;
    if (p.default_rate == nullptr || x.a) {
      if constexpr (rate == per::head) bind.bind(p.a, x.a, absent, misshapen, p.heads);
      else if constexpr (rate == per::key) bind.bind(p.a, x.a, absent, misshapen, p.heads, p.width);
      else if constexpr (rate == per::channel) bind.bind(p.a, x.a, absent, misshapen, p.heads, p.values);
      else bind.bind(p.a, x.a, absent, misshapen, p.heads, p.values, p.width);
    }
  }

  if constexpr (sextant::detail::is_learned<Design>)
    bind.bind(p.d, x.d, "d is missing", "d: [H, V]", p.heads, p.values);
  if constexpr (sextant::detail::is_local<Design>) {
    bind.bind(p.lepe, x.lepe, "lepe is missing", "lepe: [H, V, 3, 3]", p.heads, p.values, 3, 3);
    bind.bind_optional(p.lepe_bias, x.lepe_bias, "lepe_bias: [H, V]", p.heads, p.values);
    p.lepe_row = x.lepe.template stride<axis::row>() * p.lepe.element;
    p.lepe_column = x.lepe.template stride<axis::column>() * p.lepe.element;
  }
  if constexpr (sextant::detail::is_local<Design> || sextant::detail::turns_2d<Design>) {
    p.grid_height = x.grid.height;
    p.grid_width = x.grid.width;
    if (p.grid_height < 0 || p.grid_width < 0) bind.refuse(errc::shape, "grid: its sides are not negative");
    for (index_t n = 0; n < p.sequences && bind.found; ++n)
      if (p.length(n) != p.grid_height * p.grid_width)
        bind.refuse(errc::shape, "grid: height times width is the number of tokens of every sequence");
  }
  if constexpr (sextant::detail::has_output_gate<Design>)
    bind.bind(p.output_gate, x.gate, "gate is missing", "gate: [B, T, H, V] as v", B, p.tokens, p.heads, p.values);

  if constexpr (!std::is_same_v<map_type, map::identity>) {
    p.map = &design.feature_map;
    p.apply_map = &map_row<map_type, Real>;
    p.map_expands = sextant::detail::expanding_map<map_type>;
    if constexpr (sextant::detail::expanding_map<map_type> && requires { design.feature_map.product(Real(1)); })
      p.map_product = &map_product_row<map_type, Real>;
    p.key_scale = key_scale<Real>(design.feature_map, p.keys);
  }
  if constexpr (sextant::detail::turns_1d<Design>) {
    p.position = position_kind::rotary_1d;
    p.rotary_base = design.position.base;
    p.first_position = x.first_position;
    if (p.width % 2 != 0) bind.refuse(errc::shape, "position::rotary_1d turns pairs: the number of keys is even");
  }
  if constexpr (sextant::detail::turns_2d<Design>) {
    p.position = position_kind::rotary_2d;
    p.rotary_base = design.position.base;
    if (p.width % 2 != 0 || p.key_heads * p.width % 4 != 0)
      bind.refuse(errc::shape, "position::rotary_2d turns pairs by row and by column: Hk K is a multiple of 4, K even");
  }
  using order_type = typename Design::order_type;
  p.order = std::is_same_v<order_type, order::global>     ? order_kind::global
            : std::is_same_v<order_type, order::reversed> ? order_kind::reversed : order_kind::causal;
  p.scale = Real(design.scale(p.keys));

  constexpr const char *absent_z = "the normaliser z of the initial state is missing",
                       *absent_m = "the stabiliser m of the initial state is missing";
  bind.bind_optional(p.S_in, x.initial_state.S, "initial_state.S: [B, H, K', V], B sequences", p.sequences, p.heads, p.width, p.values);
  bind.bind_optional(p.S_out, x.final_state.S, "final_state.S: [B, H, K', V], B sequences", p.sequences, p.heads, p.width, p.values);
  if constexpr (sextant::detail::normalises<typename Design::norm_type>) {
    p.eps = Real(design.norm.eps);
    bind.bind_optional(p.z_in, x.initial_state.z, "initial_state.z: [B, H, K'], B sequences", p.sequences, p.heads, p.width);
    bind.bind_optional(p.z_out, x.final_state.z, "final_state.z: [B, H, K'], B sequences", p.sequences, p.heads, p.width);
    if (p.S_in && !p.z_in && p.sequences * p.heads * p.width != 0) bind.refuse(errc::missing, absent_z);
    using norm_type = typename Design::norm_type;
    p.norm = std::is_same_v<norm_type, norm::sum>             ? norm_kind::sum
             : std::is_same_v<norm_type, norm::sum_undecayed> ? norm_kind::sum_undecayed
             : std::is_same_v<norm_type, norm::mean>          ? norm_kind::mean : norm_kind::abs_max;
  }
  if constexpr (sextant::detail::stabilises<Design>) {
    bind.bind_optional(p.m_in, x.initial_state.m, "initial_state.m: [B, H], B sequences", p.sequences, p.heads);
    bind.bind_optional(p.m_out, x.final_state.m, "final_state.m: [B, H], B sequences", p.sequences, p.heads);
    if (p.S_in && !p.m_in && p.sequences * p.heads != 0) bind.refuse(errc::missing, absent_m);
  }
  found = bind.found;
  return p;
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
