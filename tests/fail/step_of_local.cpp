// SPDX-License-Identifier: Apache-2.0
// expect: step(): shortcut::local reads the neighbours of a pixel: decode a design without it
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
constexpr auto pixels = linear_attention.with(shortcut::local{});
status made(const sequence<decltype(pixels)>& x, const state<decltype(pixels)>& memory) {
  return step(pixels, cpu::serial{}, x, memory);
}
#else
constexpr auto pixels = linear_attention.with(shortcut::learned{});
status made(const sequence<decltype(pixels)>& x, const state<decltype(pixels)>& memory) {
  return step(pixels, cpu::serial{}, x, memory);
}
#endif
