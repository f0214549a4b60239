// SPDX-License-Identifier: Apache-2.0
/// @file  The numbers of a call: what the files hold, in the types of a precision, and what shall be written.
#pragma once

#include <string_view>  // string_view
#include <type_traits>  // remove_const
#include <vector>       // vector

#include <sextant/tensor/sequence.hpp>

#include "options.hpp"

namespace evaluate {

/// A dense array that may be absent, and that may have a copy in a GPU's memory.
template <class Element> struct block {
  std::vector<index_t> shape;
  std::vector<Element> values;
  Element* copy = nullptr;  ///< if there is one, calls are on it
  bool given = false;

  /// Lends the numbers to a tensor of a sequence; one that is absent stays so.
  template <class E, class... Axes> void lend(sextant::view<E, Axes...>& to) {
    static_assert(std::is_same_v<std::remove_const_t<E>, Element>);
    if (!given) return;
    index_t extents[sizeof...(Axes)];
    for (std::size_t i = 0; i < sizeof...(Axes); ++i) extents[i] = shape[i];
    to = {copy != nullptr ? copy : values.data(), extents};
  }
};

/// B sequences of T tokens, Hk key heads of K keys, H heads of V channels; width keys of the state. -1: not yet known.
struct sizes {
  index_t B = -1, T = -1, Hk = -1, K = -1, H = -1, V = -1, width = -1;
};

/// The numbers of a call, under the names of sextant::sequence.
template <class Precision> struct call {
  using token = typename Precision::token;
  using state = typename Precision::state;
  using real = typename Precision::accumulator;

  sizes size;
  block<token> q, k, v, dt, input, forget, gate, y;
  block<real> bias, a, b, c, d, log_dt, lepe, lepe_bias;
  block<state> initial_S, initial_z, initial_m, final_S, final_z, final_m;
  sextant::image_grid grid;

  /// Calls visit(block) with every block, inputs first.
  template <class Visit> void each(const Visit& visit) {
    const auto visit_all = [&visit](auto&... blocks) { (visit(blocks), ...); };
    visit_all(q, k, v, dt, input, forget, gate, bias, a, b, c, d, log_dt, lepe, lepe_bias, initial_S, initial_z, initial_m);
    each_result(visit);
  }
  /// The same with those of the results.
  template <class Visit> void each_result(const Visit& visit) {
    visit(y), visit(final_S), visit(final_z), visit(final_m);
  }

  /// Calls visit(block) with the block of a tensor that `describe` names so; false if there is none.
  template <class Visit> bool with(std::string_view name, const Visit& visit) {
    if (name == "q") return visit(q), true;
    if (name == "k") return visit(k), true;
    if (name == "v") return visit(v), true;
    if (name == "dt") return visit(dt), true;
    if (name == "input") return visit(input), true;
    if (name == "forget") return visit(forget), true;
    if (name == "gate") return visit(gate), true;
    if (name == "y") return visit(y), true;
    if (name == "bias") return visit(bias), true;
    if (name == "a") return visit(a), true;
    if (name == "b") return visit(b), true;
    if (name == "c") return visit(c), true;
    if (name == "d") return visit(d), true;
    if (name == "log_dt") return visit(log_dt), true;
    if (name == "lepe") return visit(lepe), true;
    if (name == "lepe_bias") return visit(lepe_bias), true;
    if (name == "initial_state.S") return visit(initial_S), true;
    if (name == "initial_state.z") return visit(initial_z), true;
    if (name == "initial_state.m") return visit(initial_m), true;
    if (name == "final_state.S") return visit(final_S), true;
    if (name == "final_state.z") return visit(final_z), true;
    if (name == "final_state.m") return visit(final_m), true;
    return false;
  }
};

/// The sequence of a design, every tensor that it has lent by the call.
template <class Design, class Precision> sextant::sequence<Design, Precision> tensors_of(call<Precision>& from) {
  sextant::sequence<Design, Precision> x;
  if constexpr (requires { x.q; }) from.q.lend(x.q), from.k.lend(x.k);
  if constexpr (requires { x.c; }) from.b.lend(x.b), from.c.lend(x.c), from.log_dt.lend(x.log_dt);
  from.v.lend(x.v);
  from.y.lend(x.y);
  if constexpr (requires { x.dt; }) from.dt.lend(x.dt), from.bias.lend(x.bias);
  if constexpr (requires { x.input; }) from.input.lend(x.input);
  if constexpr (requires { x.forget; }) from.forget.lend(x.forget);
  if constexpr (requires { x.a; }) from.a.lend(x.a);
  if constexpr (requires { x.d; }) from.d.lend(x.d);
  if constexpr (requires { x.lepe; }) from.lepe.lend(x.lepe), from.lepe_bias.lend(x.lepe_bias);
  if constexpr (requires { x.grid; }) x.grid = from.grid;
  if constexpr (requires { x.gate; }) from.gate.lend(x.gate);
  from.initial_S.lend(x.initial_state.S);
  from.final_S.lend(x.final_state.S);
  if constexpr (requires { x.final_state.z; })
    from.initial_z.lend(x.initial_state.z), from.final_z.lend(x.final_state.z);
  if constexpr (requires { x.final_state.m; })
    from.initial_m.lend(x.initial_state.m), from.final_m.lend(x.final_state.m);
  return x;
}

}  // namespace evaluate
