// SPDX-License-Identifier: Apache-2.0
/// @file  What the tests of NumPy files share: a folder to write in, files made of bytes, and the reasons of refusals.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>     // ptrdiff_t, size_t
#include <cstdlib>     // mkdtemp
#include <cstring>     // memcpy
#include <filesystem>  // temp_directory_path
#include <fstream>     // ofstream, ifstream
#include <iterator>    // istreambuf_iterator
#include <string>      // string
#include <vector>      // vector

#include <sextant/interop/npy.hpp>

namespace npy_test {

namespace npy = sextant::npy;
using shape = std::vector<std::ptrdiff_t>;

/// A folder of its own, removed at the end.
struct folder {
  std::filesystem::path path;
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sextant_npy_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~folder() { std::filesystem::remove_all(path); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  std::string file(const std::string& name) const { return (path / name).string(); }
  std::string file(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
    return file(name);
  }
};

inline std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class Real> std::string bytes_of(const std::vector<Real>& values) {
  std::string out(values.size() * sizeof(Real), '\0');
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

/// A file with this dictionary and no more padding than a newline.
inline std::string npy_bytes(int version, const std::string& dictionary, const std::string& data) {
  const std::string text = dictionary + "\n";
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) out += static_cast<char>(text.size() >> (8 * i) & 255);
  return out + text + data;
}

inline std::string dictionary(const std::string& dtype, const std::string& order, const std::string& extents) {
  return "{'descr': '" + dtype + "', 'fortran_order': " + order + ", 'shape': " + extents + ", }";
}

/// The reason that reading gives for these bytes; checks that it is one line that begins with the file's name.
inline std::string reason(const folder& in, const std::string& bytes) {
  const std::string path = in.file("wrong.npy", bytes);
  const npy::read_result got = npy::read(path);
  CHECK_FALSE(got);
  CHECK(got.error.find('\n') == std::string::npos);
  REQUIRE(got.error.substr(0, path.size() + 2) == path + ": ");
  return got.error.substr(path.size() + 2);
}

inline bool begins(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

inline const std::vector<float> six = {1, -2, 0.5f, 3.25f, -0.0f, 1e-40f};
inline const std::vector<double> two = {0.1, -1e300};

}  // namespace npy_test
