// SPDX-License-Identifier: Apache-2.0
/// @file  From a design and its tensors to a call: binds every tensor, refusing what does not fit.
#pragma once

#include <sextant/call/call.hpp>
#include <sextant/status.hpp>
#include <sextant/tensor/sequence.hpp>

namespace sextant {

namespace detail {
/// Whether a forget gate knows its rates where the caller gives none: `static Real default_rate<Real>(index_t head)`.
template <class Gate> inline constexpr bool has_default_rate = requires { Gate::template default_rate<double>(0); };
}  // namespace detail

namespace detail {
using stride_member = index_t tensor_place::*;

/// Which stride of a tensor_place an axis has; none for the taps of lepe.
template <class Axis> consteval stride_member stride_along() {
  if (std::is_same_v<Axis, axis::batch>) return &tensor_place::batch;
  if (std::is_same_v<Axis, axis::time>) return &tensor_place::time;
  if (std::is_same_v<Axis, axis::head>) return &tensor_place::head;
  if (std::is_same_v<Axis, axis::key>) return &tensor_place::key;
  return std::is_same_v<Axis, axis::value> ? &tensor_place::value : nullptr;
}

/// A view with its types forgotten, so that one function binds them all.
struct any_view {
  std::byte* data;
  const index_t *extents, *strides;     // [rank]
  const stride_member* along;           // [rank]: stride_along of its axes
  int rank;
  index_t element;  // bytes
};
template <class E, class... Axes> any_view forget_types(const view<E, Axes...>& x) {
  static constexpr stride_member along[] = {stride_along<Axes>()...};
  using stored = std::remove_const_t<E>;
  // A call holds inputs and outputs alike; inputs are only ever read.
  return {reinterpret_cast<std::byte*>(const_cast<stored*>(x.data())),
          x.extents(),
          x.strides(),
          along,
          int(sizeof...(Axes)),
          index_t(sizeof(stored))};
}

/// Where the numbers of `x` lie, and the first thing wrong with it; an empty tensor may lack data.
[[gnu::noinline]] inline void bind_place(tensor_place& to, const any_view& x, const index_t* expected, status& found,
                                         const char* absent, const char* misshapen) {
  to.data = x.data;
  to.element = x.element;
  index_t size = 1;
  bool fits = true;
  for (int r = 0; r < x.rank; ++r) {
    if (x.along[r] != nullptr) to.*x.along[r] = x.strides[r] * x.element;
    size *= expected[r];
    fits = fits && x.extents[r] == expected[r];
  }
  const bool lacks = x.data == nullptr;
  if (!found || (lacks ? size == 0 : fits)) return;
  found = lacks ? status{errc::missing, absent} : status{errc::shape, misshapen};
}
}  // namespace detail

/// The first thing wrong with a call. `Backend` says what its tensors need besides their place:
///   template <class Stored, class Tensor> static void read_as(Tensor&)
/// and whether the numbers of `offsets` can be read here and now:
///   static constexpr bool sees_offsets
template <class Backend> struct binder {
  status found{};

  void refuse(errc code, const char* what) {
    if (found) found = status{code, what};
  }

  /// Binds a tensor of the given extents; an empty one may lack data.
  template <class Tensor, class View, class... Extents>
  void bind(Tensor& to, const View& x, const char* absent, const char* misshapen, Extents... extents) {
    Backend::template read_as<std::remove_const_t<typename View::element_type>>(to);
    const index_t expected[] = {index_t(extents)...};
    static_assert(sizeof...(extents) == View::rank);
    detail::bind_place(to, detail::forget_types(x), expected, found, absent, misshapen);
  }
  /// The same for a tensor that may be left out.
  template <class Tensor, class View, class... Extents>
  void bind_optional(Tensor& to, const View& x, const char* misshapen, Extents... extents) {
    if (x.data() != nullptr) bind(to, x, "", misshapen, extents...);
  }
  /// A raw gate tensor or step size: its axes are those of `varies`.
  template <per Varies, class Real, class Tensor, class View>
  void bind_raw(Tensor& to, const View& x, const call<Real, Tensor>& p, index_t B, const char* absent,
                const char* misshapen) {
    if constexpr (Varies == per::head) bind(to, x, absent, misshapen, B, p.tokens, p.heads);
    else if constexpr (Varies == per::key) bind(to, x, absent, misshapen, B, p.tokens, p.heads, p.width);
    else if constexpr (Varies == per::channel) bind(to, x, absent, misshapen, B, p.tokens, p.heads, p.values);
    else bind(to, x, absent, misshapen, B, p.tokens, p.heads, p.width, p.values);
  }
};

/// Sequences from offsets: they rise from 0 to the number of tokens.
template <class Backend, class Real, class Tensor>
[[gnu::noinline]] void bind_offsets(binder<Backend>& bind, call<Real, Tensor>& p,
                                    const view<const index_t, axis::sequence>& offsets) {
  if (!offsets) return;
  const index_t last = offsets.size() - 1;
  if (last < 0 || p.sequences != 1) {
    bind.refuse(errc::offsets, "offsets: packed sequences need at least one number and token tensors of batch 1");
    return;
  }
  if constexpr (Backend::sees_offsets) {
    for (index_t n = 0; n < last; ++n)
      if (offsets(n) > offsets(n + 1)) bind.refuse(errc::offsets, "offsets: they must not fall");
    if (offsets(0) != 0 || offsets(last) != p.tokens)
      bind.refuse(errc::offsets, "offsets: the first is 0 and the last the number of tokens");
  }
  p.sequences = last;
  p.offsets = offsets.data();
  p.offsets_stride = offsets.stride(0);
}

/// Queries and keys of tokens.
template <class Backend, class Real, class Tensor, class Sequence>
void bind_keys(binder<Backend>& bind, call<Real, Tensor>& p, const Sequence& x, index_t B) {
  p.key_heads = x.k.template extent<axis::head>();
  p.keys = x.k.template extent<axis::key>();
  if (!x.k && x.q.size() != 0) bind.refuse(errc::missing, "k is missing");
  bind.bind(p.q, x.q, "q is missing", "q: [B, T, Hk, K] as k, with B and T of v", B, p.tokens, p.key_heads, p.keys);
  bind.bind(p.k, x.k, "k is missing", "k: [B, T, Hk, K] with B and T of v", B, p.tokens, p.key_heads, p.keys);
}
/// The parameters c and b that take their place, and the step size.
template <class Backend, class Real, class Tensor, class Sequence>
void bind_state_space(binder<Backend>& bind, call<Real, Tensor>& p, const Sequence& x) {
  p.key_heads = p.heads;
  p.keys = x.c.template extent<axis::key>();
  if (!x.c && x.a.size() != 0) bind.refuse(errc::missing, "c is missing");
  bind.bind(p.q, x.c, "c is missing", "c: [H, V, K] with H and V of v", p.heads, p.values, p.keys);
  bind.bind_optional(p.k, x.b, "b: [H, V, K] as c", p.heads, p.values, p.keys);
  bind.bind(p.log_dt, x.log_dt, "log_dt is missing", "log_dt: [H, V] of v", p.heads, p.values);
  if (p.keys % 2 != 0) bind.refuse(errc::shape, "c: [H, V, K] of pairs (re, im), so K is even");
}

/// The tensors of a call, which point into those of `x`. Where something does not fit, `found` says what, and the call must
/// not be run.
template <class Backend, class Design, class Precision, class Tensor>
void bind_call(call<typename Precision::accumulator, Tensor>& p, const Design& design,
               const sequence_of<Design, Precision>& x, status& found) {
  using Real = typename Precision::accumulator;
  binder<Backend> bind;

  const index_t B = x.v.template extent<axis::batch>();
  p.sequences = B;
  p.tokens = x.v.template extent<axis::time>();
  p.heads = x.v.template extent<axis::head>();
  p.values = x.v.template extent<axis::value>();
  // The shapes are those of v and k, so without them nothing else could be said of a shape.
  if (!x.v && x.y.size() != 0) bind.refuse(errc::missing, "v is missing");
  bind.bind(p.v, x.v, "v is missing", "v: [B, T, H, V]", B, p.tokens, p.heads, p.values);
  if constexpr (time_invariant<typename Design::forget_type>) bind_state_space(bind, p, x);
  else bind_keys(bind, p, x, B);
  p.width = state_width<typename Design::map_type>(p.keys);
  bind.bind(p.y, x.y, "y is missing", "y: [B, T, H, V] as v", B, p.tokens, p.heads, p.values);
  if (!Design::heads_type::allows(p.key_heads, p.heads)) bind.refuse(errc::shape, Design::heads_type::requirement);
  bind_offsets(bind, p, x.offsets);

  p.step_varies = detail::step_granularity<Design>;
  if constexpr (detail::step_granularity<Design> != per::nothing) {
    bind.template bind_raw<detail::step_granularity<Design>>(
        p.dt, x.dt, p, B, "dt is missing", "dt: [B, T, H] for a step per head, [B, T, H, V] per channel");
    if constexpr (detail::step_granularity<Design> == per::head)
      bind.bind_optional(p.bias, x.bias, "bias: [H] as dt varies per head", p.heads);
    else
      bind.bind_optional(p.bias, x.bias, "bias: [H, V] as dt varies per channel", p.heads, p.values);
  }
  if constexpr (reads_own<typename Design::input_type>)
    bind.template bind_raw<raw_granularity<typename Design::input_type>>(
        p.input_raw, x.input, p, B, "input is missing", "input: [B, T, H] or [B, T, H, V], as the input gate varies");
  if constexpr (reads_own<typename Design::forget_type>)
    bind.template bind_raw<raw_granularity<typename Design::forget_type>>(
        p.forget_raw, x.forget, p, B, "forget is missing",
        "forget: [B, T, H], then K' or V or both, as the forget gate varies (K' keys of the state)");
  constexpr per rate = rate_granularity<typename Design::forget_type>;
  if constexpr (rate != per::nothing) {
    constexpr const char *absent = "a is missing", *misshapen = "a: [H], [H, K'], [H, V] or [H, V, K'], as the rate varies";
    if (!detail::has_default_rate<typename Design::forget_type> || x.a) {
      if constexpr (rate == per::head) bind.bind(p.a, x.a, absent, misshapen, p.heads);
      else if constexpr (rate == per::key) bind.bind(p.a, x.a, absent, misshapen, p.heads, p.width);
      else if constexpr (rate == per::channel) bind.bind(p.a, x.a, absent, misshapen, p.heads, p.values);
      else bind.bind(p.a, x.a, absent, misshapen, p.heads, p.values, p.width);
    }
  }

  if constexpr (detail::is_learned<Design>)
    bind.bind(p.d, x.d, "d is missing", "d: [H, V]", p.heads, p.values);
  if constexpr (detail::is_local<Design>) {
    bind.bind(p.lepe, x.lepe, "lepe is missing", "lepe: [H, V, 3, 3]", p.heads, p.values, 3, 3);
    bind.bind_optional(p.lepe_bias, x.lepe_bias, "lepe_bias: [H, V]", p.heads, p.values);
    p.lepe_row = x.lepe.template stride<axis::row>() * p.lepe.element;
    p.lepe_column = x.lepe.template stride<axis::column>() * p.lepe.element;
  }
  if constexpr (detail::is_local<Design> || detail::turns_2d<Design>) {
    p.grid_height = x.grid.height;
    p.grid_width = x.grid.width;
    if (p.grid_height < 0 || p.grid_width < 0) bind.refuse(errc::shape, "grid: its sides are not negative");
    const index_t pixels = p.grid_height * p.grid_width;
    const auto check_length = [&](index_t length) {
      if (length != pixels) bind.refuse(errc::shape, "grid: height times width is the number of tokens of every sequence");
    };
    if (p.offsets != nullptr && Backend::sees_offsets)
      for (index_t n = 0; n < p.sequences && bind.found; ++n) check_length(p.length(n));
    else if (p.sequences != 0) check_length(p.offsets == nullptr ? p.tokens : p.tokens / p.sequences);
  }
  if constexpr (detail::has_output_gate<Design>)
    bind.bind(p.output_gate, x.gate, "gate is missing", "gate: [B, T, H, V] as v", B, p.tokens, p.heads, p.values);

  p.key_scale = key_scale<Real>(design.feature_map, p.keys);
  if constexpr (detail::turns_1d<Design>) {
    p.position = position_kind::rotary_1d;
    p.rotary_base = design.position.base;
    p.first_position = x.first_position;
    if (p.width % 2 != 0) bind.refuse(errc::shape, "position::rotary_1d turns pairs: the number of keys is even");
  }
  if constexpr (detail::turns_2d<Design>) {
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
  if constexpr (detail::normalises<typename Design::norm_type>) {
    p.eps = Real(detail::eps_of(design.norm));
    bind.bind_optional(p.z_in, x.initial_state.z, "initial_state.z: [B, H, K'], B sequences", p.sequences, p.heads, p.width);
    bind.bind_optional(p.z_out, x.final_state.z, "final_state.z: [B, H, K'], B sequences", p.sequences, p.heads, p.width);
    if (p.S_in && !p.z_in && p.sequences * p.heads * p.width != 0) bind.refuse(errc::missing, absent_z);
    using norm_type = typename Design::norm_type;
    p.norm = std::is_same_v<norm_type, norm::sum>             ? norm_kind::sum
             : std::is_same_v<norm_type, norm::sum_undecayed> ? norm_kind::sum_undecayed
             : std::is_same_v<norm_type, norm::mean>          ? norm_kind::mean : norm_kind::abs_max;
  }
  if constexpr (detail::stabilises<Design>) {
    bind.bind_optional(p.m_in, x.initial_state.m, "initial_state.m: [B, H], B sequences", p.sequences, p.heads);
    bind.bind_optional(p.m_out, x.final_state.m, "final_state.m: [B, H], B sequences", p.sequences, p.heads);
    if (p.S_in && !p.m_in && p.sequences * p.heads != 0) bind.refuse(errc::missing, absent_m);
  }
  found = bind.found;
}

}  // namespace sextant
