// SPDX-License-Identifier: Apache-2.0
/// @file  Pictures of numbers; stb writes them.
#include "drawing.hpp"

#include <algorithm>  // clamp, max, min_element, max_element
#include <vector>     // vector

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

namespace {

struct canvas {
  int width, height;
  std::vector<unsigned char> bytes;
  canvas(int w, int h) : width(w), height(h), bytes(std::size_t(w) * std::size_t(h) * 3, 255) {}
  void fill(int left, int top, int right, int bottom, unsigned char r, unsigned char g, unsigned char b) {
    for (int y = std::max(top, 0); y < std::min(bottom, height); ++y)
      for (int x = std::max(left, 0); x < std::min(right, width); ++x) {
        unsigned char* const at = &bytes[(std::size_t(y) * std::size_t(width) + std::size_t(x)) * 3];
        at[0] = r, at[1] = g, at[2] = b;
      }
  }
  bool write(const std::string& path) const {
    return stbi_write_png(path.c_str(), width, height, 3, bytes.data(), 3 * width) != 0;
  }
};

}  // namespace

bool classify::draw_map(const std::string& path, std::span<const float> numbers, std::ptrdiff_t height,
                        std::ptrdiff_t width) {
  constexpr int square = 32;
  if (numbers.empty()) return false;
  const auto [least, greatest] = std::minmax_element(numbers.begin(), numbers.end());
  canvas picture(int(width) * square, int(height) * square);
  for (std::ptrdiff_t i = 0; i < height * width; ++i) {
    const float from = *least, range = *greatest - from;
    const float share = range > 0 ? (numbers[std::size_t(i)] - from) / range : 0;
    const int x = int(i % width) * square, y = int(i / width) * square;
    const auto part = [&](float first, float last) {
      return static_cast<unsigned char>(first + (last - first) * share + 0.5f);
    };
    picture.fill(x, y, x + square, y + square, part(20, 255), part(20, 230), part(80, 120));
  }
  return picture.write(path);
}

bool classify::draw_bars(const std::string& path, std::span<const float> numbers) {
  constexpr int bar = 24, gap = 8, height = 200;
  canvas picture(gap + int(numbers.size()) * (bar + gap), height);
  for (int line = 1; line < 5; ++line)
    picture.fill(0, height * line / 5, picture.width, height * line / 5 + 1, 210, 210, 210);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const int left = gap + int(i) * (bar + gap);
    picture.fill(left, height - int(std::clamp(numbers[i], 0.0f, 1.0f) * height + 0.5f), left + bar, height, 40, 80,
                 160);
  }
  return picture.write(path);
}
