// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of Hopper for decays per key, for GLA with each single switch the other way.
// for: sm_90a
// spills: said, not refused
#include <sextant/cuda/keyed_wgmma.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void keyed_wgmma_flipped_kernels() { emit_flipped<gpu::keyed_wgmma, bf16>(gla); }

}  // namespace sextant::test
