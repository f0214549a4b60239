// SPDX-License-Identifier: Apache-2.0
/// @file  The second translation unit: the library's functions stand in both, and the linker must not mind.
#include <sextant/sextant.hpp>

float last_sum(const float (&numbers)[3]);

float last_sum(const float (&numbers)[3]) {
  constexpr auto sums = sextant::linear_attention.with(sextant::map::identity{}, sextant::norm::none{});
  const float ones[3] = {1, 1, 1};
  float y[3] = {};

  sextant::sequence<decltype(sums)> x;
  x.q = {ones, {1, 3, 1, 1}};
  x.k = {ones, {1, 3, 1, 1}};
  x.v = {numbers, {1, 3, 1, 1}};
  x.y = {y, {1, 3, 1, 1}};

  alignas(64) static std::byte memory[1 << 16];
  const sextant::cpu::parallel on{{memory, sizeof memory}};
  return sextant::forward(sums, sextant::form::recurrent{}, on, x) ? y[2] : 0;
}
