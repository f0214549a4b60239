// SPDX-License-Identifier: Apache-2.0
// expect: forget::log_sigmoid reads a tensor: per head, key, channel, or key and channel
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr forget::log_sigmoid<per::nothing> made{};
#else
inline constexpr forget::log_sigmoid<per::head> made{};
#endif
