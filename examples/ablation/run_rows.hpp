// SPDX-License-Identifier: Apache-2.0
/// @file  The body of run(), which each precision instantiates in a file of its own.
#pragma once

#include <chrono>  // steady_clock
#include <cmath>   // fabs, fmax

#include <sextant/cpu/instantiate.hpp>
#include <sextant/sextant.hpp>

#include "gpu.hpp"
#include "judge.hpp"
#include "measure.hpp"
#include "run.hpp"

namespace ablation {

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
  return median(times);
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

/// Runs and times one call on the CPU; the error is empty after success.
template <class Design, class Call, class Form, class On>
std::string measure(const Design& design, const Call& call, const Form& form, On on, int repeat, result& r) {
  namespace sx = sextant;
  std::vector<std::byte> memory(sx::workspace_bytes(design, form, on, call.x));
  on.memory = memory;
  r.form = std::is_same_v<Form, sx::form::automatic> ? sx::chosen_form(design, on, call.x) : Form::name;
  sx::status done = sx::forward(design, form, on, call.x);
  if (!done) return done.what;
  r.median_ms = median_ms(repeat, [&] { done = sx::forward(design, form, on, call.x); });
  return {};
}

/// The same wherever it is asked for.
template <class Precision, class Design, class Form>
std::string measure(const variant& row, const Design& design, const mixer_call<Design, Precision>& call,
                    const Form& form, const request& what, result& r) {
  if constexpr (!sextant::form::runs<Form, Design>) {
    return std::string("form ") + Form::name + " does not run " + sextant::name(design) +
           ": choose rows with --only, or another form";
  } else if (what.where == place::cuda) {
    return measure_on_gpu<Precision>(row, &call.x, Form::name, what.repeat, r);
  } else if (what.where == place::cpu_serial) {
    return measure(design, call, form, sextant::cpu::serial{}, what.repeat, r);
  } else {
    return measure(design, call, form, sextant::cpu::parallel{}, what.repeat, r);
  }
}

template <class Precision, class Design>
result run_row(const variant& row, const Design& design, const request& what, const std::string& form,
               std::span<const float> tokens, std::string& error) {
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
  with_form(form, [&](const auto& f) { error = measure(row, design, call, f, what, r); });
  if (!error.empty()) {
    error = std::string(row.name) + ": " + error;
    return r;
  }
  r.tokens_per_s = double(T) / r.median_ms * 1e3;
  r.error = error_of(call.y, judge(row, tensors, T));
  return r;
}

template <class Precision>
results run(const request& what, std::span<const float> tokens, const std::function<void(const char*)>& say) {
  results all;
  double baseline_ms = 0;
  for_each_row([&](const variant& row, const auto& design) {
    const bool wanted = what.wanted[std::size_t(&row - variants)], is_baseline = &row == variants;
    if (!all.error.empty() || (!wanted && !is_baseline)) return;
    say(row.name);
    result r = run_row<Precision>(row, design, what, wanted ? what.form : "automatic", tokens, all.error);
    if (is_baseline) baseline_ms = r.median_ms;
    r.relative_time = r.median_ms / baseline_ms;
    if (wanted) all.rows.push_back(r);
  });
  return all;
}

}  // namespace ablation
