// SPDX-License-Identifier: Apache-2.0
/// @file  The GPU's generic forms on a call without its design's types, compiled once for all designs.
#pragma once

#include <sextant/cuda/call.cuh>
#include <sextant/cuda/parts.cuh>

namespace evaluate {

/// Runs the form of that name, recurrent or scan, with a workspace of its own, and waits for it. The tensors lie in
/// memory of the device.
sextant::status run_generic(const sextant::gpu::device_call<float>& call, const sextant::gpu::library_parts& parts,
                            const char* form);
sextant::status run_generic(const sextant::gpu::device_call<double>& call, const sextant::gpu::library_parts& parts,
                            const char* form);

}  // namespace evaluate
