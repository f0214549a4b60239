// SPDX-License-Identifier: Apache-2.0
/// @file  Pictures: read from PNG and JPEG, and brought to another size.
#pragma once

#include <algorithm>  // clamp, min, max
#include <cmath>      // floor
#include <cstddef>    // ptrdiff_t, size_t
#include <string>     // string
#include <utility>    // move
#include <vector>     // vector

namespace ablation {

/// Red, green and blue in [0, 1], as stored in the file (not linear in light): value [height, width, 3].
struct picture {
  std::ptrdiff_t width = 0;
  std::ptrdiff_t height = 0;
  std::vector<float> value;
};

/// What `load_picture` returns: a picture, or the reason why there is none.
struct picture_result {
  picture value;
  std::string error;  ///< "FILE: reason", one line; empty after success
  explicit operator bool() const { return error.empty(); }
};

/// Reads a PNG or JPEG of any size up to 100 million pixels. Grey becomes three equal channels, transparency is
/// dropped, 16 bits are cut to 8, a camera's rotation mark is ignored. Missing, truncated and damaged files are
/// refused: the chunks of a PNG must agree with their checksums, and a JPEG must reach its end mark.
picture_result load_picture(const std::string& path);

/// The photograph that ships with the example: where the sources lay when this was built (the definition
/// SEXTANT_ABLATION_PHOTOGRAPH), else beside the executable, else in share/ or in the sources above it. Where it is
/// nowhere, the first of these, so that an error names a file. `argv0` is the program's name as main received it.
std::string default_picture_path(const char* argv0);

/// Which old samples a new sample is made of, and how much of each; the weights sum to 1.
struct resampling {
  struct tap {
    std::size_t first;
    std::vector<double> weight;
  };
  std::vector<tap> taps;  ///< one for each new sample
};

/// From `from` samples to `to`: the mean over the covered part when there are fewer, linear between sample centres
/// when there are more (the outermost samples extend to the edge). An unchanged size copies.
inline resampling make_resampling(std::ptrdiff_t from, std::ptrdiff_t to) {
  resampling made;
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  for (std::ptrdiff_t i = 0; i < to; ++i) {
    if (to <= from) {
      const double low = static_cast<double>(i) * ratio, high = std::min(low + ratio, static_cast<double>(from));
      const auto first = static_cast<std::ptrdiff_t>(low);
      resampling::tap tap{static_cast<std::size_t>(first), {}};
      for (auto at = static_cast<double>(first); at < high; at += 1)
        tap.weight.push_back((std::min(high, at + 1) - std::max(low, at)) / (high - low));
      made.taps.push_back(std::move(tap));
    } else {
      const double last = static_cast<double>(from - 1);
      const double at = std::clamp((static_cast<double>(i) + 0.5) * ratio - 0.5, 0.0, last);
      const double first = std::min(std::floor(at), std::max(last - 1, 0.0));
      resampling::tap tap{static_cast<std::size_t>(first), {1 - (at - first)}};
      if (from > 1) tap.weight.push_back(at - first);
      made.taps.push_back(std::move(tap));
    }
  }
  return made;
}

/// The picture stretched or shrunk to width x height; each axis on its own, so its proportions may change. Sums in
/// double. Neither picture may be empty.
inline picture resize(const picture& from, std::ptrdiff_t width, std::ptrdiff_t height) {
  const auto rows = static_cast<std::size_t>(from.height), old_row = static_cast<std::size_t>(from.width) * 3;
  const auto new_row = static_cast<std::size_t>(width) * 3;
  const resampling across = make_resampling(from.width, width), down = make_resampling(from.height, height);

  std::vector<float> narrow(rows * new_row);  // [old height, new width, 3]
  for (std::size_t y = 0; y < rows; ++y)
    for (std::size_t x = 0; x < across.taps.size(); ++x)
      for (std::size_t c = 0; c < 3; ++c) {
        double sum = 0;
        const auto& [first, weight] = across.taps[x];
        for (std::size_t i = 0; i < weight.size(); ++i)
          sum += weight[i] * static_cast<double>(from.value[y * old_row + (first + i) * 3 + c]);
        narrow[y * new_row + x * 3 + c] = static_cast<float>(sum);
      }

  picture to{width, height, std::vector<float>(down.taps.size() * new_row)};
  std::vector<double> sum(new_row);
  for (std::size_t y = 0; y < down.taps.size(); ++y) {
    sum.assign(new_row, 0.0);
    const auto& [first, weight] = down.taps[y];
    for (std::size_t i = 0; i < weight.size(); ++i)
      for (std::size_t x = 0; x < new_row; ++x)
        sum[x] += weight[i] * static_cast<double>(narrow[(first + i) * new_row + x]);
    for (std::size_t x = 0; x < new_row; ++x) to.value[y * new_row + x] = static_cast<float>(sum[x]);
  }
  return to;
}

}  // namespace ablation
