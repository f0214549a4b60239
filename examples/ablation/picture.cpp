// SPDX-License-Identifier: Apache-2.0
/// @file  Reading PNG and JPEG through stb_image; whether the file is whole is checked here, since stb_image doesn't.
#include "picture.hpp"

#include <array>         // array
#include <cerrno>        // errno
#include <climits>       // INT_MAX
#include <cstdint>       // uint32_t
#include <cstdio>        // FILE
#include <cstring>       // memcmp, strerror
#include <filesystem>    // status, path
#include <memory>        // unique_ptr
#include <span>          // span
#include <system_error>  // error_code

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#include <stb/stb_image.h>

namespace ablation {
namespace {

using bytes = std::span<const unsigned char>;

constexpr unsigned char png_start[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::int64_t max_pixels = 100'000'000;

bool is_png(bytes file) { return file.size() >= 8 && std::memcmp(file.data(), png_start, 8) == 0; }
bool is_jpeg(bytes file) { return file.size() >= 3 && file[0] == 0xff && file[1] == 0xd8 && file[2] == 0xff; }

/// The checksum of PNG chunks (ISO 3309).
std::uint32_t crc32(bytes data) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> made{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t x = i;
      for (int bit = 0; bit < 8; ++bit) x = x & 1 ? x >> 1 ^ 0xedb88320u : x >> 1;
      made[i] = x;
    }
    return made;
  }();
  std::uint32_t x = 0xffffffffu;
  for (const unsigned char byte : data) x = x >> 8 ^ table[(x ^ byte) & 255];
  return ~x;
}

std::uint32_t number_at(bytes file, std::size_t at) {
  return std::uint32_t{file[at]} << 24 | std::uint32_t{file[at + 1]} << 16 | std::uint32_t{file[at + 2]} << 8 |
         file[at + 3];
}

/// Walks the chunks of a PNG: length, type, data, checksum. Returns what is wrong with it, if anything.
std::string png_damage(bytes file) {
  for (std::size_t at = 8; at + 12 <= file.size();) {
    const std::size_t length = number_at(file, at);
    if (length > file.size() - at - 12) break;
    if (crc32(file.subspan(at + 4, length + 4)) != number_at(file, at + 8 + length))
      return "damaged (a checksum is wrong)";
    if (std::memcmp(file.data() + at + 4, "IEND", 4) == 0) return {};
    at += length + 12;
  }
  return "truncated";
}

/// Whether every Huffman table of a DHT segment has at most 256 codes and ends within it: the stb_image of 2022 and
/// before trusts the counts and would write past its arrays.
bool huffman_tables_fit(bytes segment) {
  for (std::size_t at = 0; at < segment.size();) {
    if (segment.size() - at < 17) return false;
    std::size_t codes = 0;
    for (std::size_t i = 1; i <= 16; ++i) codes += segment[at + i];
    if (codes > 256 || segment.size() - at - 17 < codes) return false;
    at += 17 + codes;
  }
  return true;
}

/// Walks the segments of a JPEG up to its end mark; inside the coded data only a zero or a restart mark follows an
/// 0xff.
std::string jpeg_damage(bytes file) {
  for (std::size_t at = 2; at + 1 < file.size();) {
    const unsigned char mark = file[at + 1];
    const bool is_segment = mark >= 0xc0 && mark != 0xff && !(mark >= 0xd0 && mark <= 0xd8);
    if (file[at] != 0xff || mark == 0xff) {
      at += 1;
    } else if (mark == 0xd9) {
      return {};
    } else if (!is_segment) {
      at += 2;
    } else {
      if (at + 3 >= file.size()) break;
      const std::size_t length = std::size_t{file[at + 2]} << 8 | file[at + 3];  // counts its own two bytes
      if (length < 2) return "damaged";
      if (length > file.size() - at - 2) break;
      if (mark == 0xc4 && !huffman_tables_fit(file.subspan(at + 4, length - 2))) return "damaged";
      at += 2 + length;
    }
  }
  return "truncated";
}

/// The whole file, or the reason why not.
std::string read_bytes(const std::string& path, std::vector<unsigned char>& into) {
  std::error_code failure;
  const auto kind = std::filesystem::status(path, failure).type();
  if (kind == std::filesystem::file_type::not_found) return "there is no such file";
  if (kind == std::filesystem::file_type::directory) return "is a directory, not a picture";
  if (kind == std::filesystem::file_type::none) return "can't be opened: " + failure.message();
  if (kind != std::filesystem::file_type::regular) return "is not a regular file";
  struct close_file {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, close_file> file(std::fopen(path.c_str(), "rb"));
  if (!file) return std::string("can't be opened: ") + std::strerror(errno);
  const std::uintmax_t size = std::filesystem::file_size(path, failure);
  if (failure) return "can't be opened: " + failure.message();
  if (size == 0) return "is empty, not a picture";
  if (size > INT_MAX) return "is larger than 2 GiB";
  into.resize(static_cast<std::size_t>(size));
  if (std::fread(into.data(), 1, into.size(), file.get()) != into.size()) return "can't be read to its end";
  return {};
}

std::string decode(bytes file, picture& into) {
  if (!is_png(file) && !is_jpeg(file)) return "is neither a PNG nor a JPEG";
  const std::string format = is_png(file) ? "PNG" : "JPEG";
  if (const std::string damage = is_png(file) ? png_damage(file) : jpeg_damage(file); !damage.empty())
    return std::string("is a ") + damage + " " + format;

  const auto size = static_cast<int>(file.size());
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(file.data(), size, &width, &height, &channels) && std::int64_t{width} * height > max_pixels)
    return std::string("has ") + std::to_string(width) + " x " + std::to_string(height) +
           " pixels; at most 100 million are read";
  const std::unique_ptr<unsigned char, void (*)(void*)> pixels(
      stbi_load_from_memory(file.data(), size, &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) {
    // A JPEG that fails without a reason leaves the one for which it was no PNG.
    const std::string reason = stbi_failure_reason();
    return std::string("is a broken ") + format + (reason == "bad png sig" ? "" : " (" + reason + ")");
  }

  into.width = width;
  into.height = height;
  into.value.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  for (std::size_t i = 0; i < into.value.size(); ++i) into.value[i] = static_cast<float>(pixels.get()[i]) / 255.0f;
  return {};
}

/// Where this program lies: the kernel knows, else its name as it was called.
std::filesystem::path executable_folder(const char* argv0) {
  std::error_code failure;
  std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failure);
  if (failure) self = std::filesystem::absolute(argv0 ? argv0 : "", failure);
  return self.parent_path();
}

}  // namespace

picture_result load_picture(const std::string& path) {
  picture_result result;
  std::vector<unsigned char> file;
  result.error = read_bytes(path, file);
  if (result.error.empty()) result.error = decode(file, result.value);
  if (!result.error.empty()) result.error = path + ": " + result.error;
  return result;
}

std::string default_picture_path(const char* argv0) {
  const std::filesystem::path here = executable_folder(argv0);
  const std::filesystem::path candidates[] = {
#ifdef SEXTANT_ABLATION_PHOTOGRAPH
      SEXTANT_ABLATION_PHOTOGRAPH,
#endif
      here / "photograph.jpg",
      here / "../share/sextant/photograph.jpg",
      here / "examples/ablation/photograph.jpg",
      here / "../examples/ablation/photograph.jpg",
      here / "../../examples/ablation/photograph.jpg",
      here / "../../../examples/ablation/photograph.jpg",
  };
  std::error_code failure;
  for (const std::filesystem::path& candidate : candidates)
    if (std::filesystem::is_regular_file(candidate, failure)) return candidate.lexically_normal().string();
  return candidates[0].string();
}

}  // namespace ablation
