// SPDX-License-Identifier: Apache-2.0
/// @file  The CPU's forward pass: plans the call, chooses the form, hands its items to the backend.
#pragma once

#include <sextant/cpu/make_plan.hpp>
#include <sextant/cpu/recurrent.hpp>
#include <sextant/form.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Bytes of one worker's scratch.
template <class Form, class Real> std::size_t scratch_bytes(const plan<Real>& p, int workers) {
  arena counting;
  const Form form(p, workers, counting);
  return counting.used;
}
template <class Form, class Real> std::size_t form_bytes(const plan<Real>& p, int workers) {
  return std::size_t(workers) * scratch_bytes<Form>(p, workers) + line_bytes;
}

/// Runs every item of a form.
template <class Form, class Real, class On> status run_form(const plan<Real>& p, const On& on) {
  struct context {
    const plan<Real>& p;
    std::byte* memory;
    std::size_t bytes;
    int workers;
  };
  const int team = workers(on);
  const std::size_t each = scratch_bytes<Form>(p, team);
  if (on.memory.bytes < std::size_t(team) * each + line_bytes)
    return {errc::workspace, "workspace: fewer bytes than workspace_bytes() says"};
  context call{p, aligned(on.memory.data), each, team};
  for_each_item(on, Form::items(p, team), &call, [](void* raw, index_t item, int worker) {
    const context& c = *static_cast<const context*>(raw);
    arena memory{c.memory + std::size_t(worker) * c.bytes, 0};
    Form(c.p, c.workers, memory).run(item, c.workers);
  });
  return {};
}

/// One of the forms of this backend, by its public name.
template <class Form, class Real> struct form_of;
template <class Real> struct form_of<form::recurrent, Real> { using type = recurrent<Real>; };

/// Whether the recurrent form beats the design's own on so few tokens.
template <class Real> bool is_short(const plan<Real>& p) { return p.longest() < 16; }

/// Calls `visit` with the public form that runs the design.
template <class Design, class Form, class Real, class Visit>
auto with_form(const Form& form, const plan<Real>& p, const Visit& visit) {
  if constexpr (!std::is_same_v<Form, form::automatic>) return visit(form);
  else return (void)p, visit(form::recurrent{});
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA

namespace sextant::cpu {

/// Found by forward() through the backend's namespace.
template <class Design, class Form, class Precision, class On>
status compute(const Design& design, const Form& form, const On& on, const sequence_of<Design, Precision>& x) {
  using Real = typename Precision::accumulator;
  status found;
  const plan<Real> p = make_plan(design, x, found);
  if (!found) return found;
  return with_form<Design>(form, p, [&](const auto& f) {
    return run_form<typename form_of<std::remove_cvref_t<decltype(f)>, Real>::type>(p, on);
  });
}
template <class Design, class Form, class Precision, class On>
std::size_t bytes_to_compute(const Design& design, const Form& form, const On& on, const sequence_of<Design, Precision>& x) {
  using Real = typename Precision::accumulator;
  status found;
  const plan<Real> p = make_plan(design, x, found);
  return with_form<Design>(form, p, [&](const auto& f) {
    return form_bytes<typename form_of<std::remove_cvref_t<decltype(f)>, Real>::type>(p, workers(on));
  });
}
template <class Design, class Form, class Precision, class On>
const char* form_to_compute(const Design& design, const Form& form, const On&, const sequence_of<Design, Precision>& x) {
  status found;
  const auto p = make_plan(design, x, found);
  return with_form<Design>(form, p, [](const auto& f) { return std::remove_cvref_t<decltype(f)>::name; });
}

}  // namespace sextant::cpu
