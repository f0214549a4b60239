// SPDX-License-Identifier: Apache-2.0
/// @file  The ablation of Mamba on a GPU: the design itself, and with each of its switches the other way.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  add_ablation("mamba", mamba, {.B = 8, .T = 4096, .K = 16, .V = 2048});
  return true;
}();

}  // namespace sextant::bench
