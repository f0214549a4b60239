// SPDX-License-Identifier: Apache-2.0
/// @file  Small pictures of numbers, as PNG files.
#pragma once

#include <cstddef>  // ptrdiff_t
#include <span>     // span
#include <string>   // string

namespace classify {

/// Numbers [height, width] as squares from dark (the least) to bright (the greatest). Whether it could be written.
bool draw_map(const std::string& path, std::span<const float> numbers, std::ptrdiff_t height, std::ptrdiff_t width);

/// Numbers from 0 to 1 as bars from left to right, lines at every fifth.
bool draw_bars(const std::string& path, std::span<const float> numbers);

}  // namespace classify
