// SPDX-License-Identifier: Apache-2.0
/// @file  Long sequences on a GPU: one sequence of each causal family, from 4096 tokens to 1048576.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  const auto add = [](const char* called, const auto& design, test::shape s) {
    for (s.T = 4096; s.T <= 1048576; s.T *= 2) add_forward<bf16>(called, "bf16", design, s);
  };
  add("mamba", mamba, {.B = 1, .K = 16, .V = 2048});
  add("mamba2", mamba2, {.B = 1, .Hk = 1, .H = 32, .K = 128, .V = 64});
  add("linear_attention", linear_attention, {.B = 1, .Hk = 16, .H = 16, .K = 128, .V = 128});
  add("gla", gla, {.B = 1, .Hk = 16, .H = 16, .K = 128, .V = 128});
  add("two_mamba", two_mamba, {.B = 1, .Hk = 16, .H = 16, .K = 64, .V = 64});
  add("s4d", s4d, {.B = 1, .K = 64, .V = 2048});
  return true;
}();

}  // namespace sextant::bench
