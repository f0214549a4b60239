// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of S4D in chunks. For sm_80 ptxas finds no order of them that needs but 128 registers, and spills some.
// for: sm_90a
// stack frame: discretise_kernel|state_space_at_once_kernel
#include <sextant/cuda/state_space_chunked.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void state_space_chunked_kernels() {
  emit<gpu::state_space_chunked, bf16>(s4d);
  emit<gpu::state_space_chunked, fp16>(s4d);
}

}  // namespace sextant::test
