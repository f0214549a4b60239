// SPDX-License-Identifier: Apache-2.0
/// @file  The body of run(), which each precision instantiates in a file of its own.
#pragma once

#include <algorithm>  // nth_element
#include <chrono>     // steady_clock
#include <cmath>      // fabs, fmax

#include <sextant/reference/recurrent.hpp>

#include "mixer.hpp"
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

/// The median time of a call in milliseconds: one call to warm up, then `repeat`.
template <class Call> double median_ms(int repeat, const Call& call) {
  using clock = std::chrono::steady_clock;
  call();
  std::vector<double> times;
  for (int i = 0; i < repeat; ++i) {
    const auto start = clock::now();
    call();
    times.push_back(std::chrono::duration<double, std::milli>(clock::now() - start).count());
  }
  const auto middle = times.begin() + std::ptrdiff_t(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// Tokens up to which the reference itself judges; beyond, the recurrent form in float64 does (the tests hold the two
/// together), which is a hundred times faster.
inline constexpr index_t most_judged_by_reference = picture_tokens;

/// max|y - judge| / max|judge|, the judge in float64 on the numbers as stored.
template <class Design, class Precision>
double error_of(const variant& row, const Design& design, const mixer_tensors& tensors, index_t T,
                const std::vector<typename Precision::token>& y) {
  using stored =
      std::conditional_t<std::is_same_v<typename Precision::token, double>, float, typename Precision::token>;
  mixer_call<Design, sextant::fp64, stored> judge(row, tensors, T);
  if (T <= most_judged_by_reference) {
    sextant::reference::recurrent(design, judge.x);
  } else {
    std::vector<std::byte> memory(
        sextant::workspace_bytes(design, sextant::form::recurrent{}, sextant::cpu::parallel{}, judge.x));
    if (!sextant::forward(design, sextant::form::recurrent{}, sextant::cpu::parallel{memory}, judge.x)) return NAN;
  }
  double most = 0, size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double difference = std::fabs(double(y[i]) - judge.y[i]);
    if (!(difference <= 1e300)) return NAN;
    most = std::fmax(most, difference);
    size = std::fmax(size, std::fabs(judge.y[i]));
  }
  return size > 0 ? most / size : most;
}

template <class Precision, class Design, class Form, class On>
result run_row(const variant& row, const Design& design, const Form& form, On on, int repeat,
               std::span<const float> tokens, std::string& error) {
  using namespace sextant;
  const index_t T = index_t(tokens.size()) / token_channels;
  result r;
  r.name = row.name;
  r.design = name(design);
  r.input_gate = !std::is_same_v<typename Design::input_type, input::one>;
  r.forget_gate = !std::is_same_v<typename Design::forget_type, forget::one>;
  r.shortcut = !std::is_same_v<typename Design::shortcut_type, shortcut::none>;
  r.norm = !std::is_same_v<typename Design::norm_type, norm::none>;
  r.multi_head = !std::is_same_v<typename Design::heads_type, heads::single>;
  r.block = !std::is_same_v<typename Design::block_type, block::transformer>;

  if constexpr (form::runs<Form, Design>) {
    const mixer_tensors tensors = project(row, design, tokens);
    r.params = tensors.params;
    r.macs = tensors.macs;
    mixer_call<Design, Precision> call(row, tensors, T);
    std::vector<std::byte> memory(workspace_bytes(design, form, on, call.x));
    on.memory = memory;
    r.form = std::is_same_v<Form, form::automatic> ? chosen_form(design, on, call.x) : Form::name;
    status done = forward(design, form, on, call.x);
    if (!done) {
      error = std::string(row.name) + ": " + done.what;
      return r;
    }
    r.median_ms = median_ms(repeat, [&] { done = forward(design, form, on, call.x); });
    r.tokens_per_s = double(T) / r.median_ms * 1e3;
    r.error = error_of<Design, Precision>(row, design, tensors, T, call.y);
  } else {
    error = std::string("form ") + Form::name + " does not run '" + row.name + "' (" + r.design +
            "): choose rows with --only, or another form";
  }
  return r;
}

template <class Precision>
results run(const request& what, std::span<const float> tokens, const std::function<void(const char*)>& say) {
  results all;
  double baseline_ms = 0;
  for_each_row([&](const variant& row, const auto& design) {
    using design_type = std::remove_cvref_t<decltype(design)>;
    const bool wanted = what.wanted[std::size_t(&row - variants)], is_baseline = &row == variants;
    if (!all.error.empty() || (!wanted && !is_baseline)) return;
    say(row.name);
    result r;
    const auto with = [&](const auto& form, auto on, std::string& error) {
      r = run_row<Precision, design_type>(row, design, form, on, what.repeat, tokens, error);
    };
    with_form(wanted ? what.form : "automatic", [&](const auto& form) {
      if (what.serial) with(form, sextant::cpu::serial{}, all.error);
      else with(form, sextant::cpu::parallel{}, all.error);
    });
    if (is_baseline) baseline_ms = r.median_ms;
    r.relative_time = r.median_ms / baseline_ms;
    if (wanted) all.rows.push_back(r);
  });
  return all;
}

}  // namespace ablation
