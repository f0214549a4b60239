// SPDX-License-Identifier: Apache-2.0
/// @file  One benchmark: a design in a form, a precision and a size, with its bytes, operations and tokens as counters.
#pragma once

#include <benchmark/benchmark.h>

#include <deque>   // deque
#include <string>  // string

#include <sextant/sextant.hpp>

#include "cases.hpp"
#include "shape_text.hpp"

namespace sextant::bench {

/// Sets of inputs that the calls of a benchmark take in turn, so that small ones do not stay in the innermost cache.
inline constexpr std::size_t input_sets = 3;

/// Time of forward(): best and median come from --benchmark_repetitions. bytes: token tensors and y, each once; flops: two
/// per multiply-accumulate of count(); items: tokens.
template <class Precision, class Design, class Form, class On>
void time_forward(benchmark::State& state, const Design& design, const test::shape& s, const Form& form, On on) {
  std::deque<test::problem<Design, Precision>> sets;
  for (std::size_t i = 0; i < input_sets; ++i)
    sets.push_back(test::make_problem<Precision>(design, s, {.seed = i + 1, .positive_keys = test::divides<Design>}));
  std::vector<std::byte> memory(workspace_bytes(design, form, on, sets[0].x));
  on.memory = memory;
  std::size_t turn = 0;
  for (auto _ : state) {
    if (const status done = forward(design, form, on, sets[turn].x); !done) state.SkipWithError(done.what);
    turn = (turn + 1) % input_sets;
    benchmark::ClobberMemory();
  }
  const operation_counts c = count<Precision>(design, {s.B, s.T, s.Hk, s.H, s.K, s.V});
  const auto rate = [](index_t n) {
    return benchmark::Counter(double(n), benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::OneK::kIs1000);
  };
  state.counters["bytes"] = rate(c.bytes);
  state.counters["flops"] = rate(2 * c.macs);
  state.counters["tokens"] = rate(s.B * s.T);
  state.counters["workspace"] = double(memory.size());
  state.SetLabel(std::string(name(design)) + " " + (std::is_same_v<Form, form::automatic> ? chosen_form(design, on, sets[0].x) : Form::name));
}

/// Registers a form for every preset that it runs, in the four precisions, at these numbers of tokens.
template <class Form> void register_form(const Form& form, std::initializer_list<index_t> tokens) {
  test::each_preset([&](const char* called, const auto& design) {
    using design_type = std::remove_cvref_t<decltype(design)>;
    if constexpr (form::runs<Form, design_type>) {
      const auto with = [&]<class Precision>(Precision, const char* precision) {
        for (index_t T : tokens) {
          test::shape s = test::published_shape<design_type>();
          if (s.grid_width > 0) T = T / s.grid_width * s.grid_width;  // whole rows of the picture
          s.T = T;
          const auto add = [&](auto on) {
            const std::string title = std::string(called) + "/" + Form::name + "/" + on.name + "/" + precision + "/" + shape_text(s);
            benchmark::RegisterBenchmark(title.c_str(), [design, s, form, on](benchmark::State& state) {
              time_forward<Precision>(state, design, s, form, on);
            })->Unit(benchmark::kMillisecond)->UseRealTime();
          };
          add(cpu::serial{});
          add(cpu::parallel{});
        }
      };
      with(fp32{}, "fp32");
      with(fp64{}, "fp64");
      with(bf16{}, "bf16");
      with(fp16{}, "fp16");
    }
  });
}

}  // namespace sextant::bench
