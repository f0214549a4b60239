// SPDX-License-Identifier: Apache-2.0
/// @file  A row on a GPU, where the build has CUDA; no_gpu.cpp answers where it has not.
#pragma once

#include "run.hpp"
#include "which_gpu.hpp"

namespace ablation {

/// Runs and times a row's call on the GPU. `x` points to a sequence of the row's design in this precision with dense tensors
/// in the host's memory; y is written there. Sets the form and all speeds of the result; answers an empty error or what
/// went wrong.
///
/// The time is that of the GPU between two events of the stream, its median over calls that take turns on copies of the
/// tensors, so that none is found in the cache. Traffic counts every token tensor once, arithmetic two operations for each
/// multiply-accumulate of the operator, whatever the form does; the floor is bench/roofline.hpp's, for a GPU whose limits
/// stand there.
template <class Precision>
std::string measure_on_gpu(const variant& row, const void* x, const std::string& form, int repeat, result& r);

}  // namespace ablation
