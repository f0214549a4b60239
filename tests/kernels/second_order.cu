// SPDX-License-Identifier: Apache-2.0
/// @file  The kernels of second order: of all designs of the library's own parts, in two precisions.
// for: sm_90a
#include <sextant/cuda/second_order.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void second_order_kernels() {
  emit<gpu::second_order, bf16>(two_mamba);
  emit<gpu::second_order, bf16>(two_mamba.with(input::softplus<per::head>{}));
}

}  // namespace sextant::test
