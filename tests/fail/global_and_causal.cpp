// SPDX-License-Identifier: Apache-2.0
// expect: form::global runs designs of order::global alone
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
status made(const sequence<decltype(linear_attention)>& x) { return forward(linear_attention, form::global{}, cpu::serial{}, x); }
#else
status made(const sequence<decltype(linear_attention)>& x) { return forward(linear_attention, form::recurrent{}, cpu::serial{}, x); }
#endif
