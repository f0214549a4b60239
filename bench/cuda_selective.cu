// SPDX-License-Identifier: Apache-2.0
/// @file  Gates per key and channel on a GPU: Mamba at published sizes, from one sequence to eight, short and long.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  const auto gated = mamba.with(output::silu{});
  const test::shape usual{.B = 8, .T = 4096, .K = 16, .V = 2048};
  add_forward<bf16>("mamba", "bf16", mamba, usual);
  add_forward<bf16>("mamba, output gate", "bf16", gated, usual);
  add_forward<fp16>("mamba, output gate", "fp16", gated, usual);
  add_forward<fp32>("mamba, output gate", "fp32", gated, usual);
  add_forward<bf16>("mamba", "bf16", mamba, {.B = 8, .T = 2048, .K = 16, .V = 1536});
  add_forward<bf16>("mamba", "bf16", mamba, {.B = 8, .T = 4096, .K = 64, .V = 2048});
  add_forward<bf16>("mamba", "bf16", mamba, {.B = 8, .T = 4096, .K = 32, .V = 2048});
  add_forward<bf16>("mamba", "bf16", mamba, {.B = 1, .T = 4096, .K = 16, .V = 2048});
  add_forward<bf16>("mamba", "bf16", mamba, {.B = 1, .T = 131072, .K = 16, .V = 2048});
  // The stages of Swin-T with the forget gate (Han et al. 2024, table 1), 128 pictures.
  const auto forgets = linear_attention.with(forget::selective{}, norm::sum_undecayed{});
  for (index_t T = 3136, H = 3; T >= 49; T /= 4, H *= 2)
    add_forward<bf16>("linear attention, forget gate", "bf16", forgets,
                      {.B = 128, .T = T, .Hk = H, .H = H, .K = 32, .V = 32});
  return true;
}();

}  // namespace sextant::bench
