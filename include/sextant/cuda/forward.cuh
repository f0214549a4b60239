// SPDX-License-Identifier: Apache-2.0
/// @file  The GPU's forward pass: the table of its kernel families, and the choice among them.
#pragma once

#include <cstdint>  // uintptr_t

#include <sextant/cuda/chunked_mma.cuh>
#include <sextant/cuda/chunked_wgmma.cuh>
#include <sextant/cuda/decode.cuh>
#include <sextant/cuda/few_keys.cuh>
#include <sextant/cuda/global_mma.cuh>
#include <sextant/cuda/global_sums.cuh>
#include <sextant/cuda/keyed_wgmma.cuh>
#include <sextant/cuda/recurrent.cuh>
#include <sextant/cuda/second_order.cuh>
#include <sextant/cuda/selective.cuh>
#include <sextant/cuda/state_space_chunked.cuh>
#include <sextant/form.hpp>
#include <sextant/forward.hpp>
#include <sextant/step.hpp>

namespace sextant::gpu {

/// Families of kernels in order of preference: the first that runs the design, is of the form asked for and takes the
/// shapes computes a call. What a family is:
///   static constexpr const char* form                 the form's name
///   template <Design, Precision> runs                 whether it runs a design, by types alone
///   takes(design, x)                                  whether it takes these sizes, strides and this device
///   workspace_bytes(design, x), run(design, x, on)
template <class... Families> struct family_table {};
/// The families of this backend.
using families = family_table<decode, chunked_wgmma, keyed_wgmma, second_order, selective, few_keys, chunked_mma,
                              global_mma, global_sums, recurrent>;
/// Those for state spaces that are the same for every token.
using time_invariant_families = family_table<state_space_chunked, state_space>;

/// The families that may answer for a form. form::scan's is in <sextant/cuda/scan.cuh>, which defines this for it.
template <class Form> struct families_of {
  using type = families;
};
template <> struct families_of<form::scan>;

namespace detail {

consteval bool same_text(const char* x, const char* y) {
  while (*x != '\0' && *x == *y) ++x, ++y;
  return *x == *y;
}
/// Whether a family may answer for a form: all of them for automatic, else those of its name. The plain recurrence sums a
/// global design's state first and queries it then, which is the global form. A single token's kernels answer for
/// form::recurrent alone, by which step() calls them: a forward() of sequences need not be compiled with them.
template <class Family, class Form> consteval bool answers_for() {
  if (std::is_same_v<Form, form::automatic>) return !std::is_same_v<Family, decode>;
  if (std::is_same_v<Form, form::global> && std::is_same_v<Family, recurrent>) return true;
  return same_text(Family::form, Form::name);
}

/// Sees to it that the form is one that a GPU has, and answers its families.
template <class Form, class Design> constexpr auto families_for() {
  constexpr bool included = requires { typename families_of<Form>::type; };
  static_assert(included, "form::scan on gpu::stream is in <sextant/cuda/scan.cuh>, which includes CUB: include it too");
  static_assert(!std::is_same_v<Form, form::quadratic>, "gpu::stream has no form::quadratic: use form::automatic, or cpu::parallel");
  if constexpr (time_invariant<typename Design::forget_type>) return time_invariant_families{};
  else if constexpr (included) return typename families_of<Form>::type{};
  else return family_table<>{};
}

/// visit(family) for the family that computes a call; `otherwise` where there is none.
template <class Form, class Design, class Precision, class Answer, class Visit>
Answer with_family(family_table<>, const Design&, const sequence_of<Design, Precision>&, const Answer& otherwise,
                   const Visit&) {
  return otherwise;
}
template <class Form, class Design, class Precision, class Answer, class Visit, class First, class... Rest>
Answer with_family(family_table<First, Rest...>, const Design& design, const sequence_of<Design, Precision>& x,
                   const Answer& otherwise, const Visit& visit) {
  if constexpr (answers_for<First, Form>() && First::template runs<Design, Precision>)
    if (First::takes(design, x)) return visit(First{});
  return with_family<Form>(family_table<Rest...>{}, design, x, otherwise, visit);
}

}  // namespace detail

/// Found by forward() through the backend's namespace.
template <class Design, class Form, class Precision>
status compute(const Design& design, const Form&, const stream& on, const sequence_of<Design, Precision>& x) {
  status found;
  (void)make_call(design, x, found);
  if (!found) return found;
  int device = 0;
  if (const status there = as_status(cudaGetDevice(&device)); !there) return there;
  constexpr bool invariant = time_invariant<typename Design::forget_type>;
  const status refused{errc::unsupported,
                       invariant ? "gpu::stream has this form of a state space for other shapes or precisions alone, and any for at most 512 numbers of a channel's state, 256 in double"
                                 : "gpu::stream has this form for other shapes or precisions alone: form::automatic takes them all"};
  return detail::with_family<Form>(detail::families_for<Form, Design>(), design, x, refused, [&](auto family) -> status {
    if (on.memory.bytes < family.workspace_bytes(design, x))
      return {errc::workspace, "workspace: fewer bytes than workspace_bytes() says"};
    if (reinterpret_cast<std::uintptr_t>(on.memory.data) % 256 != 0)
      return {errc::workspace, "workspace: on a GPU it begins at a multiple of 256 bytes"};
    return family.run(design, x, on);
  });
}
/// Found by workspace_bytes().
template <class Design, class Form, class Precision>
std::size_t bytes_to_compute(const Design& design, const Form&, const stream&, const sequence_of<Design, Precision>& x) {
  return detail::with_family<Form>(detail::families_for<Form, Design>(), design, x, std::size_t(0),
                                   [&](auto family) { return family.workspace_bytes(design, x); });
}
/// Found by chosen_form().
template <class Design, class Form, class Precision>
const char* form_to_compute(const Design& design, const Form&, const stream&, const sequence_of<Design, Precision>& x) {
  const char* const none = "none";
  return detail::with_family<Form>(detail::families_for<Form, Design>(), design, x, none,
                                   [&](auto family) -> const char* { return family.form; });
}

}  // namespace sextant::gpu
