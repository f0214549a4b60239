// SPDX-License-Identifier: Apache-2.0
/// @file  The first call on one page: Mamba-2 on random numbers, then the same mixer with one switch changed.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <sextant/sextant.hpp>

namespace sx = sextant;

std::vector<float> numbers(sx::index_t count, float low, float high) {
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& e : x) e = low + (high - low) * static_cast<float>(std::rand()) / static_cast<float>(RAND_MAX);
  return x;
}

int main() {
  const sx::index_t B = 1, T = 512, H = 8, P = 64, N = 128;  // batch, tokens, heads, channels and states per head
  const auto C = numbers(B * T * N, -1, 1), K = numbers(B * T * N, -1, 1), x = numbers(B * T * H * P, -1, 1);
  const auto dt = numbers(B * T * H, -4, 0), a = numbers(H, -8, -1), D = numbers(H * P, 0, 1);
  std::vector<float> y(x.size());

  sx::sequence<decltype(sx::mamba2)> s;  // exactly the tensors that Mamba-2 has, and no other
  s.q = {C.data(), {B, T, 1, N}};
  s.k = {K.data(), {B, T, 1, N}};
  s.v = {x.data(), {B, T, H, P}};
  s.dt = {dt.data(), {B, T, H}};
  s.a = {a.data(), {H}};
  s.d = {D.data(), {H, P}};
  s.y = {y.data(), {B, T, H, P}};

  std::vector<std::byte> memory(sx::workspace_bytes(sx::mamba2, sx::cpu::parallel{}, s));
  if (const sx::status done = sx::forward(sx::mamba2, sx::cpu::parallel{memory}, s); !done) {
    std::puts(done.what);
    return 1;
  }
  std::printf("%s, %s form: y[0] = %f\n", sx::name(sx::mamba2), sx::chosen_form(sx::mamba2, sx::cpu::parallel{}, s),
              static_cast<double>(y[0]));

  // An ablation: the same mixer without its shortcut. The tensor `d` no longer exists, so it cannot be passed by mistake.
  constexpr auto without_shortcut = sx::mamba2.with(sx::shortcut::none{});
  sx::sequence<decltype(without_shortcut)> t;
  t.q = s.q, t.k = s.k, t.v = s.v, t.dt = s.dt, t.a = s.a, t.y = s.y;
  if (const sx::status done = sx::forward(without_shortcut, sx::cpu::parallel{memory}, t); !done) {
    std::puts(done.what);
    return 1;
  }
  std::printf("%s: y[0] = %f\n", sx::name(without_shortcut), static_cast<double>(y[0]));
}
