// SPDX-License-Identifier: Apache-2.0
// expect: sums are taken in float or double
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
using made = precision<bfloat16, float, bfloat16>::token;
#else
using made = precision<bfloat16, float, float>::token;
#endif
