// SPDX-License-Identifier: Apache-2.0
// expect: no backend of this name is included: cpu::serial and cpu::parallel are in <sextant/sextant.hpp>, gpu::stream in <sextant/cuda/forward.cuh>
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
status made(const sequence<decltype(gla)>& x) { return forward(gla, form::automatic{}, 7, x); }
#else
status made(const sequence<decltype(gla)>& x) { return forward(gla, form::automatic{}, cpu::serial{}, x); }
#endif
