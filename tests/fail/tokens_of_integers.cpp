// SPDX-License-Identifier: Apache-2.0
// expect: tokens and states are stored as float, double, sextant::bfloat16 or sextant::float16
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
using made = precision<int, float, float>::token;
#else
using made = precision<float16, float, float>::token;
#endif
