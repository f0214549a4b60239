// SPDX-License-Identifier: Apache-2.0
/// @file  One benchmark on a GPU: a design in a form, a precision and a size, timed by CUDA events over rotating inputs.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>  // clamp, max, min
#include <string>     // string
#include <vector>     // vector

#include "cold_calls.cuh"
#include "device_call.cuh"
#include "gpu_name.cuh"
#include "replay.cuh"
#include "roofline.hpp"
#include "shape_text.hpp"

namespace sextant::bench {

/// Bytes that the calls of one replay touch at least, several times the L2 cache of any GPU of today.
inline constexpr index_t rotated_bytes = 300'000'000;
/// Milliseconds that a replay lasts at least, replays of a benchmark, and the milliseconds that they may take together.
inline constexpr double replay_ms = 4, most_ms = 600;
inline constexpr int most_replays = 31;

/// Times `call(x, stream)` on sets of inputs in turn; the benchmark's time is the median of the replays. Counters: what the
/// call must do (bytes, flops, exps, as rates), its launches, its floor at the copy rate of its size, the fraction of it that
/// the median reaches, and the time of a call by itself (cold_ms). prepare(x) comes before anything is captured and gives the
/// label, to which comes what binds the floor.
template <class Precision, class Design, class Prepare, class Call>
void time_on_gpu(benchmark::State& state, const test::shape& s, bool states, const work& least, const Prepare& prepare,
                 const Call& call) {
  try {
    std::vector<device_call<Design, Precision>> sets;
    sets.emplace_back(s, 1, states);
    const index_t wanted = std::clamp<index_t>(rotated_bytes / sets[0].bytes + 1, 3, 64);
    for (index_t i = 1; i < wanted; ++i) sets.emplace_back(s, std::uint32_t(i + 1), states);
    const std::string label = prepare(sets[0].x);
    const auto one = [&](int i, cudaStream_t on) {
      if (const status done = call(sets[std::size_t(i) % sets.size()].x, on); !done)
        throw std::runtime_error(done.what);
    };
    // The first call pays for the kernel's loading; the second says how many fit into a replay.
    double ms = 0;
    for (int i = 0; i < 2; ++i) ms = replay(1, one).ms();
    const int turns = std::max(1, int(replay_ms / (ms * double(sets.size()) + 1e-6)));
    const replay many(ms > replay_ms ? 1 : std::min(int(sets.size()) * turns, 192), one);
    std::vector<double> times;
    for (auto _ : state) {
      times = many.sorted_ms(ms > replay_ms ? 1 : 3, most_replays, most_ms);
      state.SetIterationTime(times[times.size() / 2] * 1e-3);
    }
    const resource_times floor = times_of(least, h200(least.bytes));
    const auto rate = [](double n) {
      return benchmark::Counter(n, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::OneK::kIs1000);
    };
    state.counters["bytes"] = rate(least.bytes);
    state.counters["flops"] = rate(least.flops);
    state.counters["exps"] = rate(least.exps);
    state.counters["tokens"] = rate(double(s.B * s.T));
    state.counters["launches"] = many.launches();
    state.counters["best_ms"] = times.front();
    state.counters["cold_ms"] = cold_ms(int(std::clamp(most_ms / 2 / times.front(), 3.0, double(most_replays))), one);
    state.counters["floor_ms"] = floor.floor_ms();
    state.counters["of_floor"] = floor.floor_ms() / times[times.size() / 2];
    state.SetLabel(label + "; bound by " + floor.binds());
  } catch (const std::runtime_error& error) {
    state.SkipWithError(error.what());
    (void)cudaGetLastError();
  }
}

/// Memory of the device that calls scribble on, taken before any of them is captured.
struct scratch {
  std::byte* data = nullptr;
  std::size_t bytes = 0;

  scratch() = default;
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() { cudaFree(data); }
  void take(std::size_t wanted) {
    bytes = wanted;
    if (bytes > 0) must(cudaMalloc(reinterpret_cast<void**>(&data), bytes));
  }
  gpu::stream on(cudaStream_t handle) const { return {.memory = {data, bytes}, .handle = handle}; }
};

/// Registers a benchmark of one iteration, which is many calls.
template <class Time> void add_to_list(const std::string& title, const Time& time) {
  benchmark::RegisterBenchmark(title.c_str(), time)->Unit(benchmark::kMillisecond)->UseManualTime()->Iterations(1);
}

/// Registers forward() of a design in the form that the library chooses.
template <class Precision, class Design>
void add_forward(const std::string& called, const char* precision, const Design& design, const test::shape& s) {
  add_to_list(called + "/automatic/gpu::stream/" + precision + "/" + shape_text(s),
              [design, s](benchmark::State& state) {
                scratch memory;
                const auto prepare = [&](const sequence_of<Design, Precision>& x) {
                  memory.take(workspace_bytes(design, gpu::stream{}, x));
                  return std::string(name(design)) + "; " + chosen_form(design, gpu::stream{}, x);
                };
                const work least = forward_work<Precision>(design, {s.B, s.T, s.Hk, s.H, s.K, s.V});
                time_on_gpu<Precision, Design>(state, s, false, least, prepare,
                                               [&](const sequence_of<Design, Precision>& x, cudaStream_t on) {
                                                 return forward(design, memory.on(on), x);
                                               });
                state.counters["workspace"] = double(memory.bytes);
              });
}

/// Registers step() of a design, the state in place.
template <class Precision, class Design>
void add_step(const std::string& called, const char* precision, const Design& design, test::shape s) {
  s.T = 1;
  add_to_list(called + "/step/gpu::stream/" + precision + "/" + shape_text(s), [design, s](benchmark::State& state) {
    scratch memory;
    const auto prepare = [&](const sequence_of<Design, Precision>& x) {
      memory.take(workspace_bytes(design, form::recurrent{}, gpu::stream{}, x));
      return std::string(name(design)) + "; recurrent";
    };
    const work least = step_work<Precision>(design, {s.B, s.T, s.Hk, s.H, s.K, s.V});
    time_on_gpu<Precision, Design>(state, s, true, least, prepare,
                                   [&](const sequence_of<Design, Precision>& x, cudaStream_t on) {
                                     return step(design, memory.on(on), x, x.final_state);
                                   });
    state.counters["workspace"] = double(memory.bytes);
  });
}

/// Registers forward() of a design and of the same with each of its switches the other way, in bfloat16.
template <class Design> void add_ablation(const char* called, const Design& design, const test::shape& s) {
  const auto add = [s](const std::string& flipped, const auto& other) {
    using heads_type = typename std::remove_cvref_t<decltype(other)>::heads_type;
    test::shape sizes = s;
    if (std::is_same_v<heads_type, heads::single>) sizes.V *= s.H, sizes.Hk = sizes.H = 1;  // as many channels
    else if (std::is_same_v<heads_type, heads::multi>) sizes.Hk = sizes.H;
    add_forward<bf16>(flipped, "bf16", other, sizes);
  };
  add(called, design);
  test::each_flip_of(called, design, add);
}

}  // namespace sextant::bench
