// SPDX-License-Identifier: Apache-2.0
// expect: form::quadratic runs designs with queries and keys of tokens: use form::chunked or form::recurrent
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
status made(const sequence<decltype(s4d)>& x) { return forward(s4d, form::quadratic{}, cpu::serial{}, x); }
#else
status made(const sequence<decltype(gla)>& x) { return forward(gla, form::quadratic{}, cpu::serial{}, x); }
#endif
