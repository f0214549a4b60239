// SPDX-License-Identifier: Apache-2.0
/// @file  NumPy files: read from bytes made by hand, written as NumPy writes them, and read back.
#include <doctest/doctest.h>

#include <cstddef>     // ptrdiff_t, size_t
#include <filesystem>  // exists
#include <limits>      // numeric_limits
#include <string>      // string
#include <utility>     // move
#include <vector>      // vector

#include "npy_files.hpp"

using namespace npy_test;

TEST_CASE("npy: the three format versions, both dtypes, every spelling") {
  const folder in;
  for (int version : {1, 2, 3}) {
    CAPTURE(version);
    for (const char* dtype : {"<f4", "=f4", "|f4", "f4", "f", "float32"}) {
      CAPTURE(dtype);
      const auto got =
          npy::read(in.file("a.npy", npy_bytes(version, dictionary(dtype, "False", "(2, 3)"), bytes_of(six))));
      CHECK(got.error == "");
      CHECK(got.value.shape == shape{2, 3});
      CHECK_FALSE(got.value.is_double());
      CHECK(bytes_of(std::get<0>(got.value.values)) == bytes_of(six));
    }
    for (const char* dtype : {"<f8", "=f8", "|f8", "f8", "d", "float64"}) {
      CAPTURE(dtype);
      const auto got =
          npy::read(in.file("a.npy", npy_bytes(version, dictionary(dtype, "False", "(2,)"), bytes_of(two))));
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
  CHECK(begins(reason(in, npy_bytes(1, dictionary("<f4", "True", "(2, 3)"), bytes_of(six))),
               "is in Fortran order, shape (2, 3)"));
  CHECK(begins(reason(in, npy_bytes(1, dictionary("<f4", "True", "(3, 1, 2)"), bytes_of(six))), "is in Fortran order"));
}

TEST_CASE("npy: what is written is what numpy.save writes") {
  const folder in;
  // numpy.save(f, numpy.arange(6, dtype="<f4").reshape(2, 3)) of NumPy 1.24: 128 bytes of header, then the values.
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  CHECK(npy::write(in.file("a.npy"), {2, 3}, values) == "");
  const std::string expected = std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" + std::string(58, ' ') +
                               "\n";
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
