// SPDX-License-Identifier: Apache-2.0
/// @file  The ablation's input: pictures read, refused and resized.
#include <doctest/doctest.h>

#include <algorithm>   // max, min
#include <cmath>       // abs
#include <cstdint>     // uint8_t, uint32_t
#include <cstdlib>     // mkdtemp
#include <filesystem>  // temp_directory_path, remove_all
#include <fstream>     // ifstream, ofstream
#include <iterator>    // istreambuf_iterator
#include <string>      // string
#include <vector>      // vector

#include "../../examples/ablation/picture.hpp"

namespace {

using namespace ablation;

struct folder {
  std::filesystem::path path;
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sextant_picture_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~folder() { std::filesystem::remove_all(path); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  std::string file(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
    return (path / name).string();
  }
};

std::string big_endian(std::uint32_t x) {
  return {static_cast<char>(x >> 24), static_cast<char>(x >> 16 & 255), static_cast<char>(x >> 8 & 255),
          static_cast<char>(x & 255)};
}

std::string chunk(const std::string& type_and_data) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : type_and_data) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? crc >> 1 ^ 0xedb88320u : crc >> 1;
  }
  return big_endian(static_cast<std::uint32_t>(type_and_data.size() - 4)) + type_and_data + big_endian(~crc);
}

/// A PNG of 8 bits per channel: colour type 0 grey, 2 colour, 6 colour and opacity; its lines stored, not compressed.
std::string png(std::uint32_t width, std::uint32_t height, int type, const std::string& samples) {
  const std::size_t line = samples.size() / height;
  std::string raw;
  for (std::uint32_t y = 0; y < height; ++y) raw += '\0' + samples.substr(y * line, line);
  std::uint32_t a = 1, b = 0;
  for (const char c : raw) a = (a + static_cast<std::uint8_t>(c)) % 65521, b = (b + a) % 65521;
  const auto low = static_cast<char>(raw.size() & 255), high = static_cast<char>(raw.size() >> 8);
  const std::string head = std::string("IHDR") + big_endian(width) + big_endian(height) + '\x08' +
                           static_cast<char>(type) + std::string(3, '\0');
  const std::string data = std::string("IDAT\x78\x01\x01") + low + high + static_cast<char>(~low) +
                           static_cast<char>(~high) + raw + big_endian(b << 16 | a);
  return std::string("\x89PNG\r\n\x1a\n") + chunk(head) + chunk(data) + chunk("IEND");
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string reason(const std::string& path) {
  const picture_result got = load_picture(path);
  CHECK_FALSE(got);
  CHECK(got.value.value.empty());
  CHECK(got.error.find('\n') == std::string::npos);
  REQUIRE(got.error.substr(0, path.size() + 2) == path + ": ");
  return got.error.substr(path.size() + 2);
}

picture of(std::ptrdiff_t width, std::ptrdiff_t height,
           float (*value)(std::ptrdiff_t x, std::ptrdiff_t y, int colour)) {
  picture made{width, height, {}};
  for (std::ptrdiff_t y = 0; y < height; ++y)
    for (std::ptrdiff_t x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) made.value.push_back(value(x, y, c));
  return made;
}

float at(const picture& p, std::ptrdiff_t x, std::ptrdiff_t y, int colour) {
  return p.value[static_cast<std::size_t>((y * p.width + x) * 3 + colour)];
}

}  // namespace

TEST_CASE("picture: a PNG's samples become numbers between 0 and 1") {
  const folder in;
  const picture_result colour =
      load_picture(in.file("a.png", png(2, 1, 2, std::string("\xff\x00\x80\x01\x02\x03", 6))));
  CHECK(colour.error == "");
  CHECK(colour.value.width == 2);
  CHECK(colour.value.height == 1);
  CHECK(colour.value.value == std::vector<float>{1, 0, 128 / 255.0f, 1 / 255.0f, 2 / 255.0f, 3 / 255.0f});
  const picture_result grey = load_picture(in.file("a.png", png(1, 2, 0, "\x33\xff")));
  CHECK(grey.value.value == std::vector<float>{0.2f, 0.2f, 0.2f, 1, 1, 1});
  const picture_result clear = load_picture(in.file("a.png", png(1, 1, 6, std::string("\xff\x33\x00\x00", 4))));
  CHECK(clear.value.value == std::vector<float>{1, 0.2f, 0});
}

TEST_CASE("picture: the photograph that ships is found and is a photograph") {
  const std::string path = default_picture_path("ablation");
  const picture_result got = load_picture(path);
  REQUIRE(got.error == "");
  CHECK(got.value.width == 400);
  CHECK(got.value.height == 400);
  float low = 1, high = 0;
  double mean[3] = {};
  for (std::size_t i = 0; i < got.value.value.size(); ++i) {
    low = std::min(low, got.value.value[i]);
    high = std::max(high, got.value.value[i]);
    mean[i % 3] += static_cast<double>(got.value.value[i]) / 160000;
  }
  CHECK(low < 0.05f);
  CHECK(high > 0.95f);
  // Brown wood and a red saucer.
  CHECK(mean[0] > mean[1] + 0.1);
  CHECK(mean[1] > mean[2]);
  CHECK(std::filesystem::file_size(path) <= 150 * 1024);
  CHECK(std::filesystem::exists(std::filesystem::path(path).replace_filename("PHOTOGRAPH.md")));
}

TEST_CASE("picture: what can't be read is refused in one line") {
  const folder in;
  CHECK(reason((in.path / "none.png").string()) == "there is no such file");
  CHECK(reason(in.path.string()) == "is a directory, not a picture");
  CHECK(reason(in.file("a.png", "")) == "is empty, not a picture");
  CHECK(reason(in.file("a.png", "these are words")) == "is neither a PNG nor a JPEG");
  CHECK(reason(in.file("a.jpg", "GIF89a")) == "is neither a PNG nor a JPEG");
  if (std::filesystem::exists("/dev/zero")) CHECK(reason("/dev/zero") == "is not a regular file");
}

TEST_CASE("picture: a PNG that is cut or damaged anywhere") {
  const folder in;
  const std::string whole = png(3, 2, 2, "abcdefghijklmnopqr");
  CHECK(load_picture(in.file("a.png", whole)));
  CHECK(load_picture(in.file("a.png", whole + "what follows the end is nobody's business")));
  for (std::size_t n = 8; n < whole.size(); ++n) {
    CAPTURE(n);
    CHECK(reason(in.file("a.png", whole.substr(0, n))) == "is a truncated PNG");
  }
  for (std::size_t i = 8; i < whole.size(); ++i) {
    CAPTURE(i);
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    const std::string why = reason(in.file("a.png", damaged));
    CHECK((why == "is a damaged (a checksum is wrong) PNG" || why == "is a truncated PNG"));
  }
  CHECK(reason(in.file("a.png", png(60000, 60000, 0, ""))) == "is a broken PNG (too large)");
  CHECK(reason(in.file("a.png", png(3, 2, 5, "abcdef"))).substr(0, 17) == "is a broken PNG (");
  // Fewer samples than the size needs.
  CHECK(reason(in.file("a.png", png(4, 2, 2, "abcdefghijklmnopqr"))).substr(0, 17) == "is a broken PNG (");
  CHECK(reason(in.file("a.png", png(20000, 10000, 0, ""))) == "has 20000 x 10000 pixels; at most 100 million are read");
}

TEST_CASE("picture: a JPEG that is cut or damaged") {
  const folder in;
  const std::string whole = bytes_of(default_picture_path("ablation"));
  REQUIRE(whole.size() > 10000);
  CHECK(load_picture(in.file("a.jpg", whole + std::string(100, '\0'))));
  for (std::size_t n = 3; n < whole.size(); n += n < 700 ? 1 : 5000) {
    CAPTURE(n);
    CHECK(reason(in.file("a.jpg", whole.substr(0, n))) == "is a truncated JPEG");
  }
  CHECK(reason(in.file("a.jpg", whole.substr(0, whole.size() - 1))) == "is a truncated JPEG");
  // A table of more codes than there are bytes; one that says it is longer than its segment; a segment of no length.
  const std::size_t table = whole.find("\xff\xc4");
  REQUIRE(table != std::string::npos);
  std::string damaged = whole;
  damaged.replace(table + 5, 16, 16, '\x20');
  CHECK(reason(in.file("a.jpg", damaged)) == "is a damaged JPEG");
  damaged = whole;
  damaged.replace(table + 5, 16, 16, '\x0f');
  CHECK(reason(in.file("a.jpg", damaged)) == "is a damaged JPEG");
  // 320 codes in a segment long enough for them: more than a decoder has room for.
  const std::string codes = std::string("\xff\xc4\x01\x53\x00", 5) + std::string(16, '\x14') + std::string(320, '\x01');
  CHECK(reason(in.file("a.jpg", whole.substr(0, table) + codes + whole.substr(table))) == "is a damaged JPEG");
  damaged = whole;
  damaged.replace(table + 2, 2, 2, '\0');
  CHECK(reason(in.file("a.jpg", damaged)) == "is a damaged JPEG");
  CHECK(reason(in.file("a.jpg", "\xff\xd8\xff\xd9")).substr(0, 18) == "is a broken JPEG (");
}

TEST_CASE("middle: a part of a picture, as far from both edges") {
  picture from{5, 3, {}};
  for (int i = 0; i < 5 * 3 * 3; ++i) from.value.push_back(float(i));
  const picture some = middle(from, 3, 1), all = middle(from, 5, 3);
  CHECK(some.width == 3);
  CHECK(some.height == 1);
  CHECK(some.value == std::vector<float>{18, 19, 20, 21, 22, 23, 24, 25, 26});
  CHECK(all.value == from.value);
  CHECK(middle(from, 2, 2).value == std::vector<float>{3, 4, 5, 6, 7, 8, 18, 19, 20, 21, 22, 23});
}

TEST_CASE("resize: the same size copies, and a constant stays itself") {
  const picture p = of(5, 3, [](auto x, auto y, int c) { return static_cast<float>(x + 10 * y + 100 * c); });
  CHECK(resize(p, 5, 3).value == p.value);
  const picture flat = of(7, 4, [](auto, auto, int c) { return 0.25f * static_cast<float>(c + 1); });
  for (const std::ptrdiff_t width : {1, 3, 7, 20})
    for (const std::ptrdiff_t height : {1, 2, 4, 9}) {
      const picture small = resize(flat, width, height);
      CHECK(small.value.size() == static_cast<std::size_t>(width * height * 3));
      for (std::size_t i = 0; i < small.value.size(); ++i) CHECK(std::abs(small.value[i] - flat.value[i % 3]) < 1e-6f);
    }
}

TEST_CASE("resize: smaller is the mean of the covered area") {
  const picture p = of(4, 2, [](auto x, auto y, int) { return static_cast<float>(x + 4 * y); });  // 0 1 2 3 / 4 5 6 7
  const picture half = resize(p, 2, 1);
  CHECK(at(half, 0, 0, 0) == doctest::Approx((0 + 1 + 4 + 5) / 4.0));
  CHECK(at(half, 1, 0, 2) == doctest::Approx((2 + 3 + 6 + 7) / 4.0));
  // Three samples to two: the middle one is shared.
  const picture three = of(3, 1, [](auto x, auto, int) { return static_cast<float>(x == 0 ? 3 : x == 1 ? 6 : 12); });
  const picture two = resize(three, 2, 1);
  CHECK(at(two, 0, 0, 0) == doctest::Approx((3 + 0.5 * 6) / 1.5));
  CHECK(at(two, 1, 0, 0) == doctest::Approx((0.5 * 6 + 12) / 1.5));
  // The mean of the whole never changes, whatever the sizes.
  const picture q = of(37, 23, [](auto x, auto y, int c) { return static_cast<float>((x * 7 + y * 13 + c) % 11); });
  for (const std::ptrdiff_t side : {1, 5, 10, 22}) {
    const picture small = resize(q, side, side);
    double before = 0, after = 0;
    for (const float v : q.value) before += static_cast<double>(v) / static_cast<double>(q.value.size());
    for (const float v : small.value) after += static_cast<double>(v) / static_cast<double>(small.value.size());
    CHECK(after == doctest::Approx(before).epsilon(1e-5));
  }
}

TEST_CASE("resize: larger is linear between sample centres") {
  const picture p = of(2, 1, [](auto x, auto, int) { return static_cast<float>(x); });
  const picture wide = resize(p, 4, 3);
  for (std::ptrdiff_t y = 0; y < 3; ++y) {
    CHECK(at(wide, 0, y, 1) == 0.0f);
    CHECK(at(wide, 1, y, 1) == 0.25f);
    CHECK(at(wide, 2, y, 1) == 0.75f);
    CHECK(at(wide, 3, y, 1) == 1.0f);
  }
  // A ramp stays a ramp away from the edges.
  const picture ramp = of(10, 1, [](auto x, auto, int) { return static_cast<float>(x); });
  const picture finer = resize(ramp, 40, 1);
  for (std::ptrdiff_t x = 2; x < 38; ++x)
    CHECK(at(finer, x, 0, 0) == doctest::Approx((static_cast<double>(x) + 0.5) / 4 - 0.5));
  // One axis may grow while the other shrinks.
  const picture mixed = resize(of(2, 4, [](auto x, auto y, int) { return static_cast<float>(x + y); }), 4, 2);
  CHECK(at(mixed, 1, 0, 0) == doctest::Approx(0.25 + 0.5));
  CHECK(at(mixed, 1, 1, 0) == doctest::Approx(0.25 + 2.5));
}
