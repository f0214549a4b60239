// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of Mamba-1, with and without its output gate, in three precisions; with positions, without a forget gate;
/// and of linear attention with its forget gate.
// for: sm_90a sm_80
#include <sextant/cuda/selective.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void selective_kernels() {
  emit<gpu::selective, bf16>(mamba);
  emit<gpu::selective, bf16>(mamba.with(output::silu{}));
  emit<gpu::selective, fp16>(mamba.with(output::silu{}));
  emit<gpu::selective, fp32>(mamba.with(output::silu{}));
  emit<gpu::selective, bf16>(mamba.with(position::rotary_1d{}));
  emit<gpu::selective, bf16>(mamba.with(forget::one{}));
  emit<gpu::selective, bf16>(linear_attention.with(forget::selective{}, norm::sum_undecayed{}));
}

}  // namespace sextant::test
