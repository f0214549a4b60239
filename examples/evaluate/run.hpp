// SPDX-License-Identifier: Apache-2.0
/// @file  From the options to a design as a type, and its forward pass.
#pragma once

#include <string>  // string

#include <sextant/status.hpp>

#include "call.hpp"

namespace evaluate {

/// Runs a preset in the form and on the backend asked for: the library's verb, forward(), with their types.
template <class Precision> sextant::status run_preset(const options& asked, call<Precision>& numbers);

/// Runs the design of the switches, whose input gate is known as a type: one entry of a table of all of them.
template <class Input, class Precision> sextant::status run_product(const options& asked, call<Precision>& numbers);

/// The same where the input gate is not yet known.
template <class Precision> sextant::status run_switches(const options& asked, call<Precision>& numbers) {
  sextant::status done{sextant::errc::unsupported, "no input gate of this index"};
  with_part<inputs>(asked.chosen.input,
                    [&](auto input) { done = run_product<decltype(input), Precision>(asked, numbers); });
  return done;
}

/// Why nothing can run on a GPU, in a sentence; empty where it can.
std::string why_no_gpu();

/// Runs what is asked for on the GPU, on copies of the numbers there. Throws a refusal where they have no room.
template <class Precision> sextant::status run_on_gpu(const options& asked, call<Precision>& numbers);

/// Runs whatever is asked for, wherever.
template <class Precision> sextant::status run(const options& asked, call<Precision>& numbers) {
  if (asked.where == place::cuda) return run_on_gpu(asked, numbers);
  return asked.design.empty() ? run_switches(asked, numbers) : run_preset(asked, numbers);
}

}  // namespace evaluate
