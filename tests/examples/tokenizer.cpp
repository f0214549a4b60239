// SPDX-License-Identifier: Apache-2.0
/// @file  The tokenizer of the example generate: merges in their order, pieces of text, bytes, and what is refused.
#include <doctest/doctest.h>

#include <cstdint>  // int32_t
#include <string>   // string, to_string
#include <vector>   // vector

#include "../../examples/generate/tokenizer.hpp"

namespace {

/// A tokenizer.json of all bytes, the merges, in the order given, and two added tokens. Letters of bytes as GPT-2 has them.
std::string file_of(const std::vector<std::string>& merges) {
  std::string vocabulary, list;
  int id = 0;
  const auto letter = [](int byte) {
    const auto prints = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255); };
    int code = byte;
    if (!prints(byte)) {
      code = 256;
      for (int b = 0; b < byte; ++b) code += !prints(b);
    }
    const std::string text =
        code < 128 ? std::string(1, char(code)) : std::string{char(0xc0 | code >> 6), char(0x80 | (code & 63))};
    return text == "\"" || text == "\\" ? "\\" + text : text;
  };
  for (int byte = 0; byte < 256; ++byte)
    vocabulary += (id ? ",\"" : "\"") + letter(byte) + "\":" + std::to_string(id), ++id;
  for (const std::string& merge : merges) {
    std::string both = merge;
    both.erase(both.find(' '), 1);
    vocabulary += ",\"" + both + "\": " + std::to_string(id++);
    list += (list.empty() ? "\"" : ",\"") + merge + "\"";
  }
  return R"({"version":"1.0","truncation":null,"added_tokens":[{"id":1000,"content":"<|end|>","special":true},)"
         R"({"id":1001,"content":"  ","normalized":false,"rstrip":-1.5e3}],"normalizer":{"type":"NFC","x":[1,{}]},)"
         R"("model":{"type":"BPE","vocab":{)" +
         vocabulary + R"(},"merges":[)" + list + "]}}";
}

using numbers = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("tokenizer: merges, pieces and bytes") {
  generate::tokenizer words;
  REQUIRE(words.read(file_of({"a b", "ab c", "\u0120 a", "b c", "1 2"})) == "");
  const int ab = 256, abc = 257, space_a = 258, bc = 259, twelve = 260;
  CHECK(words.encode("ab") == numbers{ab});
  CHECK(words.encode("abc") == numbers{abc});
  CHECK(words.encode("bc") == numbers{bc});
  CHECK(words.encode("aab") == numbers{'a', ab});
  CHECK(words.encode("x ab") == numbers{'x', ' ', ab});  // "a b" comes before "_ a"
  CHECK(words.encode("x a") == numbers{'x', space_a});
  CHECK(words.encode("12a1") == numbers{twelve, 'a', '1'});
  CHECK(words.encode("a12") == numbers{'a', twelve});
  CHECK(words.encode("ab<|end|>c") == numbers{ab, 1000, 'c'});
  CHECK(words.encode("a  b") == numbers{'a', 1001, 'b'});
  CHECK(words.encode("\n\t\xc3\xa4\"\\") == numbers{'\n', '\t', 0xc3, 0xa4, '"', '\\'});
  CHECK(words.encode("").empty());
  for (const char* text : {"it's 12 abc, don't\n\n  x", "\xf0\x9f\x98\x80 \xff", "   "}) {
    std::string back;
    for (const std::int32_t token : words.encode(text)) back += words.decode(token);
    CHECK(back == text);
  }
  CHECK(words.decode(-1) == "");
  CHECK(words.decode(999) == "");
  CHECK(words.decode(5000) == "");
}

TEST_CASE("tokenizer: what is refused") {
  generate::tokenizer words;
  const std::string whole = file_of({"a b"});
  REQUIRE(words.read(whole) == "");
  for (std::size_t n = 0; n < whole.size(); n += 7) CHECK(words.read(whole.substr(0, n)) != "");
  CHECK(words.encode("").empty());
  for (const std::string& wrong :
       {std::string("[]"), std::string("{}"), std::string("{\"model\":{\"vocab\":{\"a\":1}}}"),
        std::string("{\"model\":{\"vocab\":{\"a\":-1}}}"), "{\"x\":" + std::string(1000, '[')})
    CHECK(words.read(wrong) != "");
}
