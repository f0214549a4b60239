// SPDX-License-Identifier: Apache-2.0
/// @file  Gates per key on a GPU: GLA at published sizes, log decays, the switches that have a kernel of their own there.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  for (const index_t K : {64, 128})
    add_forward<bf16>("gla", "bf16", gla, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = K, .V = 128});
  add_forward<bf16>("gla", "bf16", gla, {.B = 1, .T = 131072, .Hk = 16, .H = 16, .K = 128, .V = 128});
  for (const index_t T : {2048, 4096, 16384})
    add_forward<bf16>("gla", "bf16", gla, {.B = 1, .T = T, .Hk = 16, .H = 16, .K = 128, .V = 128});
  add_forward<bf16>("gla, log decays", "bf16", gla.with(forget::log_decay<per::key>{}),
                    {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 128, .V = 128});
  return true;
}();

}  // namespace sextant::bench
