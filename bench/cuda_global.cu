// SPDX-License-Identifier: Apache-2.0
/// @file  The global form on a GPU: MILA's four stages with and without its convolution, and the ablation's baseline.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  const auto bare = mila.with(shortcut::none{});
  const auto baseline = linear_attention.with(order::global{});
  struct stage {
    index_t heads, side;
  };
  for (const stage& at : {stage{2, 56}, stage{4, 28}, stage{8, 14}, stage{16, 7}})
    for (const index_t B : {128, 1}) {
      const test::shape s{
          .B = B, .T = at.side * at.side, .Hk = at.heads, .H = at.heads, .K = 32, .V = 32, .grid_width = at.side};
      add_forward<bf16>("mila, no shortcut", "bf16", bare, s);
      add_forward<bf16>("mila", "bf16", mila, s);
      if (B == 1) continue;
      add_forward<fp16>("mila, no shortcut", "fp16", bare, s);
      add_forward<fp32>("mila, no shortcut", "fp32", bare, s);
      add_forward<fp32>("mila", "fp32", mila, s);
    }
  // The ablation's sequence: 3136 tokens of 96 channels.
  const test::shape s{.B = 1, .T = 3136, .Hk = 3, .H = 3, .K = 32, .V = 32, .grid_width = 56};
  add_forward<bf16>("linear_attention, global", "bf16", baseline, s);
  add_forward<bf16>("mila", "bf16", mila, s);
  add_forward<fp32>("linear_attention, global", "fp32", baseline, s);
  add_forward<fp32>("mila", "fp32", mila, s);
  // Heads of other sizes, which the tensor cores' kernel leaves to the simple one.
  add_forward<bf16>("mila", "bf16", mila, {.B = 128, .T = 784, .Hk = 2, .H = 2, .K = 64, .V = 64, .grid_width = 28});
  return true;
}();

}  // namespace sextant::bench
