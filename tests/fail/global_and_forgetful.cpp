// SPDX-License-Identifier: Apache-2.0
// expect: order::global sums over all tokens without order, so nothing can be forgotten: use forget::one, or order::causal
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr auto made = linear_attention.with(order::global{}, forget::constant{});
#else
inline constexpr auto made = linear_attention.with(order::global{});
#endif
