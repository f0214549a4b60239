// SPDX-License-Identifier: Apache-2.0
/// @file  From files to the numbers of a call, and from its results to files.
#pragma once

#include <string>  // string

#include <sextant/interop/npy.hpp>

#include "call.hpp"
#include "options.hpp"
#include "subject.hpp"

namespace evaluate {

/// Reads the subject's first tensor, q.npy or of one without queries v.npy, whose dtype is the precision where none is asked
/// for. Throws a refusal.
sextant::npy::array read_first(const std::string& folder, const subject& what);

/// Reads every other tensor that the subject takes, rounds it to the precision, checks its shape against those before it,
/// and makes room for the results. Throws a refusal.
template <class Precision> call<Precision> load(const options& asked, const subject& what, sextant::npy::array first);

/// Writes the results: <f8 in double, else <f4. All of them or, where one cannot be written, none. Throws a refusal.
template <class Precision> void save(const std::string& folder, const subject& what, call<Precision>& results);

}  // namespace evaluate
