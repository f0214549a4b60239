// SPDX-License-Identifier: Apache-2.0
// expect: input::softplus varies per head or per channel
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr input::softplus<per::key> made{};
#else
inline constexpr input::softplus<per::channel> made{};
#endif
