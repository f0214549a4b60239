// SPDX-License-Identifier: Apache-2.0
// expect: no form of this name: automatic, recurrent, scan, chunked, quadratic, global
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
status made(const sequence<decltype(gla)>& x) { return forward(gla, 7, cpu::serial{}, x); }
#else
status made(const sequence<decltype(gla)>& x) { return forward(gla, form::automatic{}, cpu::serial{}, x); }
#endif
