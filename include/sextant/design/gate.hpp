// SPDX-License-Identifier: Apache-2.0
/// @file  How a gate is called: its value or its logarithm, from what it offers, for any scalar type.
#pragma once

#include <sextant/design/discretisation.hpp>
#include <sextant/design/part.hpp>
#include <sextant/math/functions.hpp>

namespace sextant {

namespace detail {

// A gate is called with what it reads and nothing else: (), (x), (a) or (x, a).
template <class Gate, class Real> SEXTANT_FN constexpr Real call_value(const Gate& gate, Real x, Real a) {
  constexpr bool reads = raw_granularity<Gate> != per::nothing, rated = rate_granularity<Gate> != per::nothing;
  (void)x, (void)a;
  if constexpr (reads && rated) return gate(x, a);
  else if constexpr (reads) return gate(x);
  else if constexpr (rated) return gate(a);
  else return gate.template operator()<Real>();
}
template <class Gate, class Real> SEXTANT_FN constexpr Real call_log(const Gate& gate, Real x, Real a) {
  constexpr bool reads = raw_granularity<Gate> != per::nothing, rated = rate_granularity<Gate> != per::nothing;
  (void)x, (void)a;
  if constexpr (reads && rated) return gate.log(x, a);
  else if constexpr (reads) return gate.log(x);
  else if constexpr (rated) return gate.log(a);
  else return gate.template log<Real>();
}
template <class Gate, class Real> concept offers_value = requires(const Gate g, Real x) { call_value(g, x, x); } &&
    (requires(const Gate g, Real x) { g(x); } || requires(const Gate g, Real x) { g(x, x); } ||
     requires(const Gate g) { g.template operator()<Real>(); });
template <class Gate, class Real> concept offers_log =
    requires(const Gate g, Real x) { g.log(x); } || requires(const Gate g, Real x) { g.log(x, x); } ||
    requires(const Gate g) { g.template log<Real>(); };

template <class Gate, class Real>
concept offers_discretised = time_invariant<Gate> && rate_granularity<Gate> == per::key_channel &&
    raw_granularity<Gate> == per::nothing && requires(const Gate g, Real delta, complex<Real> a) {
  requires std::is_same_v<decltype(g(delta, a)), discretised<Real>>;
};

}  // namespace detail

/// A gate: callable with what it reads, or offering the logarithm of that.
///   x is its raw number (source::own: as given; source::step: delta = softplus(dt + bias)), a its learned rate.
/// One of a state space that is the same for every token is called with delta = exp(log_dt) and the complex a instead.
template <class G>
concept gate = component<G> &&
    (detail::offers_value<G, double> || detail::offers_log<G, double> || detail::offers_discretised<G, double>);

/// The gate's value, from its call operator or else from exp of its logarithm.
template <class Gate, class Real> SEXTANT_FN constexpr Real gate_value(const Gate& gate, Real x, Real a) {
  if constexpr (detail::offers_value<Gate, Real>) return detail::call_value(gate, x, a);
  else return math::exp(detail::call_log(gate, x, a));
}
/// The gate's natural logarithm, from `log` or else from the logarithm of its value; -inf for a gate of 0.
template <class Gate, class Real> SEXTANT_FN constexpr Real gate_log(const Gate& gate, Real x, Real a) {
  if constexpr (detail::offers_log<Gate, Real>) return detail::call_log(gate, x, a);
  else return math::log(detail::call_value(gate, x, a));
}

}  // namespace sextant
