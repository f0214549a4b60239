// SPDX-License-Identifier: Apache-2.0
// expect: with(): two parts answer the same distinction
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr auto made = linear_attention.with(norm::none{}, norm::sum{});
#else
inline constexpr auto made = linear_attention.with(norm::none{}, map::relu{});
#endif
