// SPDX-License-Identifier: Apache-2.0
/// @file  Text to tokens and back: byte-level byte-pair encoding, as GPT-NeoX's tokenizer, which the public Mamba models use.
#pragma once

#include <cstddef>        // size_t
#include <cstdint>        // int32_t
#include <string>         // string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <vector>         // vector

namespace generate {

/// A tokenizer.json of Hugging Face's library whose model is BPE on bytes. Text that is ASCII is divided exactly as there;
/// of other text every letter counts as one.
class tokenizer {
 public:
  /// Reads the file's text in place of what was read before. Returns "" or why it is refused.
  std::string read(std::string_view json);

  std::vector<std::int32_t> encode(std::string_view text) const;
  /// The bytes of a token; "" for a number that is none.
  std::string decode(std::int32_t token) const;

 private:
  void encode_piece(std::string_view piece, std::vector<std::int32_t>& into) const;

  std::unordered_map<std::string, std::int32_t> ids;   ///< of the bytes that a token stands for
  std::unordered_map<std::string, std::size_t> ranks;  ///< of "left right" merges, bytes, the first is the best
  std::vector<std::string> added;                      ///< tokens that are found in the text first, the longest first
  std::vector<std::string> texts;                      ///< of tokens
};

}  // namespace generate
