// SPDX-License-Identifier: Apache-2.0
/// @file  A user's program: running sums as linear attention, from two translation units.
#include <cstdio>   // printf
#include <cstdlib>  // EXIT_SUCCESS, EXIT_FAILURE

#include <sextant/sextant.hpp>

float last_sum(const float (&numbers)[3]);  // other.cpp

int main() {
  constexpr auto sums = sextant::linear_attention.with(sextant::map::identity{}, sextant::norm::none{});
  const float ones[3] = {1, 1, 1};
  const float numbers[3] = {1, 2, 4};
  float y[3] = {};

  sextant::sequence<decltype(sums)> x;
  x.q = {ones, {1, 3, 1, 1}};     // [batch, time, head, key]
  x.k = {ones, {1, 3, 1, 1}};     // [batch, time, head, key]
  x.v = {numbers, {1, 3, 1, 1}};  // [batch, time, head, value]
  x.y = {y, {1, 3, 1, 1}};        // [batch, time, head, value]

  alignas(64) static std::byte memory[1 << 16];
  const sextant::cpu::serial on{{memory, sizeof memory}};
  if (sextant::workspace_bytes(sums, on, x) > sizeof memory) return EXIT_FAILURE;
  const sextant::status done = sextant::forward(sums, on, x);
  if (!done) {
    std::printf("%s\n", done.what);
    return EXIT_FAILURE;
  }

  std::printf("sums of 1 2 4: %g %g %g, and once more: %g\n", y[0], y[1], y[2], last_sum(numbers));
  return y[0] == 1 && y[1] == 3 && y[2] == 7 && last_sum(numbers) == 7 ? EXIT_SUCCESS : EXIT_FAILURE;
}
