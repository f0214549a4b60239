// SPDX-License-Identifier: Apache-2.0
/// @file  The list of forms: those that run a design, by the public verb, or on a plan and then compiled once for all designs.
/// What includes this links sextant_forms, which holds the forms: they are compiled there alone.
#pragma once

#include <cstring>      // strcmp
#include <tuple>        // apply, tuple
#include <type_traits>  // is_same, remove_cvref

#include <sextant/cpu/instantiate.hpp>

#include "problem.hpp"

namespace sextant::test {

/// Every form there is.
inline constexpr std::tuple forms{form::automatic{}, form::recurrent{}, form::scan{},
                                  form::chunked{},   form::quadratic{}, form::global{}};

/// visit(form) for the forms that run a design.
template <class Design, class Visit> void each_form(const Visit& visit) {
  std::apply(
      [&](const auto&... form) {
        const auto if_it_runs = [&](const auto& f) {
          using Form = std::remove_cvref_t<decltype(f)>;
          if constexpr (form::runs<Form, Design>) visit(f);
        };
        (if_it_runs(form), ...);
      },
      forms);
}

/// A form that is handed a plan. With `threads` 0 it runs on cpu::serial.
template <class Real> struct planned_form {
  const char* name;
  status (*run)(const cpu::plan<Real>& p, int threads);
};
template <class Planned, class Real, class On> status run_form_on(const cpu::plan<Real>& p, On on) {
  auto memory = poisoned(cpu::memory_of<Planned>(p, cpu::workers(on)).all);
  on.memory = memory;
  return cpu::run_form<Planned>(p, on);
}
template <class Form, class Real, class On> status run_plan_on(const cpu::plan<Real>& p, const On& on) {
  if constexpr (requires { typename cpu::invariant_form_of<Form, Real>::type; })
    if (p.discretise != nullptr) return run_form_on<typename cpu::invariant_form_of<Form, Real>::type>(p, on);
  return run_form_on<typename cpu::form_of<Form, Real>::type>(p, on);
}
template <class Form, class Real> status run_plan(const cpu::plan<Real>& p, int threads) {
  if (threads == 0) return run_plan_on<Form>(p, cpu::serial{});
  return run_plan_on<Form>(p, cpu::parallel{.memory = {}, .threads = threads});
}

/// The forms on plans: what forward() does, without the types of the design, so that a thousand designs cost the compiler
/// no more than one. automatic is chosen by design and so is not among them.
template <class Real, class... Form>
inline constexpr planned_form<Real> planned_list[] = {{Form::name, &run_plan<Form, Real>}...};
template <class Real>
inline constexpr auto& planned_forms = planned_list<Real, form::recurrent, form::scan, form::chunked, form::quadratic, form::global>;
/// Whether the planned forms run a design, in their order.
template <class Design>
inline constexpr bool planned_form_runs[] = {form::runs<form::recurrent, Design>, form::runs<form::scan, Design>,
                                             form::runs<form::chunked, Design>, form::runs<form::quadratic, Design>,
                                             form::runs<form::global, Design>};

}  // namespace sextant::test
