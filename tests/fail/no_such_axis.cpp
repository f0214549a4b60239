// SPDX-License-Identifier: Apache-2.0
// expect: this view has no such axis
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
index_t made(bth<float> x) { return x.extent<axis::key>(); }
#else
index_t made(bth<float> x) { return x.extent<axis::head>(); }
#endif
