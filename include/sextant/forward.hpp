// SPDX-License-Identifier: Apache-2.0
/// @file  The forward pass: the one verb that most callers need.
#pragma once

#include <sextant/form.hpp>
#include <sextant/status.hpp>
#include <sextant/tensor/sequence.hpp>

namespace sextant {

namespace detail {
template <class Form, class Design> constexpr void check_form() {
  if constexpr (std::is_same_v<Form, form::global>)
    static_assert(form::runs<Form, Design>, "form::global runs designs of order::global alone");
  else if constexpr (std::is_same_v<Form, form::chunked>)
    static_assert(form::runs<Form, Design>, "form::chunked runs causal and reversed designs whose forget gate does not vary over channels: use form::recurrent or form::scan");
  else if constexpr (std::is_same_v<Form, form::scan>)
    static_assert(form::runs<Form, Design>, "form::scan runs causal and reversed designs with gates of tokens and without abs_max's stabiliser: use form::recurrent");
  else if constexpr (std::is_same_v<Form, form::quadratic>)
    static_assert(form::runs<Form, Design>, "form::quadratic runs designs with queries and keys of tokens: use form::chunked or form::recurrent");
  else
    static_assert(form::runs<Form, Design>, "no form of this name: automatic, recurrent, scan, chunked, quadratic, global");
}
template <class On, class Design, class Form, class Precision>
concept computes = requires(const On on, const Design design, const Form form, const sequence_of<Design, Precision> x) {
  compute(design, form, on, x);
};
}  // namespace detail

/// Computes y and the final state of a call in the form asked for.
///   S_t = F_t (.) S_{t-1} + phi(k_t)^T (I_t (.) v_t),  y_t = (scale phi(q_t) S_t) / (phi(q_t) z_t + eps, or 1) + shortcut
/// Shapes: q, k [B, T, Hk, K], v, y [B, T, H, V], S [B, H, K', V]; any of them may be 0 or 1. y and the final state
/// overlap nothing else, but the final state may be the initial one (in place).
/// Answers an error, having written nothing, where a tensor is missing or misshapen or the workspace too small.
/// Allocates nothing; the same call gives the same bits every time. Cost: `describe(design)` and docs/04_performance.md.
template <class Design, class Form, class On, class Precision>
status forward(const Design& design, const Form& form, const On& on, const sequence_of<Design, Precision>& x) {
  detail::check_form<Form, Design>();
  constexpr bool included = detail::computes<On, Design, Form, Precision>;
  static_assert(included, "no backend of this name is included: cpu::serial and cpu::parallel are in <sextant/sextant.hpp>, gpu::stream in <sextant/cuda/forward.cuh>");
  if constexpr (included && form::runs<Form, Design>) return compute(design, form, on, x);
  else return {};
}
/// The same in the form that the backend finds fastest.
template <class Design, class On, class Precision>
status forward(const Design& design, const On& on, const sequence_of<Design, Precision>& x) {
  return forward(design, form::automatic{}, on, x);
}

/// Bytes of workspace that forward() needs for these shapes. They grow with the number of tokens for second order on a
/// GPU alone.
template <class Design, class Form, class On, class Precision>
std::size_t workspace_bytes(const Design& design, const Form& form, const On& on, const sequence_of<Design, Precision>& x) {
  return bytes_to_compute(design, form, on, x);
}
/// The same for the form that the backend finds fastest.
template <class Design, class On, class Precision>
std::size_t workspace_bytes(const Design& design, const On& on, const sequence_of<Design, Precision>& x) {
  return bytes_to_compute(design, form::automatic{}, on, x);
}

/// The name of the form that forward() takes for these shapes.
template <class Design, class On, class Precision>
const char* chosen_form(const Design& design, const On& on, const sequence_of<Design, Precision>& x) {
  return form_to_compute(design, form::automatic{}, on, x);
}

}  // namespace sextant
