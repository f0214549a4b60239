// SPDX-License-Identifier: Apache-2.0
// expect: a view takes one index for each of its axes
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
float made(bth<float> x) { return x(0, 0); }
#else
float made(bth<float> x) { return x(0, 0, 0); }
#endif
