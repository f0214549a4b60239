// SPDX-License-Identifier: Apache-2.0
#include "tokenizer.hpp"

#include <algorithm>  // sort
#include <limits>     // numeric_limits
#include <utility>    // pair

#include <sextant/interop/json.hpp>

namespace generate {

namespace {

/// A reader of any JSON, of which most is passed over.
class json_reader : public sextant::detail::json_reader {
 public:
  using sextant::detail::json_reader::json_reader;

  /// Passes over a value of any kind.
  bool skip(int depth = 0) {
    if (depth > 64) return false;
    std::string text;
    if (take('{')) {
      if (take('}')) return true;
      do {
        text.clear();
        if (!take_string(text) || !take(':') || !skip(depth + 1)) return false;
      } while (take(','));
      return take('}');
    }
    if (take('[')) {
      if (take(']')) return true;
      do {
        if (!skip(depth + 1)) return false;
      } while (take(','));
      return take(']');
    }
    return take_string(text) || take_plain();
  }
};

/// GPT-2's letters for bytes: those that print stand for themselves, the others are U+0100 and so on, in their order.
std::string bytes_of(std::string_view letters) {
  std::string out;
  for (std::size_t i = 0; i < letters.size();) {
    const std::size_t length = sextant::detail::utf8_length(letters.substr(i));
    unsigned code = static_cast<unsigned char>(letters[i]);
    if (length == 2) code = (code & 31u) << 6 | (static_cast<unsigned char>(letters[i + 1]) & 63u);
    if (length > 2 || length == 0) return std::string(letters);  // no letter of a byte: a token that stands for itself
    if (code >= 0x100) {
      unsigned nth = code - 0x100, byte = 0;
      const auto prints = [](unsigned b) {
        return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
      };
      for (;; ++byte) {
        if (byte > 255) return std::string(letters);
        if (!prints(byte) && nth-- == 0) break;
      }
      code = byte;
    }
    out += char(code);
    i += length;
  }
  return out;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Length of the first piece of a text: GPT-2's rule, with every sign beyond ASCII taken for a letter. 's 't 're 've 'm
/// 'll 'd, or letters, digits or other signs with at most one space before them, or blanks, of which the last one goes to
/// the word that follows.
std::size_t piece_length(std::string_view text) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (text.starts_with(ending)) return ending.size();
  const std::size_t from = text[0] == ' ' && text.size() > 1 && !is_blank(text[1]) ? 1 : 0;
  const auto run = [&](auto belongs) {
    std::size_t n = from;
    while (n < text.size() && belongs(text[n])) ++n;
    return n;
  };
  if (is_letter(text[from])) return run(is_letter);
  if (is_digit(text[from])) return run(is_digit);
  if (!is_blank(text[from])) return run([](char c) { return !is_letter(c) && !is_digit(c) && !is_blank(c); });
  const std::size_t blanks = run(is_blank);
  return blanks < text.size() && blanks > 1 ? blanks - 1 : blanks;
}

}  // namespace

std::string tokenizer::read(std::string_view json) {
  *this = {};
  const std::string broken = "is not a tokenizer.json whose model is BPE";
  json_reader reader(json);
  std::vector<std::pair<std::string, std::int32_t>> vocabulary;
  const auto take_id = [&](std::int32_t& into) {
    sextant::index_t id = 0;
    if (!reader.take_number(id) || id > 10'000'000) return false;
    into = std::int32_t(id);
    return true;
  };
  /// visit(key) for every member of an object; it reads the value.
  const auto members = [&](auto visit) {
    if (!reader.take('{')) return false;
    if (reader.take('}')) return true;
    std::string key;
    do {
      key.clear();
      if (!reader.take_string(key) || !reader.take(':') || !visit(key)) return false;
    } while (reader.take(','));
    return reader.take('}');
  };
  const auto elements = [&](auto visit) {
    if (!reader.take('[')) return false;
    if (reader.take(']')) return true;
    do {
      if (!visit()) return false;
    } while (reader.take(','));
    return reader.take(']');
  };
  const auto take_added = [&] {
    std::string content;
    std::int32_t id = 0;
    if (!members([&](const std::string& key) {
          return key == "id" ? take_id(id) : key == "content" ? reader.take_string(content) : reader.skip();
        }))
      return false;
    if (content.empty()) return true;
    added.push_back(content);
    vocabulary.emplace_back(content, id);
    return true;
  };
  /// "left right", or in newer files ["left", "right"].
  const auto take_merge = [&] {
    std::string left, right;
    if (reader.take('[')) {
      if (!reader.take_string(left) || !reader.take(',') || !reader.take_string(right) || !reader.take(']'))
        return false;
    } else {
      if (!reader.take_string(left)) return false;
      const std::size_t space = left.find(' ', 1);
      if (space == std::string::npos) return false;
      right = left.substr(space + 1);
      left.resize(space);
    }
    ranks.emplace(bytes_of(left) + '\0' + bytes_of(right), ranks.size());
    return true;
  };
  const auto take_model = [&](const std::string& key) {
    if (key == "vocab")
      return members([&](const std::string& letters) {
        std::int32_t id = 0;
        if (!take_id(id)) return false;
        vocabulary.emplace_back(bytes_of(letters), id);
        return true;
      });
    return key == "merges" ? elements(take_merge) : reader.skip();
  };
  const bool read_all = members([&](const std::string& key) {
    return key == "added_tokens" ? elements(take_added) : key == "model" ? members(take_model) : reader.skip();
  });
  if (!read_all || vocabulary.empty()) return *this = {}, broken;
  for (const auto& [text, id] : vocabulary) {
    ids.emplace(text, id);
    if (std::size_t(id) >= texts.size()) texts.resize(std::size_t(id) + 1);
    texts[std::size_t(id)] = text;
  }
  for (int byte = 0; byte < 256; ++byte)
    if (!ids.contains(std::string(1, char(byte)))) return *this = {}, broken + ": not every byte is a token";
  std::sort(added.begin(), added.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  return {};
}

void tokenizer::encode_piece(std::string_view piece, std::vector<std::int32_t>& into) const {
  std::vector<std::string> parts;
  for (const char c : piece) parts.emplace_back(1, c);
  while (parts.size() > 1) {
    std::size_t best = 0, rank = std::numeric_limits<std::size_t>::max();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      if (const auto found = ranks.find(parts[i] + '\0' + parts[i + 1]); found != ranks.end() && found->second < rank)
        best = i, rank = found->second;
    if (rank == std::numeric_limits<std::size_t>::max() || !ids.contains(parts[best] + parts[best + 1])) break;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + std::ptrdiff_t(best) + 1);
  }
  for (const std::string& part : parts) into.push_back(ids.at(part));
}

std::vector<std::int32_t> tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> tokens;
  const auto pieces = [&](std::string_view plain) {
    while (!plain.empty()) {
      const std::size_t length = piece_length(plain);
      encode_piece(plain.substr(0, length), tokens);
      plain.remove_prefix(length);
    }
  };
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto found =
        std::find_if(added.begin(), added.end(), [&](const std::string& a) { return text.substr(i).starts_with(a); });
    if (found == added.end()) {
      ++i;
      continue;
    }
    pieces(text.substr(begin, i - begin));
    tokens.push_back(ids.at(*found));
    begin = i += found->size();
  }
  pieces(text.substr(begin));
  return tokens;
}

std::string tokenizer::decode(std::int32_t token) const {
  return token >= 0 && std::size_t(token) < texts.size() ? texts[std::size_t(token)] : std::string{};
}

}  // namespace generate
