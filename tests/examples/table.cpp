// SPDX-License-Identifier: Apache-2.0
/// @file  The ablation's output: aligned tables, JSON, CSV and the line of progress.
#include <doctest/doctest.h>

#include <clocale>  // setlocale
#include <cstdint>  // int64_t
#include <cstdio>   // tmpfile
#include <limits>   // numeric_limits
#include <string>   // string
#include <vector>   // vector

#include "../../examples/ablation/progress.hpp"
#include "../../examples/ablation/table.hpp"

namespace {

using namespace ablation;

struct row {
  std::string name;
  bool gate = false;
  std::int64_t macs = 0;
  double time = 0;
  double error = 0;
};

const std::vector<column<row>> columns = {
    {"name", "design", kind::text, 0, [](const row& r) -> cell { return r.name; }},
    {"gate", "gate", kind::tick, 0, [](const row& r) -> cell { return r.gate; }},
    {"macs", "MACs", kind::integer, 0, [](const row& r) -> cell { return r.macs; }},
    {"time", "µs", kind::fixed, 2, [](const row& r) -> cell { return r.time; }},
    {"error", "error", kind::scientific, 1, [](const row& r) -> cell { return r.error; }},
    {"note", "note", kind::text, 0, [](const row& r) { return r.gate ? cell{"on"} : cell{}; }},
};

std::string written_by(void (*write)(std::FILE*)) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file);
  write(file);
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  std::fclose(file);
  return text;
}

const double infinity = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("table: columns are aligned, also behind characters of more than one byte") {
  const std::vector<row> rows = {{"baseline", false, 86704128, 1.5, 1.25e-7}, {"+ Δ", true, -999, 1234.567, nan_value}};
  CHECK(as_table(columns, rows) ==
        "design    gate        MACs       µs    error  note\n"
        "────────  ────  ──────────  ───────  ───────  ────\n"
        "baseline     ·  86,704,128     1.50  1.2e-07  -\n"
        "+ Δ          ✓        -999  1234.57      nan  on\n");
  CHECK(as_table(columns, std::vector<row>{}) ==
        "design  gate  MACs  µs  error  note\n"
        "──────  ────  ────  ──  ─────  ────\n");
}

TEST_CASE("table: thousands") {
  using number = std::int64_t;
  const std::vector<column<number>> one = {{"n", "n", kind::integer, 0, [](const number& n) -> cell { return n; }}};
  const auto shown = [&](number n) {
    const std::string text = as_table(one, std::vector<number>{n});
    const std::size_t begin = text.rfind('\n', text.size() - 2) + 1;
    return text.substr(begin, text.size() - 1 - begin);
  };
  CHECK(shown(0) == "0");
  CHECK(shown(999) == "999");
  CHECK(shown(1000) == "1,000");
  CHECK(shown(-999) == "-999");
  CHECK(shown(-1000) == "-1,000");
  CHECK(shown(123456) == "123,456");
  CHECK(shown(std::numeric_limits<std::int64_t>::min()) == "-9,223,372,036,854,775,808");
}

TEST_CASE("JSON: one array, an object per row, whole numbers, null for what JSON can't say") {
  CHECK(as_json(columns, std::vector<row>{}) == "[]\n");
  const std::vector<row> rows = {{"a", true, 9007199254740993, 0.1, 1e-7}, {"b", false, 0, infinity, nan_value}};
  CHECK(as_json(columns, rows) ==
        "[\n"
        "  {\"name\": \"a\", \"gate\": true, \"macs\": 9007199254740993, \"time\": 0.1, \"error\": 1e-07, "
        "\"note\": \"on\"},\n"
        "  {\"name\": \"b\", \"gate\": false, \"macs\": 0, \"time\": null, \"error\": null, \"note\": null}\n"
        "]\n");
}

TEST_CASE("JSON: strings are escaped and always valid UTF-8") {
  using ablation::detail::json_string;
  CHECK(json_string("plain, Δ ✓ 𝄞") == "\"plain, Δ ✓ 𝄞\"");
  CHECK(json_string("\"\\/\b\n\r\t\x7f") == "\"\\\"\\\\/\\u0008\\n\\r\\t\x7f\"");
  CHECK(json_string(std::string("\0\x1f", 2)) == "\"\\u0000\\u001f\"");
  const std::string replaced = "\xef\xbf\xbd";
  CHECK(json_string("a\xff/") == "\"a" + replaced + "/\"");
  // Cut short; overlong; a surrogate; above U+10FFFF.
  CHECK(json_string("\xce") == "\"" + replaced + "\"");
  CHECK(json_string("\xc0\xaf") == "\"" + replaced + replaced + "\"");
  CHECK(json_string("\xed\xa0\x80") == "\"" + replaced + replaced + replaced + "\"");
  CHECK(json_string("\xf4\x90\x80\x80") == "\"" + replaced + replaced + replaced + replaced + "\"");
}

TEST_CASE("CSV: quoted where it must be") {
  const std::vector<row> rows = {{"a, \"b\"\nc", true, 1234567, 0.5, -infinity}, {"", false, -1, nan_value, 1e300}};
  CHECK(as_csv(columns, rows) ==
        "name,gate,macs,time,error,note\n"
        "\"a, \"\"b\"\"\nc\",true,1234567,0.5,-inf,on\n"
        ",false,-1,nan,1e+300,\n");
  CHECK(as_csv(columns, std::vector<row>{}) == "name,gate,macs,time,error,note\n");
}

TEST_CASE("numbers don't follow the locale") {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"}) std::setlocale(LC_ALL, name);
  const std::vector<row> rows = {{"a", true, 1000, 0.5, 0.25}};
  CHECK(as_csv(columns, rows) == "name,gate,macs,time,error,note\na,true,1000,0.5,0.25,on\n");
  std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("fixed: the largest number still fits") {
  const std::vector<row> rows = {{"a", true, 0, -std::numeric_limits<double>::max(), 0}};
  const std::string text = as_table(columns, rows);
  CHECK(text.find("-17976931348623157") != std::string::npos);
  CHECK(text.find('?') == std::string::npos);
}

TEST_CASE("progress: a shorter text wipes a longer one, the end wipes all, and a file gets nothing") {
  CHECK(written_by([](std::FILE* file) {
          progress_line line(file, true);
          line.show("1/2 MILA");
          line.show("Δ");
        }) == "\r1/2 MILA\rΔ       \r \r");
  CHECK(written_by([](std::FILE* file) { progress_line(file, true).show(std::string(200, 'x')); }) ==
        "\r" + std::string(79, 'x') + "\r" + std::string(79, ' ') + "\r");
  CHECK(written_by([](std::FILE* file) { progress_line line(file, true); }) == "");
  CHECK(written_by([](std::FILE* file) { progress_line(file).show("never"); }) == "");
}
