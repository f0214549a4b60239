// SPDX-License-Identifier: Apache-2.0
/// @file  Gates per key and channel of few keys on a GPU: VMamba's scans of 128 pictures, and four keys.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  for (index_t T = 3136, V = 96; T >= 49; T /= 4, V *= 2)
    add_forward<bf16>("mamba", "bf16", mamba, {.B = 128, .T = T, .K = 1, .V = V});
  const test::shape usual{.B = 8, .T = 4096, .K = 1, .V = 2048};
  add_forward<bf16>("mamba", "bf16", mamba, usual);
  add_forward<fp32>("mamba", "fp32", mamba, usual);
  add_forward<bf16>("mamba", "bf16", mamba, {.B = 8, .T = 4096, .K = 4, .V = 2048});
  return true;
}();

}  // namespace sextant::bench
