// SPDX-License-Identifier: Apache-2.0
/// @file  Decode on a GPU: one token more, the state in place, from one sequence to 128, states in float and bfloat16.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  using bf16_state = precision<bfloat16, bfloat16, float>;
  for (const index_t B : {128, 8, 1}) {
    const test::shape s{.B = B, .Hk = 1, .H = 64, .K = 128, .V = 64};
    add_step<bf16>("mamba2", "bf16", mamba2, s);
    add_step<bf16_state>("mamba2", "bf16, bf16 state", mamba2, s);
  }
  add_step<bf16>("mamba", "bf16", mamba, {.B = 128, .K = 16, .V = 4096});
  add_step<bf16>("mamba", "bf16", mamba, {.B = 1, .K = 16, .V = 4096});
  for (const index_t B : {128, 1}) {
    const test::shape s{.B = B, .Hk = 16, .H = 16, .K = 128, .V = 128};
    add_step<bf16>("linear_attention", "bf16", linear_attention, s);
    add_step<bf16>("retnet", "bf16", retnet, s);
    add_step<bf16>("gla", "bf16", gla, s);
    add_step<bf16>("mlstm", "bf16", mlstm, s);
  }
  return true;
}();

}  // namespace sextant::bench
