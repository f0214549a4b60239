// SPDX-License-Identifier: Apache-2.0
/// @file  The rows one after the other, whatever runs and times them.
#pragma once

#include <algorithm>  // nth_element
#include <cmath>      // fabs, fmax

#include "judge.hpp"
#include "run.hpp"

namespace ablation {

/// Calls visit(form) with the form of that name.
template <class Visit> void with_form(const std::string& name, Visit visit) {
  namespace form = sextant::form;
  if (name == form::recurrent::name) visit(form::recurrent{});
  else if (name == form::scan::name) visit(form::scan{});
  else if (name == form::chunked::name) visit(form::chunked{});
  else if (name == form::quadratic::name) visit(form::quadratic{});
  else if (name == form::global::name) visit(form::global{});
  else visit(form::automatic{});
}

/// The middle one of some times.
inline double median(std::vector<double> times) {
  const auto middle = times.begin() + std::ptrdiff_t(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// max|y - judge| / max|judge|.
template <class Token> double error_of(const std::vector<Token>& y, const std::vector<double>& judge) {
  double most = 0, size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double difference = std::fabs(double(y[i]) - judge[i]);
    if (!(difference <= 1e300)) return NAN;
    most = std::fmax(most, difference);
    size = std::fmax(size, std::fabs(judge[i]));
  }
  return size > 0 ? most / size : most;
}

/// One row. measure(design, call, form, result) runs and times the call in a form that runs the design, and answers an
/// empty error or what went wrong; it sets the result's form and median.
template <class Precision, class Design, class Measure>
result run_row(const variant& row, const Design& design, const std::string& form, std::span<const float> tokens,
               const Measure& measure, std::string& error) {
  using namespace sextant;
  using token = typename Precision::token;
  const index_t T = index_t(tokens.size()) / token_channels;
  mixer_tensors tensors = project(row, design, tokens);
  tensors.template round<std::conditional_t<std::is_same_v<token, double>, float, token>>();
  mixer_call<Design, Precision> call(row, tensors, T);

  result r;
  r.name = row.name;
  r.design = name(design);
  r.input_gate = !std::is_same_v<typename Design::input_type, input::one>;
  r.forget_gate = !std::is_same_v<typename Design::forget_type, forget::one>;
  r.shortcut = !std::is_same_v<typename Design::shortcut_type, shortcut::none>;
  r.norm = !std::is_same_v<typename Design::norm_type, norm::none>;
  r.multi_head = !std::is_same_v<typename Design::heads_type, heads::single>;
  r.block = !std::is_same_v<typename Design::block_type, block::transformer>;
  r.params = tensors.params;
  r.macs = tensors.macs;
  with_form(form, [&](const auto& f) {
    using form_type = std::remove_cvref_t<decltype(f)>;
    if constexpr (form::runs<form_type, Design>) error = measure(design, call, f, r);
    else
      error = std::string("form ") + form_type::name + " does not run " + r.design +
              ": choose rows with --only, or another form";
  });
  if (!error.empty()) {
    error = std::string(row.name) + ": " + error;
    return r;
  }
  r.tokens_per_s = double(T) / r.median_ms * 1e3;
  r.error = error_of(call.y, judge(row, tensors, T));
  return r;
}

/// The wanted rows, and the baseline's time.
template <class Precision, class Measure>
results run_rows(const request& what, std::span<const float> tokens, const std::function<void(const char*)>& say,
                 const Measure& measure) {
  results all;
  double baseline_ms = 0;
  for_each_row([&](const variant& row, const auto& design) {
    const bool wanted = what.wanted[std::size_t(&row - variants)], is_baseline = &row == variants;
    if (!all.error.empty() || (!wanted && !is_baseline)) return;
    say(row.name);
    result r = run_row<Precision>(row, design, wanted ? what.form : "automatic", tokens, measure, all.error);
    if (is_baseline) baseline_ms = r.median_ms;
    r.relative_time = r.median_ms / baseline_ms;
    if (wanted) all.rows.push_back(r);
  });
  return all;
}

}  // namespace ablation
