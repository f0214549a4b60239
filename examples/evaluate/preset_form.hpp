// SPDX-License-Identifier: Apache-2.0
/// @file  From the names of a preset and a form to their types.
#pragma once

#include <sextant/design/name.hpp>
#include <sextant/form.hpp>

#include "options.hpp"
#include "presets.hpp"

namespace evaluate {

template <class Form, class Design, class Run>
void run_if(const Design& design, const Form& as, const options& asked, const Run& run, sextant::status& done) {
  if constexpr (sextant::form::runs<Form, Design>)
    if (asked.form == Form::name) done = run(design, as);
}

/// Answers run(design, form) with the design and the form that the options name. Where there is no `lepe`, a design that
/// has it goes without a shortcut.
template <class Run> sextant::status with_preset(const options& asked, bool has_lepe, const Run& run) {
  namespace form = sextant::form;
  sextant::status done{sextant::errc::unsupported, "no preset of this name in this form"};
  const auto in_its_form = [&](const auto& design) {
    run_if(design, form::automatic{}, asked, run, done);
    run_if(design, form::recurrent{}, asked, run, done);
    run_if(design, form::scan{}, asked, run, done);
    run_if(design, form::chunked{}, asked, run, done);
    run_if(design, form::quadratic{}, asked, run, done);
    run_if(design, form::global{}, asked, run, done);
  };
  for_each_preset([&](const auto& design) {
    if (asked.design != name(design)) return;
    using shortcut = typename std::remove_cvref_t<decltype(design)>::shortcut_type;
    if constexpr (std::is_same_v<shortcut, sextant::shortcut::local>)
      if (!has_lepe) return in_its_form(design.with(sextant::shortcut::none{}));
    in_its_form(design);
  });
  return done;
}

}  // namespace evaluate
