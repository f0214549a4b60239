// SPDX-License-Identifier: Apache-2.0
/// @file  The global form on the CPU: every preset that it runs, in four precisions.
#include "bench.hpp"

static const bool registered = (sextant::bench::register_form(sextant::form::global{}, {784, 3136, 12544}), true);
