// SPDX-License-Identifier: Apache-2.0
/// @file  The global form by the tensor cores: MILA with and without its convolution, gates and a single head.
// for: sm_90a sm_80
#include <sextant/cuda/global_mma.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void global_mma_kernels() {
  emit<gpu::global_mma, bf16>(mila);
  emit<gpu::global_mma, fp16>(mila);
  emit<gpu::global_mma, fp32>(mila);
  emit<gpu::global_mma, bf16>(mila.with(shortcut::none{}));
  emit<gpu::global_mma, bf16>(mila.with(input::softplus<per::channel>{}, shortcut::learned{}, output::silu{}));
  emit<gpu::global_mma, fp32>(mila.with(input::softplus<per::channel>{}, shortcut::learned{}, output::silu{}));
  emit<gpu::global_mma, bf16>(linear_attention.with(order::global{}, heads::single{}));
}

}  // namespace sextant::test
