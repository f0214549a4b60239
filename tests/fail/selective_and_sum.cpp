// SPDX-License-Identifier: Apache-2.0
// expect: a forget gate that varies over channels would make the normaliser a second state: use norm::sum_undecayed or norm::none
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr auto made = linear_attention.with(forget::selective{}, norm::sum{});
#else
inline constexpr auto made = linear_attention.with(forget::selective{}, norm::sum_undecayed{});
#endif
