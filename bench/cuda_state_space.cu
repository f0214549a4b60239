// SPDX-License-Identifier: Apache-2.0
/// @file  State spaces that are the same for every token on a GPU: S4D with 32 pairs, many channels and few, short and long.
#include "cuda_bench.cuh"

namespace sextant::bench {

static const bool registered = [] {
  const test::shape usual{.B = 8, .T = 4096, .K = 64, .V = 2048};
  add_forward<bf16>("s4d", "bf16", s4d, usual);
  add_forward<fp16>("s4d", "fp16", s4d, usual);
  add_forward<fp32>("s4d", "fp32", s4d, usual);
  add_forward<bf16>("s4d", "bf16", s4d, {.B = 16, .T = 4096, .K = 64, .V = 2048});
  add_forward<bf16>("s4d", "bf16", s4d, {.B = 32, .T = 1024, .K = 64, .V = 256});
  add_forward<bf16>("s4d", "bf16", s4d, {.B = 1, .T = 16384, .K = 64, .V = 256});
  add_forward<bf16>("s4d", "bf16", s4d, {.B = 1, .T = 131072, .K = 64, .V = 2048});
  add_step<fp32>("s4d", "fp32", s4d, {.B = 128, .K = 64, .V = 2048});
  add_step<fp32>("s4d", "fp32", s4d, {.B = 1, .K = 64, .V = 2048});
  return true;
}();

}  // namespace sextant::bench
