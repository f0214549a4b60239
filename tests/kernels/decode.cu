// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of decode for the designs of the literature, with states in float and in 16 bits.
// for: sm_90a sm_80
#include <sextant/cuda/decode.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void decode_kernels() {
  emit<gpu::decode, bf16>(linear_attention);
  emit<gpu::decode, bf16>(retnet);
  emit<gpu::decode, bf16>(gla);
  emit<gpu::decode, bf16>(mlstm);
  emit<gpu::decode, bf16>(mamba.with(output::silu{}));
  emit<gpu::decode, bf16>(mamba2);
  emit<gpu::decode, precision<bfloat16, bfloat16, float>>(mamba2);
}

}  // namespace sextant::test
