// SPDX-License-Identifier: Apache-2.0
/// @file  A benchmark that times its replays of a graph by itself.
#pragma once

#include <benchmark/benchmark.h>

#include <stdexcept>  // runtime_error
#include <string>     // string

#include "replay.cuh"

namespace sextant::bench {

/// Registers a benchmark of one iteration, which times its replays by itself; what throws is the benchmark's error.
template <class Time> void add_timed(const std::string& name, const Time& time) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [time](benchmark::State& state) {
                                 try {
                                   time(state);
                                 } catch (const std::runtime_error& error) {
                                   state.SkipWithError(error.what());
                                   (void)cudaGetLastError();
                                 }
                               })
      ->Unit(benchmark::kMillisecond)
      ->UseManualTime()
      ->Iterations(1);
}

}  // namespace sextant::bench
