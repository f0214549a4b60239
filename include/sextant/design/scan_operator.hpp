// SPDX-License-Identifier: Apache-2.0
/// @file  The associative operator: what stretches of tokens do to a state, and how two of them follow one another.
#pragma once

#include <sextant/config.hpp>

namespace sextant {

/// What a stretch of tokens does to a state: S -> F (.) S + S', written (F, S'). One token of a design is
///   (F_t, k_t^T (I_t (.) v_t)),  and of its normaliser (F_t, k_t);
/// `scan_operator` joins stretches, so that a recurrence over T tokens can be cut anywhere and its pieces taken at
/// once.
///
/// The product (.) is that of the numbers themselves, so State and Decay are whatever has + and *: a float, a double, a
/// dual number, a vector of lanes, an array with element-wise arithmetic. Decay may be coarser than State, such as one
/// number for a whole row, if its product with a State is a State.
template <class State, class Decay = State> struct transition {
  Decay F;  ///< what is left of the state before
  State S;  ///< what the stretch makes of a state of zeros

  /// (1, 0): the stretch of no tokens.
  SEXTANT_FN static constexpr transition identity() { return {Decay(1), State(0)}; }
  /// The state after the stretch, from the one before it.
  SEXTANT_FN constexpr State operator()(const State& before) const { return F * before + S; }
};

/// Joins two stretches, the earlier one first:
///   (F1, S1) o (F2, S2) = (F1 F2, F2 S1 + S2).
/// Associative up to rounding, with identity (1, 0); not commutative. A function object, as inclusive scans take it.
/// Cost: two products and a sum of each number.
struct scan_operator {
  template <class State, class Decay>
  SEXTANT_FN constexpr transition<State, Decay> operator()(const transition<State, Decay>& first,
                                                           const transition<State, Decay>& second) const {
    return {first.F * second.F, second.F * first.S + second.S};
  }
};

}  // namespace sextant
