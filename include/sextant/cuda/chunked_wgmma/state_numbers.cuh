// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the numbers of a state that a thread of a warpgroup holds, and where they lie in a tensor.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>

namespace sextant::gpu::wgmma {

/// visit(i, where) for the numbers of S^T [64][Keys] that a thread of a warpgroup holds as sums of a product, `where` being
/// the place of number i in a tensor of states [B, H, K, V] whose channels begin at `value`. The place walks: as many
/// indices of a view would be most of what there is to compile.
template <int Keys, class View, class Visit>
__device__ __forceinline__ void each_number(const View& x, int batch, int head, int value, int thread,
                                            const Visit& visit) {
  const int key = 2 * (thread % 4), channel = value + thread / 32 * 16 + thread % 32 / 4;
  auto* at = &x(batch, head, key, channel);
  const index_t next_key = x.stride(2), next_channel = 8 * x.stride(3);
#pragma unroll
  for (int i = 0; i < Keys / 2; i += 4, at += 8 * next_key) {
    visit(i, at), visit(i + 1, at + next_key);
    visit(i + 2, at + next_channel), visit(i + 3, at + next_channel + next_key);
  }
}
/// Loads the state that a sequence begins with, where one is given.
template <int Keys, class View>
__device__ __forceinline__ void load_initial_state(float (&S)[std::size_t(Keys) / 2], const View& x, int batch, int head,
                                                   int value, int thread) {
  if (x) each_number<Keys>(x, batch, head, value, thread, [&](int i, const float* its) { S[i] = *its; });
}

}  // namespace sextant::gpu::wgmma
