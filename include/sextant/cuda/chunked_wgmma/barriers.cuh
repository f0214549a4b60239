// SPDX-License-Identifier: Apache-2.0
/// @file  The barriers at which the warps of a chunked kernel's block meet.
#pragma once

#include <sextant/cuda/ptx/mbarrier.cuh>

namespace sextant::gpu::wgmma {

/// Barriers of a block. Phase n of a stage's barriers belongs to the n-th chunk in that stage.
/// Where lanes have written or read gates or factors of rows themselves, all of them arrive, else one of each warp: the
/// plan's tellers. It costs no time, and a detector of races can follow.
template <class Plan> struct chunked_barriers {
  ptx::mbarrier landed[Plan::stages];    // q, k, v are there
  ptx::mbarrier gated[Plan::stages];     // the gates are there
  ptx::mbarrier mapped[Plan::stages];    // q and k went through the map and were turned
  ptx::mbarrier released[Plan::stages];  // nobody reads the stage any more
  ptx::mbarrier plain_read;              // nobody reads what q and k were before they were turned any more
  ptx::mbarrier shown[2];                // the normaliser's state before the chunk is there
  ptx::mbarrier weighed[2];              // the weights are there
  ptx::mbarrier consumed[2];             // nobody reads the weights any more
  ptx::mbarrier finished[Plan::y_buffers][Plan::slices];  // a tile of y is there
  ptx::mbarrier stored[Plan::y_buffers][Plan::slices];    // the copy engine has read it
  // Of values that have stages of their own: they are there; nobody reads them any more.
  ptx::mbarrier values_landed[Plan::value_stages][Plan::slices], values_released[Plan::value_stages][Plan::slices];

  /// One thread, before all of the block meet.
  __device__ __forceinline__ void init() {
    constexpr int score_warps = Plan::answers ? 4 : 0;
    for (int i = 0; i < Plan::stages; ++i) {
      landed[i].init(1);
      gated[i].init(Plan::gate_sets * Plan::gate_tellers);
      mapped[i].init(Plan::mappers);
      released[i].init((score_warps + 4 * Plan::slices + Plan::normaliser_warps) * Plan::gate_tellers);
    }
    if constexpr (Plan::turns) plain_read.init((score_warps + Plan::normaliser_warps) * Plan::gate_tellers);
    for (int i = 0; i < 2; ++i) {
      if constexpr (Plan::normalised) shown[i].init(Plan::normaliser_warps);
      weighed[i].init(4 * Plan::factor_tellers);
      consumed[i].init(4 * Plan::slices * Plan::factor_tellers);
    }
    for (int slice = 0; slice < Plan::slices; ++slice) {
      for (int i = 0; i < Plan::y_buffers; ++i) finished[i][slice].init(4), stored[i][slice].init(1);
      if constexpr (Plan::splits)
        for (int i = 0; i < Plan::value_stages; ++i) values_landed[i][slice].init(1), values_released[i][slice].init(4);
    }
    ptx::publish_mbarriers();
  }
};

}  // namespace sextant::gpu::wgmma
