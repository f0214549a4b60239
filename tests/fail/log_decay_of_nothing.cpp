// SPDX-License-Identifier: Apache-2.0
// expect: forget::log_decay reads a tensor: per head, key, channel, or key and channel
#include <sextant/sextant.hpp>

using namespace sextant;

#ifdef SEXTANT_BAD
inline constexpr forget::log_decay<per::nothing> made{};
#else
inline constexpr forget::log_decay<per::key> made{};
#endif
