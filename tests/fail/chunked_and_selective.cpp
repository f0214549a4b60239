// SPDX-License-Identifier: Apache-2.0
// expect: form::chunked runs causal and reversed designs whose forget gate does not vary over channels: use form::recurrent or form::scan
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
status made(const sequence<decltype(mamba)>& x) { return forward(mamba, form::chunked{}, cpu::serial{}, x); }
#else
status made(const sequence<decltype(mamba2)>& x) { return forward(mamba2, form::chunked{}, cpu::serial{}, x); }
#endif
