// SPDX-License-Identifier: Apache-2.0
/// @file  From the options to a design as a type, and its forward pass.
#pragma once

#include <sextant/status.hpp>

#include "call.hpp"

namespace evaluate {

/// Runs a preset in the form and on the backend asked for: the library's verb, forward(), with their types.
template <class Precision> sextant::status run_preset(const options& asked, call<Precision>& numbers);

/// Runs the design of the switches, whose input gate is known as a type: one entry of a table of all of them.
template <class Input, class Precision> sextant::status run_product(const options& asked, call<Precision>& numbers);

/// The same where nothing is known yet.
template <class Precision> sextant::status run(const options& asked, call<Precision>& numbers) {
  if (!asked.design.empty()) return run_preset(asked, numbers);
  sextant::status done{sextant::errc::unsupported, "no input gate of this index"};
  with_part<inputs>(asked.chosen.input,
                    [&](auto input) { done = run_product<decltype(input), Precision>(asked, numbers); });
  return done;
}

}  // namespace evaluate
