// SPDX-License-Identifier: Apache-2.0
/// @file  Safetensors files that are right: read, converted, written and read again.
#include <doctest/doctest.h>
#include <sys/stat.h>  // mkfifo

#include <bit>          // bit_cast
#include <cmath>        // isnan, isinf, ldexp
#include <cstdint>      // uint16_t
#include <cstdlib>      // mkdtemp
#include <filesystem>   // temp_directory_path
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

#include "safetensors_files.hpp"

using namespace safetensors_test;

namespace {

/// All numbers of a tensor as doubles; empty where they have no values.
std::vector<double> values(const st::tensor& t) {
  std::vector<double> out;
  st::with_numbers(t.type, t.bytes.data(), [&](auto number) {
    for (std::size_t i = 0; i < std::size_t(t.count()); ++i) out.push_back(double(number(i)));
  });
  return out;
}

double of_byte(st::dtype type, int byte) {
  const std::byte b = std::byte(byte);
  double x = 0;
  REQUIRE(st::with_numbers(type, &b, [&](auto number) { x = double(number(0)); }));
  return x;
}

}  // namespace

TEST_CASE("safetensors: tensors are found by name, wherever they lie, as views of the file") {
  const std::string data(
      "\0\0\x80\x3f\0\0\0\xc0"
      "\x01\x02\x03",
      11);
  const std::string bytes = file_bytes(
      "{" + one("U8", "[3]", "[8,11]", "z") + ", \"__metadata__\" : { \"format\":\"pt\", \"of\":\"\" } ,\n\t" +
          one("F32", "[1, 2]", "[ 0 , 8 ]", "a") + "," + one("F64", "[4,0]", "[11,11]", "none") + "}   ",
      data);
  st::archive archive;
  REQUIRE(st::parse(bytes_of(bytes), archive) == "");
  REQUIRE(archive.size() == 3);
  CHECK(archive[0].name == "a");
  CHECK(archive[1].name == "none");
  CHECK(archive[2].name == "z");
  const auto a = archive.find("a");
  REQUIRE(a);
  CHECK(a->shape.size() == 2);
  CHECK(a->count() == 2);
  CHECK(values(*a) == std::vector<double>{1, -2});
  CHECK(reinterpret_cast<const char*>(a->bytes.data()) == bytes.data() + bytes.size() - 11);
  CHECK(values(*archive.find("z")) == std::vector<double>{1, 2, 3});
  CHECK(archive.find("none")->count() == 0);
  CHECK_FALSE(archive.find("b"));
  CHECK_FALSE(archive.find(""));
  CHECK(archive.metadata("format") == "pt");
  CHECK(archive.metadata("of") == "");
  CHECK_FALSE(archive.metadata("a"));
}

TEST_CASE("safetensors: what may be empty") {
  CHECK(reason(file_bytes("{}", "")) == "");
  CHECK(reason(file_bytes("{\"__metadata__\":{}}", "")) == "");
  CHECK(reason(file_bytes("{" + one("F32", "[]", "[0,4]") + "}", "abcd")) == "");
  CHECK(reason(file_bytes("{" + one("F32", "[0]", "[0,0]", "") + "}", "")) == "");
  CHECK(reason(file_bytes("{" + one("F32", "[2]", "[0,8]", "b") + "," + one("F32", "[0]", "[4,4]", "a") + "}",
                          "abcdefgh")) != "");
}

TEST_CASE("safetensors: names with escapes and in UTF-8") {
  st::archive archive;
  const std::string bytes =
      file_bytes("{" + one("U8", "[1]", "[0,1]", "a\\u00e4\\n\\\"\\/\\ud83d\\ude00\u20ac") + "}", "x");
  REQUIRE(st::parse(bytes_of(bytes), archive) == "");
  CHECK(archive[0].name == "a\u00e4\n\"/\U0001f600\u20ac");
}

TEST_CASE("safetensors: every number type has its size, and its values where it is a number of whole bytes") {
  for (std::size_t i = 0; i < std::size(st::detail::dtypes); ++i) {
    const auto type = st::dtype(i);
    CAPTURE(st::name(type));
    st::dtype again{};
    REQUIRE(st::find_dtype(st::name(type), again));
    CHECK(again == type);
    const int bytes = st::bits(type);  // of 8 numbers
    const std::string data(std::size_t(bytes), '\0');
    CHECK(reason(file_bytes("{" + one(std::string(st::name(type)), "[2,4]", "[0," + std::to_string(bytes) + "]") + "}",
                            data)) == "");
    const bool whole =
        type != st::dtype::f4 && type != st::dtype::f6_e2m3 && type != st::dtype::f6_e3m2 && type != st::dtype::c64;
    st::archive archive;
    const std::string file =
        file_bytes("{" + one(std::string(st::name(type)), "[2,4]", "[0," + std::to_string(bytes) + "]") + "}", data);
    REQUIRE(st::parse(bytes_of(file), archive) == "");
    CHECK(archive[0].count() == 8);
    CHECK(values(archive[0]).size() == (whole ? 8 : 0));
    for (const double x : values(archive[0])) CHECK(x == (type == st::dtype::f8_e8m0 ? std::ldexp(1, -127) : 0.0));
  }
  st::dtype type{};
  for (const char* wrong : {"", "F", "f32", "F322", "FLOAT", "F32 "}) CHECK_FALSE(st::find_dtype(wrong, type));
}

TEST_CASE("safetensors: floats of 8 bits are their formulas") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const double sign = byte & 128 ? -1 : 1;
    const auto formula = [&](int mantissa, int bias) {
      const int e = (byte & 127) >> mantissa, f = byte & ((1 << mantissa) - 1);
      return sign *
             (e == 0 ? std::ldexp(f, 1 - bias - mantissa) : std::ldexp(f + (1 << mantissa), e - bias - mantissa));
    };
    if ((byte & 127) == 127) CHECK(std::isnan(of_byte(st::dtype::f8_e4m3, byte)));
    else CHECK(of_byte(st::dtype::f8_e4m3, byte) == formula(3, 7));
    const double wide = of_byte(st::dtype::f8_e5m2, byte);
    if ((byte & 127) > 124) CHECK(std::isnan(wide));
    else if ((byte & 127) == 124) CHECK((std::isinf(wide) && (wide > 0) == (sign > 0)));
    else CHECK(wide == formula(2, 15));
    if (byte == 128) CHECK(std::isnan(of_byte(st::dtype::f8_e4m3fnuz, byte)));
    else CHECK(of_byte(st::dtype::f8_e4m3fnuz, byte) == formula(3, 8));
    if (byte == 128) CHECK(std::isnan(of_byte(st::dtype::f8_e5m2fnuz, byte)));
    else CHECK(of_byte(st::dtype::f8_e5m2fnuz, byte) == formula(2, 16));
    if (byte == 255) CHECK(std::isnan(of_byte(st::dtype::f8_e8m0, byte)));
    else CHECK(of_byte(st::dtype::f8_e8m0, byte) == std::ldexp(1, byte - 127));
  }
}

TEST_CASE("safetensors: what is written is read, aligned") {
  std::string name = (std::filesystem::temp_directory_path() / "sextant_safetensors_XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  const std::filesystem::path folder = name;
  const std::string path = (folder / "a.safetensors").string();
  const std::vector<float> floats = {1, -2, 0.5f, 1e-40f, std::bit_cast<float>(0x7fc01234u), 3};
  const std::vector<std::uint16_t> halves = {0x3c00, 0xc000, 0x7bff};
  const std::vector<double> doubles = {0.1};
  const std::vector<std::uint8_t> bytes = {7};
  const std::vector<st::source> tensors = {{"half", st::dtype::f16, {3}, bytes_of(halves)},
                                           {"byte\n\"\\", st::dtype::u8, {}, bytes_of(bytes)},
                                           {"float", st::dtype::f32, {2, 3}, bytes_of(floats)},
                                           {"none", st::dtype::f32, {7, 0}, {}},
                                           {"double", st::dtype::f64, {1, 1}, bytes_of(doubles)}};
  const std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}, {"a", "\x01"}};
  REQUIRE(st::write(path, tensors, metadata) == "");
  st::file file;
  REQUIRE(file.open(path) == "");
  REQUIRE(file->size() == 5);
  CHECK(file->metadata("a") == "\x01");
  for (const st::source& t : tensors) {
    CAPTURE(t.name);
    const auto read = file->find(t.name);
    REQUIRE(read);
    CHECK(read->type == t.type);
    CHECK(std::vector(read->shape.begin(), read->shape.end()) == t.shape);
    CHECK(std::equal(read->bytes.begin(), read->bytes.end(), t.bytes.begin(), t.bytes.end()));
    if (!t.bytes.empty())
      CHECK(reinterpret_cast<std::uintptr_t>(read->bytes.data()) % (std::uintptr_t(st::bits(t.type)) / 8) == 0);
  }

  const auto refused = [&](const std::vector<st::source>& wrong) {
    const std::string why = st::write((folder / "never").string(), wrong);
    CHECK_FALSE(std::filesystem::exists(folder / "never"));
    return why;
  };
  CHECK(has(refused({tensors[0], tensors[0]}), "'half': stands twice"));
  CHECK(has(refused({{"x", st::dtype::f32, {4}, bytes_of(doubles)}}), "'x': 8 bytes don't fill F32 of shape [4]"));
  CHECK(has(refused({{"x", st::dtype::f4, {1}, bytes_of(bytes)}}), "don't fill"));
  CHECK(has(refused({{"x", st::dtype::u8, {-1}, bytes_of(bytes)}}), "don't fill"));
  CHECK(has(refused({{"__metadata__", st::dtype::u8, {1}, bytes_of(bytes)}}), "can't be a tensor's name"));
  CHECK(has(refused({{"\xff", st::dtype::u8, {1}, bytes_of(bytes)}}), "can't be a tensor's name"));
  CHECK(has(st::write((folder / "no" / "folder").string(), tensors), "can't be written"));

  CHECK(file.open((folder / "none").string()) == (folder / "none").string() + ": there is no such file");
  CHECK(file->size() == 0);
  CHECK(file.open(folder.string()) == folder.string() + ": is a directory");
  CHECK(file.open("/dev/zero") == "/dev/zero: is not a regular file");
  const std::string pipe = (folder / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(file.open(pipe) == pipe + ": is not a regular file");
  REQUIRE(st::write(path, {}) == "");
  CHECK(file.open(path) == "");
  std::filesystem::resize_file(path, 0);
  CHECK(file.open(path) == path + ": is empty, not a safetensors file");
  std::filesystem::remove_all(folder);
}
