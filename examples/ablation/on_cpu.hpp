// SPDX-License-Identifier: Apache-2.0
/// @file  The body of run(), which each precision instantiates in a file of its own.
#pragma once

#include <chrono>  // steady_clock

#include <sextant/cpu/instantiate.hpp>
#include <sextant/sextant.hpp>

#include "rows.hpp"

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

/// Runs and times one call; the error is empty after success.
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

template <class Precision>
results run(const request& what, std::span<const float> tokens, const std::function<void(const char*)>& say) {
  return run_rows<Precision>(what, tokens, say, [&](const auto& design, const auto& call, const auto& form, result& r) {
    return what.serial ? measure(design, call, form, sextant::cpu::serial{}, what.repeat, r)
                       : measure(design, call, form, sextant::cpu::parallel{}, what.repeat, r);
  });
}

}  // namespace ablation
