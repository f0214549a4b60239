// SPDX-License-Identifier: Apache-2.0
/// @file  The plain recurrence and the global form, for designs of the library's own parts.
// for: sm_90a sm_80
// The angles of rotations are taken in double, by functions that keep an array of their own:
// stack frame: recurrent_kernel
#include <sextant/cuda/global_sums.cuh>
#include <sextant/cuda/recurrent.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void generic_kernels() {
  emit<gpu::recurrent, fp32>(linear_attention);
  emit<gpu::recurrent, fp64>(linear_attention);
  emit<gpu::global_sums, fp32>(mila);
  emit<gpu::global_sums, fp64>(mila);
}

}  // namespace sextant::test
