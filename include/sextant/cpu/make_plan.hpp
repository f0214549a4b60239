// SPDX-License-Identifier: Apache-2.0
/// @file  From a design and its tensors to the CPU's plan: the tensors are bound, and every part gets its functions.
#pragma once

#include <sextant/call/bind.hpp>
#include <sextant/cpu/rows.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// How this backend's tensors are read, for bind_call().
template <class Real> struct reading_rows {
  static constexpr bool sees_offsets = true;
  template <class Stored> static void read_as(tensor<Real>& to) {
    to.load = &load_row<Stored, Real>;
    to.store = &store_row<Stored, Real>;
  }
};

/// A gate's place in the plan. Only the functions that some form asks for are compiled: its value, its logarithm, or
/// both.
template <class Gate, class Real, bool Value, bool Logarithm>
[[gnu::noinline]] void plan_gate(gate_plan<Real>& to, const Gate& gate) {
  to.part = &gate;
  to.is_one = std::is_same_v<Gate, input::one> || std::is_same_v<Gate, forget::one>;
  if constexpr (Value) to.value = &gate_box<Gate, Real, false>;
  if constexpr (Logarithm) to.logarithm = &gate_box<Gate, Real, true>;
  // A gate that reads nothing and yet is not 1 is one number per head.
  to.varies = granularity<Gate> == per::nothing && !to.is_one ? per::head : granularity<Gate>;
  to.raw_varies = raw_granularity<Gate>;
  to.rate_varies = rate_granularity<Gate>;
  to.from_step = reads_step<Gate>;
}

template <class Gate> discretised<double> discretise_pair(const void* gate, double delta, complex<double> a) {
  return (*static_cast<const Gate*>(gate))(delta, a);
}

/// The plan of a call. It points into `design` and `x`, which must outlive it. Where something does not fit, `found`
/// says what, and the plan must not be run.
template <class Design, class Precision>
plan<typename Precision::accumulator> make_plan(const Design& design, const sequence_of<Design, Precision>& x,
                                                status& found) {
  using Real = typename Precision::accumulator;
  using map_type = typename Design::map_type;
  using forget_type = typename Design::forget_type;
  plan<Real> p;
  bind_call<reading_rows<Real>>(p, design, x, found);
  // abs_max's stabiliser takes logarithms alone; elsewhere they are wanted of decays that one number per token holds.
  using input_type = typename Design::input_type;
  constexpr bool stabilised = std::is_same_v<typename Design::norm_type, norm::abs_max>;
  constexpr bool by_head = granularity<forget_type> == per::nothing || granularity<forget_type> == per::head;
  plan_gate<input_type, Real, !stabilised, stabilised>(p.input, design.input_gate);
  constexpr bool invariant = time_invariant<forget_type>;
  plan_gate<forget_type, Real, !stabilised && !invariant, stabilised || by_head>(p.forget, design.forget_gate);
  if constexpr (invariant) p.discretise = &discretise_pair<forget_type>;
  p.input.raw = p.input_raw;
  p.forget.raw = p.forget_raw;
  if constexpr (sextant::detail::has_default_rate<forget_type>)
    p.default_rate = &forget_type::template default_rate<Real>;
  if constexpr (!std::is_same_v<map_type, map::identity>) {
    p.map = &design.feature_map;
    p.apply_map = &map_row<map_type, Real>;
    p.map_expands = sextant::detail::expanding_map<map_type>;
    if constexpr (sextant::detail::expanding_map<map_type> && requires { design.feature_map.product(Real(1)); })
      p.map_product = &map_product_row<map_type, Real>;
  }
  return p;
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
