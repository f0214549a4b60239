// SPDX-License-Identifier: Apache-2.0
/// @file  How time grows with the number of tokens, from 1k to 64k, and that the workspace does not.
#include "bench.hpp"

namespace sextant::bench {

static const bool registered = [] {
  const auto add = [](const char* called, const auto& design, test::shape s) {
    for (index_t T = 1024; T <= 65536; T *= 2) {
      s.T = T;
      const std::string title = std::string(called) + "/automatic/cpu::parallel/fp32/" + shape_text(s);
      benchmark::RegisterBenchmark(title.c_str(), [design, s](benchmark::State& state) {
        time_forward<fp32>(state, design, s, form::automatic{}, cpu::parallel{});
      })->Unit(benchmark::kMillisecond)->UseRealTime();
    }
  };
  add("linear_attention", linear_attention, {.Hk = 4, .H = 4, .K = 64, .V = 64});
  add("mamba", mamba, {.K = 16, .V = 256});
  add("mamba2", mamba2, {.Hk = 1, .H = 4, .K = 128, .V = 64});
  add("gla", gla, {.Hk = 2, .H = 2, .K = 64, .V = 64});
  add("mlstm", mlstm, {.Hk = 2, .H = 2, .K = 64, .V = 64});
  return true;
}();

}  // namespace sextant::bench
