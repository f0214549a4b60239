// SPDX-License-Identifier: Apache-2.0
/// @file  The chunked kernels of Hopper for the designs that they are measured by.
// for: sm_90a
#include <sextant/cuda/chunked_wgmma.cuh>

#include "kernels/emit.cuh"

namespace sextant::test {

void chunked_wgmma_kernels() {
  emit<gpu::chunked_wgmma, bf16>(linear_attention);
  emit<gpu::chunked_wgmma, bf16>(linear_attention.with(norm::none{}, map::identity{}));
  emit<gpu::chunked_wgmma, bf16>(linear_attention.with(norm::none{}, map::identity{}, forget::log_decay<per::head>{}));
  emit<gpu::chunked_wgmma, bf16>(linear_attention.with(position::rotary_1d{}));
  emit<gpu::chunked_wgmma, bf16>(retnet);
  emit<gpu::chunked_wgmma, bf16>(mlstm);
  emit<gpu::chunked_wgmma, bf16>(mamba2);
  emit<gpu::chunked_wgmma, bf16>(mamba2.with(norm::sum{}));
  emit<gpu::chunked_wgmma, bf16>(mamba2.with(position::rotary_1d{}));
}

}  // namespace sextant::test
