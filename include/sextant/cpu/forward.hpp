// SPDX-License-Identifier: Apache-2.0
/// @file  The CPU's forward pass: plans the call, chooses the form, hands its items to the backend.
#pragma once

#include <cstdint>  // uintptr_t

#include <sextant/cpu/chunked.hpp>
#include <sextant/cpu/global.hpp>
#include <sextant/cpu/make_plan.hpp>
#include <sextant/cpu/quadratic.hpp>
#include <sextant/cpu/recurrent.hpp>
#include <sextant/cpu/scan.hpp>
#include <sextant/cpu/state_space.hpp>
#include <sextant/form.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// A form of several phases: its items run in any order and at once, but those of a phase after all of the one before.
/// The workers of such a form share some memory. What a form is:
///   Form(plan, workers, arena& own)                    Form(plan, workers, arena& own, arena& shared)
///   static index_t items(plan, workers)                static index_t items(plan, workers, int phase)
///   void run(index_t item, int workers)                void run(index_t item, int workers, int phase)
///   (static bool alike(plan): short items)             static constexpr int phases
template <class Form> concept phased = requires { Form::phases; };

template <class Form, class Real> Form make_form(const plan<Real>& p, int workers, arena& own, arena& shared) {
  if constexpr (phased<Form>) return Form(p, workers, own, shared);
  else return (void)shared, Form(p, workers, own);
}

/// Bytes of workspace: of one worker's scratch, of what the workers share, and of it all.
struct form_memory {
  std::size_t own = 0, shared = 0, all = 0;
};
template <class Form, class Real> form_memory memory_of(const plan<Real>& p, int workers) {
  arena own, shared;
  (void)make_form<Form>(p, workers, own, shared);
  return {own.used, shared.used, std::size_t(workers) * own.used + shared.used + line_bytes};
}

/// Runs every item of a form.
template <class Form, class Real, class On> status run_form(const plan<Real>& p, const On& on) {
  struct context {
    const plan<Real>& p;
    std::uintptr_t memory;
    form_memory bytes;
    int workers, phase;

    static void run(void* raw, index_t item, int worker) {
      const context& c = *static_cast<const context*>(raw);
      arena shared{c.memory, 0}, own{c.memory + c.bytes.shared + std::size_t(worker) * c.bytes.own, 0};
      Form form = make_form<Form>(c.p, c.workers, own, shared);
      if constexpr (phased<Form>) form.run(item, c.workers, c.phase);
      else form.run(item, c.workers);
    }
  };
  const int team = workers(on);
  const form_memory bytes = memory_of<Form>(p, team);
  if (on.memory.bytes < bytes.all) return {errc::workspace, "workspace: fewer bytes than workspace_bytes() says"};
  context call{p, reinterpret_cast<std::uintptr_t>(aligned(on.memory.data)), bytes, team, 0};
  if constexpr (phased<Form>)
    for (; call.phase < Form::phases; ++call.phase)
      for_each_item(on, Form::items(p, team, call.phase), &call, &context::run);
  else if constexpr (requires { Form::alike(p); })
    for_each_item(on, Form::items(p, team), &call, &context::run, Form::alike(p));
  else for_each_item(on, Form::items(p, team), &call, &context::run);
  return {};
}

/// One of the forms of this backend, by its public name.
template <class Form, class Real> struct form_of;
template <class Real> struct form_of<form::recurrent, Real> { using type = recurrent_form<Real>; };
template <class Real> struct form_of<form::chunked, Real> { using type = chunked<Real>; };
template <class Real> struct form_of<form::scan, Real> { using type = scan<Real>; };
template <class Real> struct form_of<form::quadratic, Real> { using type = quadratic<Real>; };
template <class Real> struct form_of<form::global, Real> { using type = global<Real>; };

/// The same for a time-invariant state space.
template <class Form, class Real> struct invariant_form_of;
template <class Real> struct invariant_form_of<form::recurrent, Real> { using type = state_space<Real, false>; };
template <class Real> struct invariant_form_of<form::chunked, Real> { using type = state_space<Real, true>; };

/// The form that computes a design.
template <class Form, class Design, class Real>
using form_for = typename std::conditional_t<time_invariant<typename Design::forget_type>, invariant_form_of<Form, Real>,
                                             form_of<Form, Real>>::type;

/// Whether the recurrent form beats the design's own on so few tokens.
template <class Real> [[gnu::noinline]] bool is_short(const plan<Real>& p) {
  // The powers of a time-invariant gate are worth their price for many tokens.
  if (p.discretise != nullptr) return p.longest() < 8 || p.sequences * p.longest() < 256;
  return p.longest() < 16;
}

/// Calls `visit` with the public form that runs the design.
template <class Design, class Form, class Real, class Visit>
auto with_form(const Form& form, const plan<Real>& p, const Visit& visit) {
  if constexpr (!std::is_same_v<Form, form::automatic>) return (void)p, visit(form);
  else if constexpr (form::runs<form::chunked, Design>)
    return is_short(p) ? visit(form::recurrent{}) : visit(form::chunked{});
  else if constexpr (form::runs<form::global, Design>) return (void)p, visit(form::global{});
  else return (void)p, visit(form::recurrent{});
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA

namespace sextant::cpu {

/// Found by forward() through the backend's namespace.
template <class Design, class Form, class Precision, class On>
status compute(const Design& design, const Form& form, const On& on, const sequence_of<Design, Precision>& x) {
  using Real = typename Precision::accumulator;
  status found;
  plan<Real> p = make_plan(design, x, found);
  if constexpr (std::is_same_v<Form, form::chunked>) p.chunk_length = form.length;
  if (!found) return found;
  return with_form<Design>(form, p, [&](const auto& f) {
    return run_form<form_for<std::remove_cvref_t<decltype(f)>, Design, Real>>(p, on);
  });
}
template <class Design, class Form, class Precision, class On>
std::size_t bytes_to_compute(const Design& design, const Form& form, const On& on,
                             const sequence_of<Design, Precision>& x) {
  using Real = typename Precision::accumulator;
  status found;
  plan<Real> p = make_plan(design, x, found);
  if constexpr (std::is_same_v<Form, form::chunked>) p.chunk_length = form.length;
  return with_form<Design>(form, p, [&](const auto& f) {
    return memory_of<form_for<std::remove_cvref_t<decltype(f)>, Design, Real>>(p, workers(on)).all;
  });
}
template <class Design, class Form, class Precision, class On>
const char* form_to_compute(const Design& design, const Form& form, const On&,
                            const sequence_of<Design, Precision>& x) {
  status found;
  const auto p = make_plan(design, x, found);
  return with_form<Design>(form, p, [](const auto& f) { return std::remove_cvref_t<decltype(f)>::name; });
}

}  // namespace sextant::cpu
