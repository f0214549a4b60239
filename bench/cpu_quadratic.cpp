// SPDX-License-Identifier: Apache-2.0
/// @file  The quadratic form on the CPU: every preset that it runs, in four precisions. Its cost grows with T^2.
#include "bench.hpp"

static const bool registered = (sextant::bench::register_form(sextant::form::quadratic{}, {128, 512}), true);
