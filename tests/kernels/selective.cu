// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of Mamba-1, with and without its output gate, in three precisions.
// for: sm_90a sm_80
#include <sextant/cuda/selective.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void selective_kernels() {
  emit<gpu::selective, bf16>(mamba);
  emit<gpu::selective, bf16>(mamba.with(output::silu{}));
  emit<gpu::selective, fp16>(mamba.with(output::silu{}));
  emit<gpu::selective, fp32>(mamba.with(output::silu{}));
}

}  // namespace sextant::test
