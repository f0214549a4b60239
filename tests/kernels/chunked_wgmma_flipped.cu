// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked kernels of Hopper for linear attention, Mamba-2 and mLSTM with each single switch the other way.
// for: sm_90a
// spills: said, not refused
#include <sextant/cuda/chunked_wgmma.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void chunked_wgmma_flipped_kernels() {
  emit_flipped<gpu::chunked_wgmma, bf16>(linear_attention);
  emit_flipped<gpu::chunked_wgmma, bf16>(mamba2);
  emit_flipped<gpu::chunked_wgmma, bf16>(mlstm);
}

}  // namespace sextant::test
