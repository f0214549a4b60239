// SPDX-License-Identifier: Apache-2.0
/// @file  A design with a user's own gate and map, checked against the recurrence in float64.
#include <cmath>
#include <cstdio>
#include <vector>

#include <sextant/reference/recurrent.hpp>
#include <sextant/sextant.hpp>

#include "gate_and_map.hpp"

namespace sx = sextant;

constexpr auto ours =
    sx::linear_attention.with(mine::floored_sigmoid{.floor = 0.3f}, mine::squared_relu{}, sx::norm::sum{.eps = 1e-6});

/// The tensors of a call in one precision; wave(i) stands for a model's numbers.
template <class Precision> struct call {
  using token = typename Precision::token;
  static constexpr sx::index_t B = 2, T = 300, H = 4, K = 16, V = 24;
  std::vector<token> q, k, v, forget, y;
  sx::sequence<decltype(ours), Precision> x;

  call() : q(wave(B * T * H * K, 1)), k(wave(B * T * H * K, 2)), v(wave(B * T * H * V, 3)), forget(wave(B * T * H, 4)), y(v.size()) {
    x.q = {q.data(), {B, T, H, K}};
    x.k = {k.data(), {B, T, H, K}};
    x.v = {v.data(), {B, T, H, V}};
    x.forget = {forget.data(), {B, T, H}};
    x.y = {y.data(), {B, T, H, V}};
  }
  static std::vector<token> wave(sx::index_t count, double phase) {
    std::vector<token> w;
    for (sx::index_t i = 0; i < count; ++i) w.push_back(token(float(std::sin(double(i) * 0.7 + phase))));
    return w;
  }
};

int main() {
  call<sx::fp32> answer;
  std::vector<std::byte> memory(sx::workspace_bytes(ours, sx::cpu::parallel{}, answer.x));
  if (const sx::status done = sx::forward(ours, sx::cpu::parallel{memory}, answer.x); !done) {
    std::puts(done.what);
    return 1;
  }
  call<sx::fp64> judge;
  sx::reference::recurrent(ours, judge.x);

  double most = 0, size = 0;
  for (std::size_t i = 0; i < answer.y.size(); ++i) {
    most = std::fmax(most, std::fabs(double(answer.y[i]) - judge.y[i]));
    size = std::fmax(size, std::fabs(judge.y[i]));
  }
  std::printf("%s\n%s form, error against float64: %.1e\n", sx::name(ours),
              sx::chosen_form(ours, sx::cpu::parallel{}, answer.x), most / size);
  return most / size < 2e-6 ? 0 : 1;
}
