// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of Hopper for decays per key.
// for: sm_90a
#include <sextant/cuda/keyed_wgmma.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void keyed_wgmma_kernels() {
  emit<gpu::keyed_wgmma, bf16>(gla);
  emit<gpu::keyed_wgmma, bf16>(gla.with(forget::log_decay<per::key>{}, shortcut::learned{}, output::silu{}));
  emit<gpu::keyed_wgmma, bf16>(gla.with(map::elu_plus_one{}, input::softplus<per::head>{}, order::reversed{}));
  emit<gpu::keyed_wgmma, bf16>(gla.with(norm::sum{}));
  emit<gpu::keyed_wgmma, bf16>(gla.with(position::rotary_1d{}));
}

}  // namespace sextant::test
