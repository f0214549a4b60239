// SPDX-License-Identifier: Apache-2.0
/// @file  What a design says of itself: its parts, the tensors it reads and writes, the forms that run it, its counts.
#pragma once

#include <sextant/design/name.hpp>
#include <sextant/form.hpp>
#include <sextant/tensor/sequence.hpp>

namespace sextant {

/// One of the eleven parts.
struct part_description {
  const char* kind = "";     ///< "input", "forget", ...
  const char* name = "";
  const char* formula = "";  ///< empty where the part gives none
};

/// One tensor of the call. K' is the number of keys of the state (K for pointwise maps).
struct tensor_description {
  const char* name = "";     ///< the member of `sequence`; states as initial_state.S and so on
  const char* shape = "";
  const char* meaning = "";
  bool optional = false;
  bool output = false;
};

/// What `describe` answers. All texts live for ever.
struct design_description {
  static constexpr int most_tensors = 24, most_forms = 5;
  const char* name = "";
  part_description parts[part_count]{};
  tensor_description tensors[most_tensors]{};
  int tensor_count = 0;
  const char* forms[most_forms]{};
  int form_count = 0;

  constexpr void add(tensor_description t) { tensors[tensor_count++] = t; }
  constexpr void add_form(bool runs, const char* form) {
    if (runs) forms[form_count++] = form;
  }
};

namespace detail {
template <per P> constexpr const char* token_shape() {
  switch (P) {
    case per::head: return "[B, T, H]";
    case per::key: return "[B, T, H, K']";
    case per::channel: return "[B, T, H, V]";
    case per::key_channel: return "[B, T, H, K', V]";
    default: return "";
  }
}
template <per P> constexpr const char* parameter_shape() {
  switch (P) {
    case per::head: return "[H]";
    case per::key: return "[H, K']";
    case per::channel: return "[H, V]";
    case per::key_channel: return "[H, V, K']";
    default: return "";
  }
}
template <class Part> constexpr part_description part_of(const char* kind) {
  return {kind, part_name<Part>(), part_formula<Part>()};
}
}  // namespace detail

/// What a design reads, writes and is: the one source of help texts, error texts and the support matrix.
template <class Design> constexpr design_description describe(const Design& design) {
  using D = std::remove_cvref_t<Design>;
  using input_type = typename D::input_type;
  using forget_type = typename D::forget_type;
  design_description r;
  r.name = name(design);
  const part_description parts[] = {
      detail::part_of<input_type>("input"),
      detail::part_of<forget_type>("forget"),
      detail::part_of<typename D::shortcut_type>("shortcut"),
      detail::part_of<typename D::norm_type>("norm"),
      detail::part_of<typename D::heads_type>("heads"),
      detail::part_of<typename D::block_type>("block"),
      detail::part_of<typename D::map_type>("map"),
      detail::part_of<typename D::position_type>("position"),
      detail::part_of<typename D::order_type>("order"),
      detail::part_of<typename D::output_type>("output"),
      detail::part_of<typename D::scale_type>("scale"),
  };
  for (int i = 0; i < part_count; ++i) r.parts[i] = parts[i];

  constexpr per step = detail::step_granularity<D>;
  if (!time_invariant<forget_type>) {
    r.add({"q", "[B, T, Hk, K]", "queries (C of a state space model)"});
    r.add({"k", "[B, T, Hk, K]", "keys (B of a state space model)"});
  }
  r.add({"v", "[B, T, H, V]", "values (x or u of a state space model)"});
  if (time_invariant<forget_type>) {
    r.add({"c", "[H, V, K]", "C, as pairs (re, im)"});
    r.add({"b", "[H, V, K]", "B, as pairs (re, im), 1 if absent", true});
    r.add({"log_dt", "[H, V]", "logarithm of the step size"});
  }
  if (step != per::nothing) {
    r.add({"dt", detail::token_shape<step>(), "raw step size: delta = softplus(dt + bias), the identity above 20"});
    r.add({"bias", detail::parameter_shape<step>(), "bias of the step size, 0 if absent", true});
  }
  if (reads_own<input_type>)
    r.add({"input", detail::token_shape<raw_granularity<input_type>>(), "raw input gate"});
  if (reads_own<forget_type>)
    r.add({"forget", detail::token_shape<raw_granularity<forget_type>>(), "raw forget gate"});
  constexpr per rate = rate_granularity<forget_type>;
  constexpr bool has_default = requires { forget_type::template default_rate<double>(0); };
  if (rate != per::nothing)
    r.add({"a", detail::parameter_shape<rate>(),
           time_invariant<forget_type> ? "A, as pairs (re, im)"
           : has_default               ? "the forget gate's rate, its default if absent"
                                       : "the forget gate's rate",
           has_default});
  if (detail::is_learned<D>) r.add({"d", "[H, V]", "the shortcut's weights"});
  if (detail::is_local<D>) {
    r.add({"lepe", "[H, V, 3, 3]", "weights of the depthwise convolution of v"});
    r.add({"lepe_bias", "[H, V]", "its bias, 0 if absent", true});
  }
  if (detail::is_local<D> || detail::turns_2d<D>)
    r.add({"grid", "{height, width}", "T = height width pixels, row by row"});
  if (detail::turns_1d<D>) r.add({"first_position", "a number", "position of the first token, 0 if absent", true});
  if (detail::has_output_gate<D>) r.add({"gate", "[B, T, H, V]", "the output gate, before silu"});
  r.add({"offsets", "[n + 1]", "packed sequences 0, T_0, T_0 + T_1, ... of B = 1", true});
  r.add({"initial_state.S", "[B, H, K', V]", "state before the first token, 0 if absent", true});
  if (detail::normalises<typename D::norm_type>)
    r.add({"initial_state.z", "[B, H, K']", "normaliser before the first token", true});
  if (detail::stabilises<D>) r.add({"initial_state.m", "[B, H]", "stabiliser before the first token", true});
  r.add({"y", "[B, T, H, V]", "the result", false, true});
  r.add({"final_state.S", "[B, H, K', V]", "state after the last token", true, true});
  if (detail::normalises<typename D::norm_type>)
    r.add({"final_state.z", "[B, H, K']", "normaliser after the last token", true, true});
  if (detail::stabilises<D>) r.add({"final_state.m", "[B, H]", "stabiliser after the last token", true, true});

  r.add_form(form::runs<form::recurrent, D>, form::recurrent::name);
  r.add_form(form::runs<form::scan, D>, form::scan::name);
  r.add_form(form::runs<form::chunked, D>, form::chunked::name);
  r.add_form(form::runs<form::quadratic, D>, form::quadratic::name);
  r.add_form(form::runs<form::global, D>, form::global::name);
  return r;
}

/// The sizes of a problem: B sequences of T tokens, Hk key heads of K keys, H heads of V channels.
struct problem_size {
  index_t B = 1, T = 1, Hk = 1, H = 1, K = 1, V = 1;
};

/// What a call costs whatever form runs it.
struct operation_counts {
  index_t parameters = 0;  ///< numbers in bias, a, d, lepe and lepe_bias
  index_t macs = 0;        ///< multiply-accumulates
  index_t exps = 0;        ///< exponentials and logarithms of gates and maps
  index_t bytes = 0;       ///< of the token tensors and y, each once
};

/// The counts of a design. Multiply-accumulates by the literature's rule: 2 K' V per token and head for update and read
/// (9 K' V where the gate varies over keys and channels, as the vision papers count a selective scan; 4 K' V for pairs that
/// are turned by a constant), K' for a normaliser, V for the shortcut d and for the output gate, 9 V for the local one.
template <class Precision = fp32, class Design> constexpr operation_counts count(const Design&, problem_size s) {
  using D = Design;
  using input_type = typename D::input_type;
  using forget_type = typename D::forget_type;
  const index_t W = state_width<typename D::map_type>(s.K), N = s.B * s.T * s.H;
  const auto over = [&](per p) {
    return p == per::nothing ? 0 : p == per::head ? 1 : p == per::key ? W : p == per::channel ? s.V : W * s.V;
  };
  constexpr per step = detail::step_granularity<D>, gate = granularity<forget_type>;
  constexpr bool invariant = time_invariant<forget_type>;
  operation_counts c;
  c.parameters = s.H * (over(step) + over(rate_granularity<forget_type>)) + (invariant ? s.H * (s.V + 2 * over(gate)) : 0) +
                 (detail::is_learned<D> ? s.H * s.V : 0) + (detail::is_local<D> ? 10 * s.H * s.V : 0);
  c.macs = N * ((invariant ? 4 : gate == per::key_channel ? 9 : 2) * W * s.V + (detail::normalises<typename D::norm_type> ? W : 0) +
                (detail::is_learned<D> || detail::has_output_gate<D> ? s.V : 0) +
                (detail::is_learned<D> && detail::has_output_gate<D> ? s.V : 0) + (detail::is_local<D> ? 9 * s.V : 0));
  const bool constant_gate = raw_granularity<forget_type> == per::nothing;
  c.exps = N * (2 * over(step) + (constant_gate ? 0 : over(gate)) +
                (reads_own<input_type> ? over(raw_granularity<input_type>) : 0) +
                (detail::has_output_gate<D> ? s.V : 0));
  if (std::is_same_v<typename D::map_type, map::elu_plus_one>) c.exps += 2 * s.B * s.T * s.Hk * s.K;
  c.bytes = index_t(sizeof(typename Precision::token)) *
            ((invariant ? 0 : 2 * s.B * s.T * s.Hk * s.K) + 2 * N * s.V +
             N * (over(step) + (reads_own<input_type> ? over(raw_granularity<input_type>) : 0) +
                  (reads_own<forget_type> ? over(raw_granularity<forget_type>) : 0) +
                  (detail::has_output_gate<D> ? s.V : 0)));
  return c;
}

}  // namespace sextant
