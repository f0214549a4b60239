// SPDX-License-Identifier: Apache-2.0
/// @file  Chunked kernel, the numbers of a state that a thread of a warpgroup holds, and where they lie in a tensor.
#pragma once

#include <sextant/cuda/chunked_wgmma/plan.cuh>

namespace sextant::gpu::wgmma {

/// Where the state of 64 channels lies: number (key, channel) at first[key * key_stride + channel * channel_stride].
template <class Element> struct state_place {
  Element* first = nullptr;
  index_t key_stride = 0, channel_stride = 0;

  state_place() = default;
  /// Key by key without gaps.
  __device__ __forceinline__ explicit state_place(Element* its_first) : first{its_first}, key_stride{64}, channel_stride{1} {}
  /// In a tensor of states, the channels from `value` on.
  __device__ __forceinline__ state_place(const bhkv<Element>& x, int batch, int head, int value)
      : first{x ? &x(batch, head, 0, value) : nullptr}, key_stride{x.stride(2)}, channel_stride{x.stride(3)} {}
};
/// visit(i, number) for the numbers of S^T [64][Keys] that a thread of a warpgroup holds as sums of a product. Their place
/// walks: as many indices of a view would be most of what there is to compile.
template <int Keys, class Element, class Visit>
__device__ __forceinline__ void each_number(const state_place<Element>& place, int thread, const Visit& visit) {
  Element* at = place.first + 2 * (thread % 4) * place.key_stride + (thread / 32 * 16 + thread % 32 / 4) * place.channel_stride;
  const index_t next_key = place.key_stride, next_channel = 8 * place.channel_stride;
#pragma unroll
  for (int i = 0; i < Keys / 2; i += 4, at += 8 * next_key) {
    visit(i, *at), visit(i + 1, at[next_key]);
    visit(i + 2, at[next_channel]), visit(i + 3, at[next_channel + next_key]);
  }
}

}  // namespace sextant::gpu::wgmma
