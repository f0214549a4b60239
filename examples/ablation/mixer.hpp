// SPDX-License-Identifier: Apache-2.0
/// @file  The tensors of one row: seeded projections of the picture's tokens, in any precision.
#pragma once

#include <cmath>   // log
#include <deque>   // deque
#include <span>    // span
#include <string>  // string
#include <vector>  // vector

#include <sextant/design/describe.hpp>

#include "projection.hpp"
#include "tokens.hpp"
#include "variants.hpp"

namespace ablation {

using sextant::index_t;

/// Every tensor that a design reads, as float: the same numbers for every precision and backend. Parameters and
/// multiply-accumulates are those of the projections; the operator adds its own.
struct mixer_tensors {
  std::vector<float> q, k, v, dt, forget;
  std::vector<float> step_bias, a, d, lepe, lepe_bias, c, log_dt;
  std::int64_t params = 0, macs = 0;

  /// Rounds what is stored per token, so that a judge in float64 reads what a kernel reads.
  template <class Stored> void round() {
    for (std::vector<float>* tokens : {&q, &k, &v, &dt, &forget})
      for (float& x : *tokens) x = float(Stored(x));
  }
};

template <class Design> mixer_tensors project(const variant& row, const Design&, std::span<const float> tokens) {
  using namespace sextant;
  mixer_tensors r;
  const index_t T = index_t(tokens.size()) / token_channels, C = row.heads * row.values;
  const auto linear = [&](const char* name, index_t outputs) {
    projection p = make_projection(default_seed, name, token_channels, outputs);
    if (row.biased) p.bias = seeded(default_seed, std::string(name) + ".bias", outputs, 0.0f, 0.02f);
    r.params += p.params();
    r.macs += p.macs(T);
    return p.apply(tokens);
  };
  const auto low_rank = [&](const char* name, index_t outputs) {
    const low_rank_projection p = make_gate_projection(default_seed, name, token_channels, outputs);
    r.params += p.params();
    r.macs += p.macs(T);
    return p.apply(tokens);
  };
  using forget_type = typename Design::forget_type;
  if constexpr (!time_invariant<forget_type>) {
    r.q = linear("q", row.key_heads * row.keys);
    r.k = linear("k", row.key_heads * row.keys);
  }
  r.v = row.projects_v ? linear("v", C) : std::vector<float>(tokens.begin(), tokens.end());

  constexpr per step = detail::step_granularity<Design>;
  if constexpr (step != per::nothing) {
    const index_t outputs = step == per::head ? row.heads : C;
    r.dt = low_rank("dt", outputs);
    if (row.has_step_bias) {
      r.step_bias = step_bias(default_seed, "dt.bias", outputs);
      r.params += outputs;
    }
  }
  if constexpr (reads_own<forget_type>)
    r.forget = low_rank("forget", raw_granularity<forget_type> == per::head ? row.heads : row.heads * row.keys);
  if constexpr (time_invariant<forget_type>) {
    for (index_t c = 0; c < C; ++c)  // S4D-Lin's start: a_m = -1/2 + i pi m
      for (index_t m = 0; m < row.keys / 2; ++m) r.a.push_back(-0.5f), r.a.push_back(3.14159265f * float(m));
    r.c = seeded(default_seed, "c", C * row.keys, 0.0f, 0.70710678f);
    r.log_dt = log_steps(default_seed, "log_dt", C);
    r.params += std::int64_t(r.c.size() + r.log_dt.size());
  } else if constexpr (rate_granularity<forget_type> == per::key_channel) {
    for (index_t c = 0; c < C; ++c)  // Mamba's start: a_n = -(n + 1)
      for (index_t n = 0; n < row.keys; ++n) r.a.push_back(-float(n + 1));
  } else if constexpr (reads_step<forget_type>) {
    for (float u : seeded(default_seed, "a", row.heads, 8.0f, 2.0f)) r.a.push_back(-(u > 1 ? u : 1.0f));
  }
  r.params += std::int64_t(r.a.size());
  if constexpr (detail::is_learned<Design>) {
    r.d.assign(std::size_t(C), 1.0f);
    r.params += C;
  }
  if constexpr (detail::is_local<Design>) {
    r.lepe = make_depthwise(default_seed, "lepe", C, 9).weight;
    r.lepe_bias = seeded(default_seed, "lepe.bias", C, 0.0f, 0.02f);
    r.params += 10 * C;
  }
  r.macs += count(Design{}, {1, T, row.key_heads, row.heads, row.keys, row.values}).macs;
  return r;
}

/// A call: the tensors in a precision.
template <class Design, class Precision> struct mixer_call {
  sextant::sequence_of<Design, Precision> x{};
  std::vector<typename Precision::token> y;

  mixer_call(const variant& row, const mixer_tensors& from, index_t T) {
    using namespace sextant;
    const index_t Hk = row.key_heads, H = row.heads, K = row.keys, V = row.values;
    if constexpr (requires { x.q; }) {
      x.q = {tokens(from.q), {1, T, Hk, K}};
      x.k = {tokens(from.k), {1, T, Hk, K}};
    } else {
      x.c = {numbers(from.c), {H, V, K}};
      x.log_dt = {numbers(from.log_dt), {H, V}};
    }
    x.v = {tokens(from.v), {1, T, H, V}};
    y.assign(std::size_t(T * H * V), typename Precision::token(0.0f));
    x.y = {y.data(), {1, T, H, V}};
    if constexpr (detail::step_granularity<Design> == per::head) {
      x.dt = {tokens(from.dt), {1, T, H}};
      if (!from.step_bias.empty()) x.bias = {numbers(from.step_bias), {H}};
    } else if constexpr (detail::step_granularity<Design> == per::channel) {
      x.dt = {tokens(from.dt), {1, T, H, V}};
      if (!from.step_bias.empty()) x.bias = {numbers(from.step_bias), {H, V}};
    }
    if constexpr (requires { x.forget; }) x.forget = {tokens(from.forget), {1, T, H, K}};
    if constexpr (rate_granularity<typename Design::forget_type> == per::key_channel)
      x.a = {numbers(from.a), {H, V, K}};
    else if constexpr (reads_step<typename Design::forget_type>) x.a = {numbers(from.a), {H}};
    if constexpr (requires { x.d; }) x.d = {numbers(from.d), {H, V}};
    if constexpr (requires { x.lepe; }) {
      x.lepe = {numbers(from.lepe), {H, V, 3, 3}};
      x.lepe_bias = {numbers(from.lepe_bias), {H, V}};
    }
    // Copies of the picture stand below one another; a number of tokens that is no whole number of rows is one row.
    if constexpr (requires { x.grid; })
      x.grid = T % grid_side == 0 ? image_grid{T / grid_side, grid_side} : image_grid{1, T};
  }

 private:
  const typename Precision::token* tokens(const std::vector<float>& from) {
    auto& to = stored_.emplace_back();
    for (float f : from) to.push_back(typename Precision::token(f));
    return to.data();
  }
  const typename Precision::accumulator* numbers(const std::vector<float>& from) {
    return parameters_.emplace_back(from.begin(), from.end()).data();
  }
  std::deque<std::vector<typename Precision::token>> stored_;
  std::deque<std::vector<typename Precision::accumulator>> parameters_;
};

}  // namespace ablation
