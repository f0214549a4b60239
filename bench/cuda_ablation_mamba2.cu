// SPDX-License-Identifier: Apache-2.0
/// @file  The ablation of Mamba-2 on a GPU: the design itself, and with each of its switches the other way.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  add_ablation("mamba2", mamba2, {.B = 8, .T = 4096, .Hk = 1, .H = 32, .K = 128, .V = 64});
  return true;
}();

}  // namespace sextant::bench
