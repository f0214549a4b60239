// SPDX-License-Identifier: Apache-2.0
/// @file  The squared map on a GPU: 2Mamba from one thousand tokens to 131072, and one token.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  const auto squared = linear_attention.with(map::squared{}, norm::none{});
  for (const index_t T : {1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072}) {
    const test::shape s{.B = 1, .T = T, .Hk = 16, .H = 16, .K = 64, .V = 64};
    add_forward<bf16>("two_mamba", "bf16", two_mamba, s);
    add_forward<bf16>("squared", "bf16", squared, s);
  }
  for (const index_t T : {4096, 8192}) {
    const test::shape s{.B = 32768 / T, .T = T, .Hk = 16, .H = 16, .K = 64, .V = 64};
    add_forward<bf16>("two_mamba", "bf16", two_mamba, s);
    add_forward<bf16>("squared", "bf16", squared, s);
  }
  for (const index_t B : {32, 1})
    add_step<bf16>("two_mamba", "bf16", two_mamba, {.B = B, .Hk = 16, .H = 16, .K = 64, .V = 64});
  return true;
}();

}  // namespace sextant::bench
