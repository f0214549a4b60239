// SPDX-License-Identifier: Apache-2.0
/// @file  Pictures: read from PNG and JPEG, and brought to another size.
#pragma once

#include <algorithm>  // clamp, min, max
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

/// The middle of a picture, width x height of it, no more than it has.
inline picture middle(const picture& from, std::ptrdiff_t width, std::ptrdiff_t height) {
  const std::ptrdiff_t top = (from.height - height) / 2, left = (from.width - width) / 2;
  picture to{width, height, {}};
  to.value.reserve(static_cast<std::size_t>(width * height * 3));
  for (std::ptrdiff_t y = top; y < top + height; ++y) {
    const auto row = from.value.begin() + (y * from.width + left) * 3;
    to.value.insert(to.value.end(), row, row + width * 3);
  }
  return to;
}

/// Which old samples a new sample is made of, and how much of each; the weights sum to 1.
struct tap {
  std::size_t first;
  std::vector<float> weight;
};

/// How each of `to` samples is made of `from` old ones: the mean over the covered part when there are fewer, linear
/// between sample centres when there are more (the outermost samples extend to the edge). An unchanged size copies.
/// Positions are exact fractions of integers.
inline std::vector<tap> resampling(std::ptrdiff_t from, std::ptrdiff_t to) {
  const auto share = [](std::ptrdiff_t part, std::ptrdiff_t whole) {
    return static_cast<float>(static_cast<double>(part) / static_cast<double>(whole));
  };
  std::vector<tap> made;
  for (std::ptrdiff_t i = 0; i < to; ++i) {
    tap next{};
    if (to <= from) {  // new sample i covers [i from, (i + 1) from), old sample j [j to, (j + 1) to)
      const std::ptrdiff_t low = i * from, high = low + from, first = low / to;
      next.first = static_cast<std::size_t>(first);
      for (std::ptrdiff_t j = first; j * to < high; ++j)
        next.weight.push_back(share(std::min(high, (j + 1) * to) - std::max(low, j * to), from));
    } else {  // the centre of new sample i lies `at` / (2 to) behind the centre of old sample 0
      const std::ptrdiff_t at = std::clamp<std::ptrdiff_t>((2 * i + 1) * from - to, 0, (from - 1) * 2 * to);
      const std::ptrdiff_t first = std::min(at / (2 * to), std::max<std::ptrdiff_t>(from - 2, 0));
      const std::ptrdiff_t past = at - first * 2 * to;
      next.first = static_cast<std::size_t>(first);
      next.weight.push_back(share(2 * to - past, 2 * to));
      if (from > 1) next.weight.push_back(share(past, 2 * to));
    }
    made.push_back(std::move(next));
  }
  return made;
}

/// The picture stretched or shrunk to width x height; each axis on its own, so its proportions may change. Sums in
/// double. Neither picture may be empty.
inline picture resize(const picture& from, std::ptrdiff_t width, std::ptrdiff_t height) {
  const auto rows = static_cast<std::size_t>(from.height), old_row = static_cast<std::size_t>(from.width) * 3;
  const auto new_row = static_cast<std::size_t>(width) * 3;
  const std::vector<tap> across = resampling(from.width, width), down = resampling(from.height, height);

  std::vector<float> narrow(rows * new_row);  // [old height, new width, 3]
  for (std::size_t y = 0; y < rows; ++y)
    for (std::size_t x = 0; x < across.size(); ++x)
      for (std::size_t c = 0; c < 3; ++c) {
        double sum = 0;
        const auto& [first, weight] = across[x];
        for (std::size_t i = 0; i < weight.size(); ++i)
          sum += static_cast<double>(weight[i]) * static_cast<double>(from.value[y * old_row + (first + i) * 3 + c]);
        narrow[y * new_row + x * 3 + c] = static_cast<float>(sum);
      }

  picture to{width, height, std::vector<float>(down.size() * new_row)};
  std::vector<double> sum(new_row);
  for (std::size_t y = 0; y < down.size(); ++y) {
    sum.assign(new_row, 0.0);
    const auto& [first, weight] = down[y];
    for (std::size_t i = 0; i < weight.size(); ++i)
      for (std::size_t x = 0; x < new_row; ++x)
        sum[x] += static_cast<double>(weight[i]) * static_cast<double>(narrow[(first + i) * new_row + x]);
    for (std::size_t x = 0; x < new_row; ++x) to.value[y * new_row + x] = static_cast<float>(sum[x]);
  }
  return to;
}

}  // namespace ablation
