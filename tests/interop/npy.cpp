// SPDX-License-Identifier: Apache-2.0
/// @file  NumPy files: bytes made by hand, round trips, and every way in which a file can be wrong.
#include <doctest/doctest.h>

#include <cstddef>      // ptrdiff_t
#include <cstdlib>      // mkdtemp
#include <cstring>      // memcpy
#include <filesystem>   // temp_directory_path
#include <fstream>      // ofstream, ifstream
#include <iterator>     // istreambuf_iterator
#include <limits>       // numeric_limits
#include <string>       // string
#include <utility>      // move
#include <vector>       // vector

#include <sextant/interop/npy.hpp>

namespace {

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

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class Real> std::string bytes_of(const std::vector<Real>& values) {
  std::string out(values.size() * sizeof(Real), '\0');
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

/// A file with this dictionary and no more padding than a newline.
std::string npy_bytes(int version, const std::string& dictionary, const std::string& data) {
  const std::string text = dictionary + "\n";
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) out += static_cast<char>(text.size() >> (8 * i) & 255);
  return out + text + data;
}

std::string dictionary(const std::string& dtype, const std::string& order, const std::string& extents) {
  return "{'descr': '" + dtype + "', 'fortran_order': " + order + ", 'shape': " + extents + ", }";
}

/// The reason that reading gives for these bytes; checks that it is one line that begins with the file's name.
std::string reason(const folder& in, const std::string& bytes) {
  const std::string path = in.file("wrong.npy", bytes);
  const npy::read_result got = npy::read(path);
  CHECK_FALSE(got);
  CHECK(got.error.find('\n') == std::string::npos);
  REQUIRE(got.error.substr(0, path.size() + 2) == path + ": ");
  return got.error.substr(path.size() + 2);
}

bool begins(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

const std::vector<float> six = {1, -2, 0.5f, 3.25f, -0.0f, 1e-40f};
const std::vector<double> two = {0.1, -1e300};

}  // namespace

TEST_CASE("npy: the three format versions, both dtypes, every spelling") {
  const folder in;
  for (int version : {1, 2, 3}) {
    CAPTURE(version);
    for (const char* dtype : {"<f4", "=f4", "|f4", "f4", "f", "float32"}) {
      CAPTURE(dtype);
      const auto got = npy::read(in.file("a.npy", npy_bytes(version, dictionary(dtype, "False", "(2, 3)"), bytes_of(six))));
      CHECK(got.error == "");
      CHECK(got.value.shape == shape{2, 3});
      CHECK_FALSE(got.value.is_double());
      CHECK(bytes_of(std::get<0>(got.value.values)) == bytes_of(six));
    }
    for (const char* dtype : {"<f8", "=f8", "|f8", "f8", "d", "float64"}) {
      CAPTURE(dtype);
      const auto got = npy::read(in.file("a.npy", npy_bytes(version, dictionary(dtype, "False", "(2,)"), bytes_of(two))));
      CHECK(got.error == "");
      CHECK(got.value.shape == shape{2});
      CHECK(got.value.is_double());
      CHECK(bytes_of(std::get<1>(got.value.values)) == bytes_of(two));
    }
  }
}

TEST_CASE("npy: any order of keys, quotes, blanks and Python 2's long integers") {
  const folder in;
  for (const char* text : {"{\"shape\":(2,3),\"descr\":\"<f4\",\"fortran_order\":False}",
                           " { 'fortran_order' : False ,\t'shape' : ( 2 , 3 , ) ,\n 'descr' : '<f4' , }    ",
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }"}) {
    CAPTURE(text);
    const auto got = npy::read(in.file("a.npy", npy_bytes(1, text, bytes_of(six))));
    CHECK(got.error == "");
    CHECK(got.value.shape == shape{2, 3});
  }
}

TEST_CASE("npy: a number alone, and axes of length zero") {
  const folder in;
  const auto number = npy::read(in.file("a.npy", npy_bytes(1, dictionary("<f4", "False", "()"), bytes_of<float>({7}))));
  CHECK(number.error == "");
  CHECK(number.value.shape.empty());
  CHECK(number.value.as<double>() == std::vector<double>{7});
  for (const char* extents : {"(0,)", "(3, 0, 2)", "(0, 0)"}) {
    CAPTURE(extents);
    const auto none = npy::read(in.file("a.npy", npy_bytes(1, dictionary("<f8", "True", extents), "")));
    CHECK(none.error == "");
    CHECK(none.value.is_double());
    CHECK(none.value.as<float>().empty());
  }
}

TEST_CASE("npy: Fortran order is read where it makes no difference, and refused where it does") {
  const folder in;
  for (const char* extents : {"(6,)", "(1, 6)", "(6, 1)", "(1, 6, 1)"}) {
    CAPTURE(extents);
    const auto got = npy::read(in.file("a.npy", npy_bytes(1, dictionary("<f4", "True", extents), bytes_of(six))));
    CHECK(got.error == "");
    CHECK(bytes_of(got.value.as<float>()) == bytes_of(six));
  }
  CHECK(npy::read(in.file("a.npy", npy_bytes(1, dictionary("<f4", "True", "()"), bytes_of<float>({7})))));
  CHECK(npy::read(in.file("a.npy", npy_bytes(1, dictionary("<f4", "True", "(1, 1)"), bytes_of<float>({7})))));
  CHECK(begins(reason(in, npy_bytes(1, dictionary("<f4", "True", "(2, 3)"), bytes_of(six))), "is in Fortran order, shape (2, 3)"));
  CHECK(begins(reason(in, npy_bytes(1, dictionary("<f4", "True", "(3, 1, 2)"), bytes_of(six))), "is in Fortran order"));
}

TEST_CASE("npy: other dtypes") {
  const folder in;
  const auto with = [&](const std::string& dtype) {
    return reason(in, npy_bytes(1, dictionary(dtype, "False", "(6,)"), bytes_of(six)));
  };
  CHECK(with(">f4") == "is big-endian (>f4); <f4 and <f8 are read");
  CHECK(with(">f8") == "is big-endian (>f8); <f4 and <f8 are read");
  for (const char* dtype : {"<f2", "<i4", "<i8", "|b1", "<c8", "<f16", "|O", "<U3", "", "<", "<f44", "<float32", "f04"}) {
    CAPTURE(dtype);
    CHECK(with(dtype) == "has dtype '" + std::string(dtype) + "'; <f4 and <f8 are read");
  }
  CHECK(with("\x01\x1b[31m\n\xff") == "has dtype '..[31m..'; <f4 and <f8 are read");
  CHECK(with(std::string(1000, 'x')).size() < 100);
  CHECK(begins(reason(in, npy_bytes(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}", bytes_of(six))),
               "has a structured dtype"));
}

TEST_CASE("npy: too few bytes, too many, at every length") {
  const folder in;
  for (int version : {1, 2}) {
    const std::string whole = npy_bytes(version, dictionary("<f4", "False", "(2, 3)"), bytes_of(six));
    CHECK(npy::read(in.file("whole.npy", whole)));
    CHECK(begins(reason(in, ""), "is empty"));
    for (std::size_t n = 1; n < whole.size(); ++n) {
      CAPTURE(n);
      CHECK(begins(reason(in, whole.substr(0, n)), "is truncated"));
    }
    CHECK(reason(in, whole + "x") == "has 1 bytes more than its shape needs");
  }
  const std::string scalar = npy_bytes(1, dictionary("<f4", "False", "()"), "");
  CHECK(reason(in, scalar) == "is truncated: its shape needs 4 bytes of data, it holds 0");
}

TEST_CASE("npy: broken headers") {
  const folder in;
  const std::string data = bytes_of(six);
  CHECK(reason(in, "hello, this is text") == "is not a .npy file");
  CHECK(reason(in, "PK\x03\x04 an archive of arrays") == "is not a .npy file");
  for (const char* text : {
           "", "{", "[1]", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", "{'descr': '<f4', 'fortran_order': False}",
           "{'descr': '<f4', 'shape': (6,)}", "{'fortran_order': False, 'shape': (6,)}", "{}",
           "{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (6)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': 6}", "{'descr': '<f4', 'fortran_order': False, 'shape': (-6,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6.0,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,,3)}",
           "{'descr': '<f4' 'fortran_order': False, 'shape': (6,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} 1",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'more': 1}",
           "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", "{'descr: '<f4'}"}) {
    CAPTURE(text);
    CHECK(begins(reason(in, npy_bytes(1, text, data)), "has a broken .npy header"));
  }
  std::string version = npy_bytes(1, dictionary("<f4", "False", "(6,)"), data);
  version[6] = 4;
  CHECK(reason(in, version) == "has .npy format version 4.0; 1.0, 2.0 and 3.0 are read");
  version[6] = 1, version[7] = 1;
  CHECK(reason(in, version) == "has .npy format version 1.1; 1.0, 2.0 and 3.0 are read");
}

TEST_CASE("npy: hostile lengths neither allocate nor overflow") {
  const folder in;
  std::string long_header = npy_bytes(2, dictionary("<f4", "False", "(6,)"), bytes_of(six));
  for (std::size_t i = 8; i < 12; ++i) long_header[i] = '\xff';
  CHECK(reason(in, long_header) == "claims a header of 4294967295 bytes, which is no float array's");
  for (const char* extents :
       {"(4611686018427387904, 4)", "(9223372036854775807,)", "(4294967296, 4294967296)", "(99999999999999999999999999,)",
        "(2305843009213693952,)", "(18446744073709551617,)", "(0, 4611686018427387904, 4611686018427387904)"}) {
    CAPTURE(extents);
    CHECK(reason(in, npy_bytes(1, dictionary("<f4", "False", extents), "")) ==
          "has a shape of more bytes than can be addressed");
  }
  // It could be addressed, but the file does not hold it: no memory may be taken for it.
  CHECK(reason(in, npy_bytes(1, dictionary("<f4", "False", "(1099511627776, 1000)"), "abc")) ==
        "is truncated: its shape needs 4398046511104000 bytes of data, it holds 3");
  std::string axes = "(";
  for (int i = 0; i < 64; ++i) axes += "1, ";
  CHECK(npy::read(in.file("a.npy", npy_bytes(1, dictionary("<f4", "False", axes + ")"), bytes_of<float>({7})))));
  CHECK(reason(in, npy_bytes(1, dictionary("<f4", "False", axes + "1)"), bytes_of<float>({7}))) ==
        "has 65 axes; at most 64 are read");
}

TEST_CASE("npy: what is not a file that can be read") {
  const folder in;
  CHECK(npy::read(in.file("none.npy")).error == in.file("none.npy") + ": there is no such file");
  CHECK(npy::read(in.file("none/none.npy")).error == in.file("none/none.npy") + ": there is no such file");
  CHECK(npy::read(in.path.string()).error == in.path.string() + ": is a directory, not a .npy file");
  if (std::filesystem::exists("/dev/zero")) CHECK(npy::read("/dev/zero").error == "/dev/zero: is not a regular file");
  CHECK_FALSE(npy::read(""));
}

TEST_CASE("npy: what is written is what numpy.save writes") {
  const folder in;
  // numpy.save(f, numpy.arange(6, dtype="<f4").reshape(2, 3)) of NumPy 1.24: 128 bytes of header, then the values.
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  CHECK(npy::write(in.file("a.npy"), {2, 3}, values) == "");
  const std::string expected = std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" + std::string(58, ' ') + "\n";
  REQUIRE(expected.size() == 128);
  CHECK(contents(in.file("a.npy")) == expected + bytes_of(values));
  for (std::ptrdiff_t axes = 0; axes <= 40; ++axes) {
    const shape ones(static_cast<std::size_t>(axes), 1);
    CHECK(npy::write(in.file("a.npy"), ones, two) != "");
    CHECK(npy::write(in.file("a.npy"), ones, std::vector<double>{3}) == "");
    const std::string bytes = contents(in.file("a.npy"));
    CHECK((bytes.size() - 8) % 64 == 0);
    CHECK(bytes[bytes.size() - 9] == '\n');
  }
}

TEST_CASE("npy: what is written reads back bit by bit") {
  const folder in;
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const std::vector<float> narrow = {nan, inf, -inf, -0.0f, 1e-45f, 3.4e38f};
  for (const shape& extents : {shape{6}, shape{2, 3}, shape{1, 2, 1, 3}}) {
    CHECK(npy::write(in.file("a.npy"), extents, narrow) == "");
    const auto got = npy::read(in.file("a.npy"));
    CHECK(got.error == "");
    CHECK(got.value.shape == extents);
    CHECK(bytes_of(got.value.as<float>()) == bytes_of(narrow));
    // And once more through the array itself.
    CHECK(npy::write(in.file("b.npy"), got.value) == "");
    CHECK(contents(in.file("a.npy")) == contents(in.file("b.npy")));
  }
  CHECK(npy::write(in.file("a.npy"), {}, std::vector<double>{0.1}) == "");
  CHECK(npy::read(in.file("a.npy")).value.shape.empty());
  CHECK(npy::read(in.file("a.npy")).value.as<double>() == std::vector<double>{0.1});
  CHECK(npy::write(in.file("a.npy"), {4, 0, 2}, std::vector<double>{}) == "");
  CHECK(npy::read(in.file("a.npy")).value.shape == shape{4, 0, 2});
}

TEST_CASE("npy: writing fails with a reason") {
  const folder in;
  const std::string path = in.file("a.npy");
  CHECK(npy::write(path, {2, 2}, six) == path + ": can't be written: 6 values don't fill the shape (2, 2)");
  CHECK(npy::write(path, {-6}, six) == path + ": can't be written: 6 values don't fill the shape (-6,)");
  CHECK(begins(npy::write(in.file("none/a.npy"), {6}, six), in.file("none/a.npy") + ": can't be written: "));
  CHECK(begins(npy::write(in.path.string(), {6}, six), in.path.string() + ": can't be written: "));
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(npy::write(path, npy::array{}) == "");
  CHECK(npy::read(path).value.shape == shape{0});
  if (std::filesystem::exists("/dev/full"))
    CHECK(begins(npy::write("/dev/full", {6}, six), "/dev/full: can't be written: "));
}

TEST_CASE("npy: conversion between the precisions") {
  npy::array wide{{2}, std::vector<double>{0.1, 1e-60}};
  CHECK(wide.as<float>() == std::vector<float>{0.1f, 0.0f});
  CHECK(wide.as<double>() == std::vector<double>{0.1, 1e-60});
  const double* before = std::get<1>(wide.values).data();
  const std::vector<double> moved = std::move(wide).as<double>();
  CHECK(moved.data() == before);
  const npy::array narrow{{1}, std::vector<float>{0.1f}};
  CHECK(narrow.as<double>() == std::vector<double>{static_cast<double>(0.1f)});
}
