// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of the selective scan for Mamba-1 with each single switch the other way.
// for: sm_90a
// spills: said, not refused
#include <sextant/cuda/selective.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void selective_flipped_kernels() { emit_flipped<gpu::selective, bf16>(mamba); }

}  // namespace sextant::test
