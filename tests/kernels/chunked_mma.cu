// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked kernels by mma.sync: of all designs of the library's own parts whose decays are a head's, or per key;
/// without positions and with them.
// for: sm_90a sm_80
#include <sextant/cuda/chunked_mma.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void chunked_mma_kernels() {
  emit<gpu::chunked_mma, bf16>(linear_attention);
  emit<gpu::chunked_mma, bf16>(gla);
  emit<gpu::chunked_mma, bf16>(linear_attention.with(position::rotary_1d{}));
  emit<gpu::chunked_mma, bf16>(gla.with(position::rotary_1d{}));
}

}  // namespace sextant::test
