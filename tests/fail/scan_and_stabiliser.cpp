// SPDX-License-Identifier: Apache-2.0
// expect: form::scan runs causal and reversed designs with gates of tokens and without abs_max's stabiliser: use form::recurrent
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
status made(const sequence<decltype(mlstm)>& x) { return forward(mlstm, form::scan{}, cpu::serial{}, x); }
#else
status made(const sequence<decltype(gla)>& x) { return forward(gla, form::scan{}, cpu::serial{}, x); }
#endif
