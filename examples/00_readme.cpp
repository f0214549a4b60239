#include <cstdio>
#include <vector>

#include <sextant/sextant.hpp>

int main() {
  using namespace sextant;
  constexpr auto mixer = mamba2.with(shortcut::none{});       // change one switch ...
  constexpr index_t B = 1, T = 1024, H = 8, V = 64, K = 128;  // ... of Mamba-2, on constant inputs
  std::vector<float> q(B * T * K, 0.1f), k(B * T * K, 0.2f), v(B * T * H * V, 1), dt(B * T * H, -2), a(H, -1), y(v.size());

  sequence<decltype(mixer)> x;  // exactly the tensors of this design
  x.q = {q.data(), {B, T, 1, K}}, x.k = {k.data(), {B, T, 1, K}}, x.v = {v.data(), {B, T, H, V}};
  x.dt = {dt.data(), {B, T, H}}, x.a = {a.data(), {H}}, x.y = {y.data(), {B, T, H, V}};

  std::vector<std::byte> memory(workspace_bytes(mixer, cpu::parallel{}, x));
  if (const status done = forward(mixer, cpu::parallel{memory}, x); !done) return std::puts(done.what), 1;
  std::printf("%s: y = %g ... %g\n", name(mixer), static_cast<double>(y.front()), static_cast<double>(y.back()));
}
