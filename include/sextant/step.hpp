// SPDX-License-Identifier: Apache-2.0
/// @file  Decode: one token more, the state handed in and out.
#pragma once

#include <sextant/forward.hpp>

namespace sextant {

/// One step of decoding: the token x (tensors of T = 1) and the state before it give y and the state after it, in place.
/// A sequence cut anywhere and continued by steps equals the whole. Cost O(B H K' V): the state is read and written once.
/// The workspace is that of the recurrent form: workspace_bytes(design, form::recurrent{}, on, x).
/// Errors as forward(); errc::shape where T is not 1.
template <class Design, class On, class Precision>
status step(const Design& design, const On& on, sequence_of<Design, Precision> x,
            const state_of<Design, typename Precision::state>& memory) {
  static_assert(!std::is_same_v<typename Design::order_type, order::global>, "step(): a token of order::global sees tokens that are not there yet: decode a causal design");
  static_assert(!detail::is_local<Design>, "step(): shortcut::local reads the neighbours of a pixel: decode a design without it");
  if (x.v.template extent<axis::time>() != 1) return {errc::shape, "step(): the tensors hold one token, T = 1"};
  x.final_state = memory;
  x.initial_state.S = memory.S;
  if constexpr (requires { memory.z; }) x.initial_state.z = memory.z;
  if constexpr (requires { memory.m; }) x.initial_state.m = memory.m;
  return forward(design, form::recurrent{}, on, x);
}

}  // namespace sextant
