// SPDX-License-Identifier: Apache-2.0
/// @file  Decode on the CPU: one token more, the state in place, for every preset that decodes.
#include "bench.hpp"

namespace sextant::bench {

template <class Precision, class Design, class On>
void time_step(benchmark::State& bench, const Design& design, const test::shape& s, On on) {
  auto p = test::make_problem<Precision>(design, s, {.positive_keys = test::divides<Design>});
  for (auto* part : {&p.S(), &p.z(), &p.m()}) part->assign(part->size(), 0);
  std::vector<std::byte> memory(workspace_bytes(design, form::recurrent{}, on, p.x));
  on.memory = memory;
  for (auto _ : bench) {
    if (const status done = step(design, on, p.x, p.x.final_state); !done) bench.SkipWithError(done.what);
    benchmark::ClobberMemory();
  }
  const index_t W = state_width<typename Design::map_type>(s.K);
  using benchmark::Counter;
  const auto rate = [](index_t n) { return Counter(double(n), Counter::kIsIterationInvariantRate); };
  bench.counters["bytes"] = rate(2 * 4 * s.B * s.H * W * s.V);
  bench.counters["tokens"] = rate(s.B);
  bench.SetLabel(name(design));
}

static const bool registered = [] {
  test::each_preset([](const char* called, const auto& design) {
    using design_type = std::remove_cvref_t<decltype(design)>;
    if constexpr (!std::is_same_v<typename design_type::order_type, order::global>) {
      test::shape s = test::published_shape<design_type>();
      s.T = 1;
      if (std::is_same_v<design_type, std::remove_cvref_t<decltype(mamba2)>>) s.H = 64;
      const auto add = [&](auto on) {
        const std::string title = std::string(called) + "/step/" + on.name + "/fp32/" + shape_text(s);
        benchmark::RegisterBenchmark(title.c_str(), [design, s, on](benchmark::State& state) {
          time_step<fp32>(state, design, s, on);
        })->Unit(benchmark::kMillisecond)->UseRealTime();
      };
      add(cpu::serial{});
      add(cpu::parallel{});
    }
  });
  return true;
}();

}  // namespace sextant::bench
