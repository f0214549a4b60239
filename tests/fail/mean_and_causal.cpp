// SPDX-License-Identifier: Apache-2.0
// expect: norm::mean divides by the number of all tokens: use order::global, or norm::sum
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr auto made = linear_attention.with(norm::mean{});
#else
inline constexpr auto made = linear_attention.with(norm::mean{}, order::global{});
#endif
