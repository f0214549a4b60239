// SPDX-License-Identifier: Apache-2.0
/// @file  What measuring a row takes, wherever it runs: a form from its name, and the middle of some times.
#pragma once

#include <algorithm>  // nth_element
#include <cstddef>    // ptrdiff_t
#include <string>     // string
#include <vector>     // vector

#include <sextant/form.hpp>

namespace ablation {

/// Calls visit(form) with the form of that name.
template <class Visit> void with_form(const std::string& name, Visit visit) {
  namespace form = sextant::form;
  if (name == form::recurrent::name) visit(form::recurrent{});
  else if (name == form::scan::name) visit(form::scan{});
  else if (name == form::chunked::name) visit(form::chunked{});
  else if (name == form::quadratic::name) visit(form::quadratic{});
  else if (name == form::global::name) visit(form::global{});
  else visit(form::automatic{});
}

/// The middle one of some times.
inline double median(std::vector<double> times) {
  const auto middle = times.begin() + std::ptrdiff_t(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace ablation
