// SPDX-License-Identifier: Apache-2.0
/// @file  The sizes of a benchmark as they stand in its name.
#pragma once

#include <cstdio>  // snprintf
#include <string>  // string

#include "cases.hpp"

namespace sextant::bench {

/// B8_T4096_Hk1_H32_K128_V64: sequences, tokens, heads of q and k, heads, keys, channels of a head.
inline std::string shape_text(const test::shape& s) {
  const long long sizes[] = {s.B, s.T, s.Hk, s.H, s.K, s.V};
  char text[160];
  std::snprintf(text, sizeof text, "B%lld_T%lld_Hk%lld_H%lld_K%lld_V%lld", sizes[0], sizes[1], sizes[2], sizes[3],
                sizes[4], sizes[5]);
  return text;
}

}  // namespace sextant::bench
