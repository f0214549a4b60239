// SPDX-License-Identifier: Apache-2.0
/// @file  How an evaluation ends that cannot be right: with one line that says why.
#pragma once

#include <stdexcept>  // runtime_error

namespace evaluate {

/// Thrown wherever something is wrong with the command line or the files; main prints its text, one line, and ends with
/// exit code 2.
struct refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace evaluate
