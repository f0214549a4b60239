// SPDX-License-Identifier: Apache-2.0
/// @file  A problem's tensors in memory of the device, and the error of what a GPU makes of them.
#pragma once

#include <cmath>    // isnan
#include <cstdio>   // fprintf
#include <cstring>  // memcmp
#include <limits>   // quiet_NaN

#include <sextant/cuda/forward.cuh>

#include "cases.hpp"
#include "cuda/device_memory.hpp"

namespace sextant::test {

/// A call's tensors on the device: those of `p`, at first with its numbers.
template <class Design, class Precision> struct device_problem {
  problem<Design, Precision>& host;
  mirror memory;
  sequence_of<Design, Precision> x;

  explicit device_problem(problem<Design, Precision>& p) : host{p}, x{p.x} {
    memory.take(p);
    const auto move = [this](auto&... views) { (memory.move(views), ...); };
    if constexpr (requires { x.q; }) move(x.q, x.k);
    else move(x.c, x.b, x.log_dt);
    move(x.v, x.y, x.initial_state.S, x.final_state.S, x.offsets);
    if constexpr (requires { x.initial_state.z; }) move(x.initial_state.z, x.final_state.z);
    if constexpr (requires { x.initial_state.m; }) move(x.initial_state.m, x.final_state.m);
    if constexpr (requires { x.dt; }) move(x.dt, x.bias);
    if constexpr (requires { x.input; }) move(x.input);
    if constexpr (requires { x.forget; }) move(x.forget);
    if constexpr (requires { x.a; }) move(x.a);
    if constexpr (requires { x.d; }) move(x.d);
    if constexpr (requires { x.lepe; }) move(x.lepe, x.lepe_bias);
    if constexpr (requires { x.gate; }) move(x.gate);
  }
  /// The answer, in the host's vectors.
  void give() const {
    must(cudaDeviceSynchronize());
    memory.give();
  }
};

/// How a call is made: compute(design, x, stream) and its workspace. Of the public verbs:
template <class Form> struct by_verb {
  Form form{};
  template <class D, class P> std::size_t bytes(const D& design, const sequence_of<D, P>& x) const {
    return workspace_bytes(design, form, gpu::stream{}, x);
  }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    return forward(design, form, on, x);
  }
};
/// Of one family of kernels, whatever others would be preferred.
template <class Family> struct by_family {
  template <class D, class P> std::size_t bytes(const D& design, const sequence_of<D, P>& x) const {
    return Family::workspace_bytes(design, x);
  }
  template <class D, class P> status run(const D& design, const sequence_of<D, P>& x, const gpu::stream& on) const {
    static_assert(Family::template runs<D, P>, "this family does not run the design");
    if (!Family::takes(design, x)) return {errc::unsupported, "this family does not take the shapes"};
    return Family::run(design, x, on);
  }
};

/// Runs a problem on the GPU, with a poisoned workspace of exactly the bytes asked for; the answer is in the host's vectors.
template <class Design, class Precision, class How>
status run_on_gpu(problem<Design, Precision>& p, const How& how) {
  device_problem<Design, Precision> device(p);
  device_memory scratch(how.bytes(p.design, device.x));
  scratch.fill(0xff);
  const status done = how.run(p.design, device.x, gpu::stream{.memory = {scratch.data(), scratch.size()}});
  device.give();
  return done;
}

/// Whether 20 runs of a problem give the same bits, whatever was in the outputs before.
template <class Design, class Precision, class How>
bool gives_the_same_bits(problem<Design, Precision>& p, const How& how) {
  const auto same = [](const auto& a, const auto& b) {
    return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
  };
  bool all = bool(run_on_gpu(p, how));
  const auto y = p.y();
  const auto S = p.S(), z = p.z(), m = p.m();
  for (int i = 1; i < 20; ++i) {
    p.poison();
    all = bool(run_on_gpu(p, how)) && same(y, p.y()) && same(S, p.S()) && same(z, p.z()) &&
          same(m, p.m()) && all;
  }
  return all;
}

/// How many numbers of y are NaN, in tokens first .. last - 1 of head h of sequence b.
template <class Problem> index_t nans(const Problem& p, index_t b, index_t first, index_t last, index_t h) {
  index_t found = 0;
  for (index_t t = first; t < last; ++t)
    for (index_t v = 0; v < p.size.V; ++v) found += std::isnan(float(p.x.y(b, t, h, v)));
  return found;
}
/// Whether a NaN that `put_at(problem, token, channel)` puts into one channel is seen there, from its token on (in all tokens
/// where there is no order), and nowhere else.
template <class Precision, class Design, class How, class Put>
bool stays_in_its_channel(const Design& design, const shape& s, const How& how, const Put& put_at) {
  auto p = make_problem<Precision>(design, s, everyday_wishes<Design>());
  using token = std::remove_cvref_t<decltype(p.y()[0])>;
  const index_t at = 37, channel = 19;
  put_at(p, at, channel) = token(std::numeric_limits<float>::quiet_NaN());
  constexpr bool ordered = !std::is_same_v<typename Design::order_type, order::global>;
  bool all = bool(run_on_gpu(p, how));
  for (index_t t = 0; t < s.T; ++t)
    for (index_t v = 0; v < s.V; ++v)
      all = std::isnan(float(p.x.y(0, t, 0, v))) == (v == channel && (t >= at || !ordered)) && all;
  return all;
}
/// Where stays_in_its_channel() may put its NaN: the step of a channel, its forget gate.
inline constexpr auto in_step = [](auto& p, index_t t, index_t v) -> auto& {
  return const_cast<std::remove_cvref_t<decltype(p.y()[0])>&>(p.x.dt(0, t, 0, v));
};
inline constexpr auto in_forget = [](auto& p, index_t t, index_t v) -> auto& {
  return const_cast<std::remove_cvref_t<decltype(p.y()[0])>&>(p.x.forget(0, t, 0, v));
};
/// Whether a run writes nothing before and behind y and the final states, and no answer is a NaN of what lies before and behind
/// q, k and v.
template <class Design, class Precision, class How> bool stays_within(problem<Design, Precision>& p, const How& how) {
  constexpr std::size_t margin = 4096;
  const auto widen = [](auto& numbers, auto& view) {
    using number = std::remove_reference_t<decltype(numbers[0])>;
    const std::size_t first = std::size_t(view.data() - numbers.data()), size = numbers.size();
    std::vector<number> wide(size + 2 * margin, number(std::numeric_limits<float>::quiet_NaN()));
    std::memcpy(wide.data() + margin, numbers.data(), size * sizeof(number));
    numbers = std::move(wide);
    index_t extents[4], strides[4];
    for (int r = 0; r < 4; ++r) extents[r] = view.extent(r), strides[r] = view.stride(r);
    view = {numbers.data() + margin + first, extents, strides};
  };
  for (auto& y : p.y()) y = typename Precision::token(0.0f);
  for (auto& S : p.S()) S = 0;
  widen(p.tokens[0], p.x.y), widen(p.states[0], p.x.final_state.S);
  widen(p.tokens[1], p.x.q), widen(p.tokens[2], p.x.k), widen(p.tokens[3], p.x.v);
  bool all = bool(run_on_gpu(p, how));
  const auto untouched = [](const auto& numbers) {
    bool it_is = true;
    for (std::size_t i = 0; i < numbers.size(); ++i)
      it_is = std::isnan(float(numbers[i])) == (i < margin || i >= numbers.size() - margin) && it_is;
    return it_is;
  };
  return untouched(p.y()) && untouched(p.S()) && all;
}

/// The error of a call on the GPU against the recurrence in float64, on the same numbers.
template <class Precision = fp32, class Design, class How>
errors error_on_gpu(const Design& design, const shape& s, const wishes& wish, const How& how) {
  using through = storage_of<Precision>;
  auto judge = make_problem<fp64, through>(design, s, wish);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, through>(design, s, wish);
  if (const status done = run_on_gpu(answer, how); !done) {
    std::fprintf(stderr, "%s\n", done.what);
    return {std::numeric_limits<double>::quiet_NaN()};
  }
  return compare(answer, judge);
}
/// The same of a forget tensor of logarithms that remembers `memory` tokens, and the same for all of them: of the last channel
/// or key nearly half as many as of the first.
template <class Precision, class Design, class How>
errors error_of_memory(const Design& design, const shape& s, double memory, const How& how) {
  const auto keep = [&](auto& p) {
    using number = std::remove_cvref_t<decltype(*p.x.forget.data())>;
    const index_t wide = p.x.forget.extent(3);
    for (index_t i = 0; i < s.B * s.T * s.H * wide; ++i)
      const_cast<number*>(p.x.forget.data())[i] = number(float(-(1 + double(i % wide) / double(wide)) / memory));
  };
  auto judge = make_problem<fp64, storage_of<Precision>>(design, s, {.initial_state = true});
  keep(judge);
  reference::recurrent(judge.design, judge.x);
  auto answer = make_problem<Precision, storage_of<Precision>>(design, s, {.initial_state = true});
  keep(answer);
  if (const status done = run_on_gpu(answer, how); !done) return {std::numeric_limits<double>::quiet_NaN()};
  return compare(answer, judge);
}

}  // namespace sextant::test
