// SPDX-License-Identifier: Apache-2.0
// expect: norm::abs_max keeps one stabiliser per head: its input and forget gates vary over nothing or over heads
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr auto made = linear_attention.with(norm::abs_max{}, forget::log_sigmoid<per::key>{});
#else
inline constexpr auto made = linear_attention.with(norm::abs_max{}, forget::log_sigmoid<per::head>{});
#endif
