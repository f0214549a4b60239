// SPDX-License-Identifier: Apache-2.0
/// @file  What a part of a design is: which distinction it answers, which raw tensor it reads, what it varies over.
#pragma once

#include <type_traits>  // is_trivially_copyable, is_default_constructible, is_same

#include <sextant/config.hpp>

namespace sextant {

/// The six distinctions of Han et al. (NeurIPS 2024, arXiv 2405.16605), and what a design needs besides them.
enum class part {
  input_gate,   ///< 1  I_t, multiplies v
  forget_gate,  ///< 2  F_t, multiplies the state
  shortcut,     ///< 3  added to y from the ungated v
  norm,         ///< 4  what y is divided by
  heads,        ///< 5  which channels share a query and a key
  block,        ///< 6  what stands around the mixer
  feature_map,  ///<    applied to q and k
  position,     ///<    applied to q and k after the map, in the numerator alone
  order,        ///<    which tokens a token sees
  output,       ///<    what multiplies y last
  scale,        ///<    the number in front of q
};
/// How many kinds of part there are.
inline constexpr int part_count = 11;

/// What a tensor varies over besides batch and time.
enum class per {
  nothing,      ///< the same for all: no tensor is read
  head,         ///< [..., H]
  key,          ///< [..., H, K]
  channel,      ///< [..., H, V]
  key_channel,  ///< [..., H, K, V] (a parameter: [H, V, K])
};

/// The coarsest granularity that holds both: a gate of a per-channel tensor and a per-key rate varies over both.
constexpr per join(per x, per y) {
  if (x == per::nothing || x == y) return y;
  if (y == per::nothing) return x;
  if (x == per::head) return y;
  if (y == per::head) return x;
  return per::key_channel;
}

/// Which token tensor a gate reads.
enum class source {
  own,   ///< the tensor named after its distinction, `input` or `forget`, as it stands
  step,  ///< the step size softplus(dt + bias), computed once from the tensor `dt` for every gate that reads it
};

/// A part: a small trivially copyable struct that says which distinction it answers.
///   static constexpr sextant::part answers = sextant::part::forget_gate;
template <class P>
concept component = std::is_trivially_copyable_v<P> && std::is_default_constructible_v<P> && requires {
  P::answers;
  requires std::is_same_v<decltype(P::answers), const part>;
};

namespace detail {

template <class G> consteval per raw_of() {
  if constexpr (requires { G::raw; }) return G::raw;
  else return per::nothing;
}
template <class G> consteval per rate_of() {
  if constexpr (requires { G::rate; }) return G::rate;
  else return per::nothing;
}
template <class G> consteval source source_of() {
  if constexpr (requires { G::reads; }) return G::reads;
  else return source::own;
}
/// A gate that says `static constexpr bool proportional = true` has a logarithm proportional to its rate, log(x, c a) =
/// c log(x, a), so that a change of the logarithm's base costs one multiplication of the rate, not of every gate.
template <class G> consteval bool proportional_of() {
  if constexpr (requires { G::proportional; }) return G::proportional;
  else return false;
}
/// A part that says `static constexpr bool vectorised = true` is also callable with a vector of lanes.
template <class P> consteval bool vectorised_of() {
  if constexpr (requires { P::vectorised; }) return P::vectorised;
  else return false;
}

/// A gate that says `static constexpr bool time_invariant = true` is that of a state space which is the same for every
/// token: it reads no token, and neither do the design's keys and queries, which are the parameters b and c.
template <class G> consteval bool time_invariant_of() {
  if constexpr (requires { G::time_invariant; }) return G::time_invariant;
  else return false;
}

}  // namespace detail

/// What a gate's value varies over: its raw tensor and its learned rate together.
template <class Gate> inline constexpr per granularity = join(detail::raw_of<Gate>(), detail::rate_of<Gate>());
/// What the raw token tensor of a gate varies over; per::nothing where it reads none.
template <class Gate> inline constexpr per raw_granularity = detail::raw_of<Gate>();
/// What the learned parameter `a` of a gate varies over; per::nothing where it takes none.
template <class Gate> inline constexpr per rate_granularity = detail::rate_of<Gate>();
/// Whether a gate reads the step size (the tensor `dt`) and not a tensor of its own.
template <class Gate>
inline constexpr bool reads_step = detail::raw_of<Gate>() != per::nothing && detail::source_of<Gate>() == source::step;
/// Whether a gate reads the tensor named after its distinction.
template <class Gate>
inline constexpr bool reads_own = detail::raw_of<Gate>() != per::nothing && detail::source_of<Gate>() == source::own;

/// Whether a forget gate is that of a state space with constant a, b and c in place of gates, keys and queries per token.
template <class Gate> inline constexpr bool time_invariant = detail::time_invariant_of<Gate>();

}  // namespace sextant
