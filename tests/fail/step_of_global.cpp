// SPDX-License-Identifier: Apache-2.0
// expect: step(): a token of order::global sees tokens that are not there yet: decode a causal design
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
constexpr auto whole = linear_attention.with(order::global{});
status made(const sequence<decltype(whole)>& x, const state<decltype(whole)>& memory) {
  return step(whole, cpu::serial{}, x, memory);
}
#else
status made(const sequence<decltype(retnet)>& x, const state<decltype(retnet)>& memory) {
  return step(retnet, cpu::serial{}, x, memory);
}
#endif
