// SPDX-License-Identifier: Apache-2.0
/// @file  The ablation of linear attention on a GPU: the design itself, and with each of its switches the other way.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  add_ablation("linear_attention", linear_attention, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 128, .V = 128});
  return true;
}();

}  // namespace sextant::bench
