// SPDX-License-Identifier: Apache-2.0
/// @file  Safetensors files that are refused: every way in which a file can be wrong, and the sentence for it.
#include <doctest/doctest.h>

#include <cstddef>  // size_t
#include <string>   // string, to_string

#include "safetensors_files.hpp"

using namespace safetensors_test;

namespace {
const std::string two = one("F32", "[2]", "[0,8]", "a") + "," + one("BF16", "[2,1]", "[8,12]", "b");
const std::string twelve = "abcdefghijkl";
std::string header_reason(const std::string& header) { return reason(file_bytes(header, twelve)); }
}  // namespace

TEST_CASE("safetensors: too few bytes at every length, and too many") {
  const std::string whole = file_bytes("{" + two + "}", twelve);
  CHECK(reason(whole) == "");
  CHECK(reason("") == "is empty, not a safetensors file");
  for (std::size_t n = 1; n < whole.size(); ++n) {
    CAPTURE(n);
    CHECK(begins(reason(whole.substr(0, n)), "is truncated"));
  }
  CHECK(reason(whole + "xy") == "has 2 bytes more than its tensors need");
  CHECK(reason(whole.substr(0, whole.size() - 1)) ==
        "is truncated: 'b' ends at byte 12 of the data, the file holds 11");
  CHECK(reason(file_bytes("{}", "x")) == "has 1 bytes more than its tensors need");
}

TEST_CASE("safetensors: hostile lengths of the header") {
  std::string file = file_bytes("{" + two + "}", twelve);
  for (std::size_t i = 0; i < 8; ++i) file[i] = '\xff';
  CHECK(reason(file) == "is not a safetensors file: it claims a header of 18446744073709551615 bytes");
  for (std::size_t i = 0; i < 8; ++i) file[i] = i == 3 ? '\x05' : '\0';
  CHECK(begins(reason(file), "is truncated: its header has 83886080 bytes"));
  file[3] = '\0', file[0] = '\0';
  CHECK(has(reason(file), "does not begin with '{'"));
  for (int length = 1; length < 150; ++length) {
    file[0] = char(length);
    if (std::size_t(length) != file.size() - 8 - 12) CHECK(reason(file) != "");
  }
}

TEST_CASE("safetensors: a tensor that doesn't fit its bytes is named") {
  const auto with = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return header_reason("{" + one(dtype, shape, offsets, "layers.0.w") + "}");
  };
  CHECK(with("F32", "[3]", "[0,12]") == "");
  CHECK(with("F33", "[3]", "[0,12]") == "'layers.0.w': has dtype 'F33', which is none of the format's");
  CHECK(with("", "[3]", "[0,12]") == "'layers.0.w': has dtype '', which is none of the format's");
  CHECK(with("F64", "[3]", "[0,12]") == "'layers.0.w': F64 of shape [3] is 24 bytes, its data_offsets are 0 and 12");
  CHECK(with("F32", "[3]", "[0,8]") == "'layers.0.w': F32 of shape [3] is 12 bytes, its data_offsets are 0 and 8");
  CHECK(with("F32", "[3]", "[12,0]") == "'layers.0.w': F32 of shape [3] is 12 bytes, its data_offsets are 12 and 0");
  CHECK(with("F32", "[0]", "[12,0]") == "'layers.0.w': F32 of shape [0] is 0 bytes, its data_offsets are 12 and 0");
  CHECK(begins(with("F32", "[3]", "[4,16]"), "is truncated: 'layers.0.w' ends at byte 16"));
  CHECK(with("F32", "[2]", "[4,12]") == "'layers.0.w': 4 bytes before its data belong to no tensor");
  for (const char* shape :
       {"[4611686018427387904,4]", "[9223372036854775807]", "[4294967296,4294967296]", "[99999999999999999999999999]",
        "[18446744073709551617]", "[0,4611686018427387904,4611686018427387904]", "[9223372036854775808]"}) {
    CAPTURE(shape);
    CHECK(
        begins(with("F32", shape, "[0,12]"), "'layers.0.w': its shape or data_offsets are more than can be addressed"));
  }
  CHECK(begins(with("F32", "[3]", "[0,18446744073709551628]"), "'layers.0.w': its shape or data_offsets are more"));
  CHECK(begins(with("F32", "[3]", "[18446744073709551604,18446744073709551616]"), "'layers.0.w': its shape or data"));
  CHECK(
      begins(with("F4", "[3]", "[0,1]"), "'layers.0.w': its shape or data_offsets are more than can be addressed, or"));
  CHECK(begins(with("F32", "[1099511627776]", "[0,4398046511104]"), "is truncated: 'layers.0.w' ends at byte 439804"));
}

TEST_CASE("safetensors: overlaps, gaps and names that stand twice") {
  const auto a = one("U8", "[6]", "[0,6]", "a");
  CHECK(header_reason("{" + a + "," + one("U8", "[6]", "[6,12]", "b") + "}") == "");
  CHECK(header_reason("{" + a + "," + one("U8", "[7]", "[5,12]", "b") + "}") == "'b': its data overlap those of 'a'");
  CHECK(header_reason("{" + a + "," + one("U8", "[12]", "[0,12]", "b") + "}") == "'b': its data overlap those of 'a'");
  CHECK(header_reason("{" + a + "," + one("U8", "[5]", "[7,12]", "b") + "}") ==
        "'b': 1 bytes before its data belong to no tensor");
  CHECK(header_reason("{" + a + "}") == "has 6 bytes more than its tensors need");
  CHECK(header_reason("{" + a + "," + one("U8", "[6]", "[6,12]", "a") + "}") == "'a': stands twice");
  CHECK(header_reason("{" + a + "," + one("U8", "[6]", "[6,12]", "\\u0061") + "}") == "'a': stands twice");
  CHECK(header_reason("{" + a + "," + one("U8", "[0]", "[3,3]", "c") + "," + one("U8", "[6]", "[6,12]", "b") + "}") ==
        "'c': its data overlap those of 'a'");
}

TEST_CASE("safetensors: broken JSON") {
  CHECK(header_reason("{" + two + "}") == "");
  CHECK(header_reason("{" + two + "} \n\t\r") == "");
  for (const std::string& header :
       {std::string("["),
        " {" + two + "}",
        "{" + two,
        "{" + two + "}}",
        "{" + two + "}x",
        "{" + two + ",}",
        "{," + two + "}",
        "{" + two + "}" + std::string(1, '\0'),
        std::string("{\"a\"}"),
        std::string("{\"a\":}"),
        std::string("{\"a\":1}"),
        std::string("{\"a\":null}"),
        std::string("{\"a\":[]}"),
        std::string("{a:{}}"),
        std::string("{'a':{}}"),
        std::string("{\"a\":{}}"),
        std::string("{\"a\":{\"dtype\":\"F32\"}}"),
        std::string("{\"a"),
        std::string("{\"a\\"),
        std::string("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12],}}"),
        std::string("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12],\"more\":1}}"),
        std::string("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}"),
        std::string("{\"a\":{\"dtype\":32,\"shape\":[3],\"data_offsets\":[0,12]}}"),
        std::string("{\"a\":{\"dtype\":\"F32\" \"shape\":[3],\"data_offsets\":[0,12]}}"),
        std::string("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}"),
        std::string(100000, '{'),
        "{\"a\":" + std::string(100000, '['),
        "{\"a\":" + std::string(100000, '{')}) {
    CAPTURE(header.substr(0, 100));
    CHECK(header_reason(header) != "");
  }
  for (const char* shape : {"3", "[3,]", "[,3]", "[-3]", "[3.0]", "[3e0]", "[03]", "[+3]", "[3 1]", "[\"3\"]", "[[3]]",
                            "[null]", "null", "{}", "[", "[3", "[0x3]"}) {
    CAPTURE(shape);
    const std::string why = header_reason("{" + one("F32", shape, "[0,12]") + "}");
    CHECK(has(why, "the shape of 'w' is not an array of lengths"));
  }
  for (const char* offsets : {"12", "[]", "[0]", "[0,12,12]", "[-0,12]", "[0,12.0]", "[0;12]", "\"0,12\""}) {
    CAPTURE(offsets);
    CHECK(has(header_reason("{" + one("F32", "[3]", offsets) + "}"), "the data_offsets of 'w' are not two numbers"));
  }
}

TEST_CASE("safetensors: broken strings") {
  const auto named = [](const std::string& name) {
    return header_reason("{" + one("F32", "[3]", "[0,12]", name) + "}");
  };
  CHECK(named("\u00e4\u20ac\U0001f600") == "");
  for (const char* wrong : {"\\x", "\\u12", "\\u12g4", "\\ud800", "\\ud800x", "\\ud800\\u0041", "\\udc00", "\\", "\x01",
                            "\n", "\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                            "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    CAPTURE(wrong);
    CHECK(named(wrong) != "");
  }
  CHECK(named(std::string(1, '\0')) != "");
  CHECK(named(std::string(100000, 'x')) == "");
  const std::string why =
      header_reason("{" + one("F32", "[4]", "[0,12]", "\\u001b[31m" + std::string(1000, 'y')) + "}");
  CHECK(begins(why, "'.[31myyy"));
}

TEST_CASE("safetensors: broken metadata") {
  const auto with = [](const std::string& metadata) {
    return header_reason("{\"__metadata__\":" + metadata + "," + two + "}");
  };
  CHECK(with("{}") == "");
  CHECK(with("{\"a\":\"b\",\"c\":\"d\"}") == "");
  for (const char* wrong : {"1", "null", "[]", "{\"a\":1}", "{\"a\":null}", "{\"a\":{}}", "{\"a\"}", "{\"a\":\"b\"",
                            "{,}", "{\"a\":\"b\",}", "\"a\""}) {
    CAPTURE(wrong);
    CHECK(has(with(wrong), "__metadata__"));
  }
  CHECK(header_reason("{\"__metadata__\":{}," + two + ",\"__metadata__\":{}}") == "has two __metadata__");
}
