// SPDX-License-Identifier: Apache-2.0
/// @file  The ablation of GLA on a GPU: the design itself, and with each of its switches the other way.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  add_ablation("gla", gla, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 128, .V = 128});
  return true;
}();

}  // namespace sextant::bench
