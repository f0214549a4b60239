// SPDX-License-Identifier: Apache-2.0
// expect: a state space that is the same for every token has no keys to map, turn or sum: use map::identity, position::none and norm::none
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr auto made = linear_attention.with(forget::diagonal<>{}, norm::none{});
#else
inline constexpr auto made = linear_attention.with(forget::diagonal<>{}, norm::none{}, map::identity{});
#endif
