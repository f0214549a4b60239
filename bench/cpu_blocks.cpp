// SPDX-License-Identifier: Apache-2.0
/// @file  Convolutions of blocks on the CPU in float: along time as a Mamba block has it, and depthwise of pictures as MILA has.
#include <benchmark/benchmark.h>

#include <string>  // string, to_string
#include <vector>  // vector

#include <sextant/blocks/cpu/operations.hpp>

namespace sextant::bench {

/// Numbers of a layer or of tokens, seeded.
inline std::vector<float> numbers(index_t count) {
  std::vector<float> made(static_cast<std::size_t>(count));
  unsigned random = 1;
  for (float& x : made) x = float(int((random = random * 1664525u + 1013904223u) >> 8) - (1 << 23)) * 0x1p-22f;
  return made;
}

/// Registers call(on); bytes are x and y, each once.
template <class Call> void add(const std::string& name, double bytes, double flops, const Call& call) {
  const auto with = [&](const char* where, auto on) {
    benchmark::RegisterBenchmark((name + "/" + where).c_str(),
                                 [=](benchmark::State& state) {
                                   auto run = call;  // with tensors of its own
                                   for (auto _ : state)
                                     if (const status done = run(on); !done) state.SkipWithError(done.what);
                                   const auto rate = [](double n) {
                                     return benchmark::Counter(n, benchmark::Counter::kIsIterationInvariantRate,
                                                               benchmark::Counter::OneK::kIs1000);
                                   };
                                   state.counters["bytes"] = rate(bytes);
                                   state.counters["flops"] = rate(flops);
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  with("cpu::serial", cpu::serial{});
  with("cpu::parallel", cpu::parallel{});
}

/// The convolution of four taps in front of a Mamba block's mixer, with silu.
void add_conv1d(index_t B, index_t T, index_t C) {
  const auto x = numbers(B * T * C), weight = numbers(4 * C), bias = numbers(C);
  blocks::modules::conv1d<float> layer(C);
  const std::string name =
      "causal_conv1d:silu/fp32/B" + std::to_string(B) + "/T" + std::to_string(T) + "/C" + std::to_string(C);
  add(name, 8.0 * double(B * T * C), 8.0 * double(B * T * C),
      [=, y = std::vector<float>(x.size())](const auto& on) mutable {
        layer.weight = {weight.data(), {4, C}};
        layer.bias = {bias.data(), {C}};
        return causal_conv1d(on, {x.data(), {B, T, C}}, layer, {y.data(), {B, T, C}}, blocks::activation::silu);
      });
}

/// The depthwise 3x3 convolution of one picture.
void add_depthwise(index_t side, index_t C) {
  const auto x = numbers(side * side * C), weight = numbers(9 * C), bias = numbers(C);
  blocks::modules::depthwise<float> layer(C);
  const std::string name =
      "depthwise_3x3/fp32/B1/" + std::to_string(side) + "x" + std::to_string(side) + "/C" + std::to_string(C);
  add(name, 8.0 * double(side * side * C), 18.0 * double(side * side * C),
      [=, y = std::vector<float>(x.size())](const auto& on) mutable {
        layer.weight = {weight.data(), {9, C}};
        layer.bias = {bias.data(), {C}};
        return depthwise_3x3(on, {x.data(), {1, side, side, C}}, layer, {y.data(), {1, side, side, C}});
      });
}

static const bool registered = [] {
  add_conv1d(1, 2048, 1536);
  for (index_t side = 56, C = 64; side >= 7; side /= 2, C *= 2) add_depthwise(side, C);
  return true;
}();

}  // namespace sextant::bench
