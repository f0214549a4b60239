// SPDX-License-Identifier: Apache-2.0
/// @file  A row of the covering array: numbers of parts, of a form and of a precision.
#pragma once

#include "forms.hpp"
#include "product.hpp"

namespace sextant::test {

/// By number: the parts in the order of product.hpp, the form and the precision in the order of the axes below.
struct row {
  int input, forget, shortcut, norm, heads, map, order, form, precision;
};
using form_axis = axis_of<form::automatic, form::recurrent, form::scan, form::chunked, form::quadratic, form::global>;
using precision_axis = axis_of<fp32, fp64, bf16, fp16>;

}  // namespace sextant::test
