// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of VMamba's scans, one key or four, there and back, in three precisions; and with an output gate and a map.
// for: sm_90a sm_80
#include <sextant/cuda/few_keys.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void few_keys_kernels() {
  emit<gpu::few_keys, bf16>(mamba);
  emit<gpu::few_keys, bf16>(mamba.with(order::reversed{}));
  emit<gpu::few_keys, fp16>(mamba);
  emit<gpu::few_keys, fp32>(mamba);
  emit<gpu::few_keys, bf16>(mamba.with(output::silu{}, map::elu_plus_one{}));
}

}  // namespace sextant::test
