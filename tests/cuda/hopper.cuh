// SPDX-License-Identifier: Apache-2.0
/// @file  What tests of Hopper's chunked form share: whether there is such a GPU, and errors against the recurrence in float64.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>  // max, min
#include <thread>     // thread

#include <sextant/cuda/chunked_wgmma.cuh>

#include "cuda/device_problem.cuh"

namespace sextant::test {

constexpr by_family<gpu::chunked_wgmma> chunked{};
constexpr auto unchanged = [](auto&) {};

/// Whether there is a GPU of compute capability 9; says that the test is skipped where there is none.
inline bool has_hopper() {
  if (!has_gpu()) return false;
  if (gpu::device_attribute(cudaDevAttrComputeCapabilityMajor) == 9) return true;
  std::puts("skipped: this kernel is for compute capability 9");
  return false;
}

/// The recurrence by as many threads as there are eights of channels, which know nothing of each other: for long sequences.
template <class Problem> void judge_by_channels(const Problem& p) {
  std::vector<std::thread> threads;
  for (index_t first = 0; first < p.size.V; first += 8)
    threads.emplace_back([&p, first] {
      auto x = p.x;
      const auto part = [first](auto& of, index_t V) {
        if (of) of = {of.data() + first, {of.extent(0), of.extent(1), of.extent(2), V},
                      {of.stride(0), of.stride(1), of.stride(2), of.stride(3)}};
      };
      const index_t V = std::min<index_t>(8, p.size.V - first);
      part(x.v, V), part(x.y, V), part(x.initial_state.S, V), part(x.final_state.S, V);
      if constexpr (requires { x.gate; }) part(x.gate, V);
      if constexpr (requires { x.d; }) x.d = {x.d.data() + first, {x.d.extent(0), V}, {x.d.stride(0), x.d.stride(1)}};
      if constexpr (requires { x.final_state.z; })
        if (first > 0) x.final_state.z = {};
      reference::recurrent(p.design, x);
    });
  for (std::thread& one : threads) one.join();
}

/// The error of a problem that `change` has been let loose on, the judge's too.
template <class Precision, class Design, class Change, class How = std::remove_const_t<decltype(chunked)>>
double error_after(const Design& design, const shape& s, const wishes& w, const Change& change, const How& how = {}) {
  using through = storage_of<Precision>;
  auto judge = make_problem<fp64, through>(design, s, w);
  change(judge);
  if (s.T > 4096) judge_by_channels(judge);
  else reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, through>(design, s, w);
  change(answer);
  const status done = run_on_gpu(answer, how);
  if (!done) std::fprintf(stderr, "%s\n", done.what);
  return done ? compare(answer, judge).worst() : std::numeric_limits<double>::quiet_NaN();
}
template <class Precision, class Design, class How = std::remove_const_t<decltype(chunked)>>
void holds(const Design& design, const shape& s, const wishes& w = {}, const How& how = {}) {
  const long long sizes[] = {s.B, s.T, s.Hk, s.H, s.K, s.V};
  INFO("B ", sizes[0], " T ", sizes[1], " Hk ", sizes[2], " H ", sizes[3], " K ", sizes[4], " V ", sizes[5], ", gates of ",
       w.gate_size, ", rates of ", w.rate_size);
  CHECK(error_after<Precision>(design, s, w, unchanged, how) <= tolerance<Precision>);
}
/// Whether the family takes calls of a size, in bfloat16.
template <class Design> bool takes(const Design& design, const shape& s) {
  auto p = make_problem<bf16, bfloat16>(design, s);
  device_problem device(p);
  return gpu::chunked_wgmma::takes(p.design, device.x);
}
/// Turned queries and keys are rounded once more than y: 2^-8 + 2^-9 in bfloat16.
template <class Precision> inline constexpr double turned_bound = std::is_same_v<Precision, bf16> ? 6e-3 : tolerance<Precision>;

/// Whether the error stays in bounds with the first token at `position`, with as many sequences as the family wants: it leaves
/// small calls to another one, since turned queries and keys are rounded, which a few answers that nearly cancel do not forgive.
template <class Precision, class Design>
void holds_from(index_t position, const Design& design, shape s, const wishes& w = {}) {
  s.B = std::max(s.B, (2047 + s.T * s.Hk) / (s.T * s.Hk));
  INFO("from ", static_cast<long long>(position), ", B ", static_cast<long long>(s.B), ", T ", static_cast<long long>(s.T), ", K ",
       static_cast<long long>(s.K));
  const auto place = [position](auto& p) {
    if constexpr (requires { p.x.first_position; }) p.x.first_position = position;
  };
  CHECK(error_after<Precision>(design, s, w, place) <= turned_bound<Precision>);
}
/// Makes `number` the value of number `at` of a tensor.
template <class Element, class... Axes> void put(const view<const Element, Axes...>& x, index_t at, float number) {
  const_cast<Element*>(x.data())[at] = Element(number);
}
/// Makes the decays of keys alone: F(t, key) as a logarithm, in all batches and heads.
template <class Decay> auto all_decays(const Decay& decay) {
  return [decay](auto& p) {
    const shape& s = p.size;
    for (index_t i = 0; i < p.x.forget.size(); ++i) put(p.x.forget, i, decay(i / (s.H * s.K) % s.T, i % s.K));
  };
}

constexpr auto plain = linear_attention.with(norm::none{}, map::identity{});
constexpr auto decaying = plain.with(forget::log_decay<per::head>{});
constexpr auto everything = linear_attention.with(forget::exponential{}, input::softplus<per::head>{}, norm::sum{.eps = 1e-3},
                                                  map::relu{}, output::silu{}, shortcut::learned{}, order::reversed{});
constexpr auto undecayed = linear_attention.with(norm::sum_undecayed{}, forget::log_sigmoid<per::head>{}, input::sigmoid{},
                                                 map::identity{}, heads::grouped{});
constexpr auto paired_sums = mamba2.with(norm::sum{.eps = 1e-3});

}  // namespace sextant::test
