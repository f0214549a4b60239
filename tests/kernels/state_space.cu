// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of S4D's recurrence, in four precisions.
// for: sm_90a sm_80
// stack frame: discretise_kernel
#include <sextant/cuda/state_space.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void state_space_kernels() {
  emit<gpu::state_space, bf16>(s4d);
  emit<gpu::state_space, fp16>(s4d);
  emit<gpu::state_space, fp32>(s4d);
  emit<gpu::state_space, fp64>(s4d);
}

}  // namespace sextant::test
