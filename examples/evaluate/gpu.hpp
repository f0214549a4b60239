// SPDX-License-Identifier: Apache-2.0
/// @file  A preset on the GPU.
#pragma once

#include "run.hpp"

namespace evaluate {

/// Runs a preset in the form asked for on a gpu::stream, with the kernels that the library chooses for its types. The
/// call's copies lie in memory of the device.
template <class Precision> sextant::status run_preset_on_gpu(const options& asked, call<Precision>& numbers);

}  // namespace evaluate
