// SPDX-License-Identifier: Apache-2.0
/// @file  NumPy files that are refused: every way in which a file can be wrong, and the sentence for it.
#include <doctest/doctest.h>

#include <cstddef>     // size_t
#include <filesystem>  // exists
#include <string>      // string

#include "npy_files.hpp"

using namespace npy_test;

TEST_CASE("npy: other dtypes") {
  const folder in;
  const auto with = [&](const std::string& dtype) {
    return reason(in, npy_bytes(1, dictionary(dtype, "False", "(6,)"), bytes_of(six)));
  };
  CHECK(with(">f4") == "is big-endian (>f4); <f4 and <f8 are read");
  CHECK(with(">f8") == "is big-endian (>f8); <f4 and <f8 are read");
  for (const char* dtype :
       {"<f2", "<i4", "<i8", "|b1", "<c8", "<f16", "|O", "<U3", "", "<", "<f44", "<float32", "f04"}) {
    CAPTURE(dtype);
    CHECK(with(dtype) == "has dtype '" + std::string(dtype) + "'; <f4 and <f8 are read");
  }
  CHECK(with("\x01\x1b[31m\n\xff") == "has dtype '..[31m..'; <f4 and <f8 are read");
  CHECK(with(std::string(1000, 'x')).size() < 100);
  CHECK(begins(
      reason(in, npy_bytes(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}", bytes_of(six))),
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
  const auto broken = [&](const std::string& text) {
    CAPTURE(text);
    CHECK(begins(reason(in, npy_bytes(1, text, data)), "has a broken .npy header"));
  };
  const std::string start = "{'descr': '<f4', 'fortran_order': False, 'shape': ";
  CHECK(npy::read(in.file("a.npy", npy_bytes(1, start + "(6,)}", data))));
  for (const char* text :
       {"", "{", "[1]", "{}", "{'descr: '<f4'}", "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'shape': (6,)}", "{'fortran_order': False, 'shape': (6,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}", "{'descr': '<f4' 'fortran_order': False, 'shape': (6,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}"})
    broken(text);
  for (const char* end : {"(6,)", "(6)}", "6}", "(-6,)}", "(6.0,)}", "(,)}", "(2 3)}", "(2,,3)}", "(6,", "(6,)} 1",
                          "(6,), 'more': 1}", "(6,),, }", "'(6,)'}"})
    broken(start + end);
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
  for (const char* extents : {"(4611686018427387904, 4)", "(9223372036854775807,)", "(4294967296, 4294967296)",
                              "(99999999999999999999999999,)", "(2305843009213693952,)", "(18446744073709551617,)",
                              "(0, 4611686018427387904, 4611686018427387904)"}) {
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
