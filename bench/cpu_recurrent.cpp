// SPDX-License-Identifier: Apache-2.0
/// @file  The recurrent form on the CPU: every preset that it runs, in four precisions.
#include "bench.hpp"

static const bool registered = (sextant::bench::register_form(sextant::form::recurrent{}, {512, 2048, 8192}), true);
