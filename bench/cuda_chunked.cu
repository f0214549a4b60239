// SPDX-License-Identifier: Apache-2.0
/// @file  Gates per head, constant and none on a GPU: Mamba-2, linear attention, retention, mLSTM at published sizes.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  // Mamba-2: 32 and 64 heads that share one query and key, 128 and 64 states.
  const test::shape usual{.B = 8, .T = 4096, .Hk = 1, .H = 32, .K = 128, .V = 64};
  add_forward<bf16>("mamba2", "bf16", mamba2, usual);
  add_forward<bf16>("mamba2, output gate", "bf16", mamba2.with(output::silu{}), usual);
  for (const test::shape& s : {test::shape{.B = 8, .T = 4096, .Hk = 1, .H = 64, .K = 128, .V = 64},
                               test::shape{.B = 8, .T = 4096, .Hk = 1, .H = 32, .K = 64, .V = 64},
                               test::shape{.B = 8, .T = 4096, .Hk = 1, .H = 64, .K = 64, .V = 64},
                               test::shape{.B = 1, .T = 131072, .Hk = 1, .H = 32, .K = 128, .V = 64},
                               test::shape{.B = 1, .T = 131072, .Hk = 1, .H = 64, .K = 64, .V = 64}})
    add_forward<bf16>("mamba2", "bf16", mamba2, s);

  // Attention of 16 heads of 64 and of 128: plain, normalised, a constant gate, a gate per head and token.
  const auto plain = linear_attention.with(norm::none{}, map::identity{});
  const auto normalised = linear_attention.with(map::identity{});
  const auto gated = plain.with(forget::log_decay<per::head>{});
  for (const index_t size : {64, 128}) {
    const test::shape s{.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = size, .V = size};
    add_forward<bf16>("plain", "bf16", plain, s);
    add_forward<bf16>("plain, normalised", "bf16", normalised, s);
    add_forward<bf16>("linear_attention", "bf16", linear_attention, s);
    add_forward<bf16>("retnet", "bf16", retnet, s);
    add_forward<bf16>("plain, gate per head", "bf16", gated, s);
    add_forward<bf16>("mlstm", "bf16", mlstm, s);
  }
  add_forward<bf16>("mlstm, sigmoid input gate, no norm", "bf16", mlstm.with(input::sigmoid{}, norm::none{}),
                    {.B = 8, .T = 8192, .Hk = 16, .H = 16, .K = 128, .V = 256});
  add_forward<bf16>("plain, gate per head", "bf16", gated, {.B = 8, .T = 4096, .Hk = 32, .H = 32, .K = 128, .V = 64});
  add_forward<fp16>("plain", "fp16", plain, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 128, .V = 128});
  add_forward<bf16>("plain", "bf16", plain, {.B = 1, .T = 131072, .Hk = 16, .H = 16, .K = 128, .V = 128});
  return true;
}();

}  // namespace sextant::bench
