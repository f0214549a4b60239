// SPDX-License-Identifier: Apache-2.0
/// @file  One short sequence on a GPU, where launches and latencies count: every family, 128 to 2048 tokens.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  const auto plain = linear_attention.with(norm::none{}, map::identity{});
  for (const index_t T : {128, 512, 2048}) {
    add_forward<bf16>("mamba", "bf16", mamba, {.B = 1, .T = T, .K = 16, .V = 2048});
    add_forward<bf16>("mamba2", "bf16", mamba2, {.B = 1, .T = T, .Hk = 1, .H = 32, .K = 128, .V = 64});
    for (const index_t size : {64, 128}) {
      const test::shape s{.B = 1, .T = T, .Hk = 16, .H = 16, .K = size, .V = size};
      add_forward<bf16>("plain", "bf16", plain, s);
      add_forward<bf16>("linear_attention", "bf16", linear_attention, s);
    }
    const test::shape wide{.B = 1, .T = T, .Hk = 16, .H = 16, .K = 128, .V = 128};
    add_forward<bf16>("retnet", "bf16", retnet, wide);
    add_forward<bf16>("gla", "bf16", gla, wide);
    add_forward<bf16>("mlstm", "bf16", mlstm, wide);
    add_forward<bf16>("two_mamba", "bf16", two_mamba, {.B = 1, .T = T, .Hk = 16, .H = 16, .K = 64, .V = 64});
    add_forward<bf16>("s4d", "bf16", s4d, {.B = 1, .T = T, .K = 64, .V = 2048});
  }
  return true;
}();

}  // namespace sextant::bench
