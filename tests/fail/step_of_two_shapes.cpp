// SPDX-License-Identifier: Apache-2.0
// expect: the input gate and the forget gate read the step size dt at two granularities: make both per head or both per channel
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr auto made = linear_attention.with(norm::none{}, input::softplus<per::head>{}, forget::selective{});
#else
inline constexpr auto made = linear_attention.with(norm::none{}, input::softplus<per::head>{}, forget::exponential{});
#endif
