// SPDX-License-Identifier: Apache-2.0
/// @file  Everything for the CPU, in reading order.
#pragma once

#include <sextant/version.hpp>

#include <sextant/design/presets.hpp>   // what is computed
#include <sextant/design/describe.hpp>  // and what a design says of itself
#include <sextant/tensor/precision.hpp> // with what numbers
#include <sextant/tensor/sequence.hpp>  // on which tensors
#include <sextant/form.hpp>             // how
#include <sextant/cpu/forward.hpp>      // where
#include <sextant/forward.hpp>          // the verbs
#include <sextant/step.hpp>
