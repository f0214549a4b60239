// SPDX-License-Identifier: Apache-2.0
/// @file  A backend whose form and number of threads are known at run time only.
#pragma once

#include <sextant/cpu/instantiate.hpp>

#include "options.hpp"
#ifdef EVALUATE_HAS_CUDA
#include "generic.hpp"
#endif

namespace evaluate {

/// Where and how a call runs: what sextant::forward() takes in place of cpu::serial, cpu::parallel or gpu::stream. It
/// brings its own workspace. The library's backends are types, and so are its forms; this one makes the same plan of the
/// call as they do, in which no type is left but that of the sums, and leaves the rest to a function compiled once. That
/// makes two thousand designs in four precisions a matter of minutes. On a GPU that is the recurrence, which runs them all.
struct machine {
  place where = place::cpu;
  bool recurrent = false;  ///< the recurrent form, whatever the library would choose
};

/// Runs the form of that name.
sextant::status run_named(const sextant::cpu::plan<float>& plan, const char* form, const machine& on);
sextant::status run_named(const sextant::cpu::plan<double>& plan, const char* form, const machine& on);

struct name_of_form {
  template <class Form> const char* operator()(const Form&) const { return Form::name; }
};

/// Found by sextant::forward().
template <class Design, class Precision>
sextant::status compute(const Design& design, const sextant::form::automatic& form, const machine& on,
                        const sextant::sequence_of<Design, Precision>& x) {
  sextant::status found;
#ifdef EVALUATE_HAS_CUDA
  if (on.where == place::cuda) {
    const auto call = sextant::gpu::make_call(design, x, found);
    return found ? run_generic(call, sextant::gpu::choose_parts(design), sextant::form::recurrent::name) : found;
  }
#endif
  const auto plan = sextant::cpu::make_plan(design, x, found);
  if (!found) return found;
  const char* const name =
      on.recurrent ? sextant::form::recurrent::name : sextant::cpu::with_form<Design>(form, plan, name_of_form{});
  return run_named(plan, name, on);
}

}  // namespace evaluate
