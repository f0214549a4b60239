// SPDX-License-Identifier: Apache-2.0
/// @file  What readers of headers in text share: signs, blanks, digits that may be too many.
#pragma once

#include <cstddef>      // size_t
#include <limits>       // numeric_limits
#include <string_view>  // string_view

#include <sextant/config.hpp>

namespace sextant::detail {

/// Takes a text from its front.
class text_reader {
 public:
  explicit text_reader(std::string_view text) : rest(text) {}

  /// Takes the next character if it is this one; blanks before it are skipped.
  bool take(char c) {
    skip_blanks();
    if (rest.empty() || rest.front() != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  bool at_end() {
    skip_blanks();
    return rest.empty();
  }
  std::string_view left() const { return rest; }

  bool overflowed = false;  ///< whether there was a number that no index_t holds

 protected:
  void skip_blanks() {
    while (!rest.empty() &&
           (rest.front() == ' ' || rest.front() == '\n' || rest.front() == '\t' || rest.front() == '\r'))
      rest.remove_prefix(1);
  }
  /// Takes digits, behind blanks; returns how many there were.
  std::size_t take_digits(index_t& into) {
    skip_blanks();
    constexpr index_t limit = std::numeric_limits<index_t>::max();
    std::size_t digits = 0;
    into = 0;
    for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9'; ++digits) {
      const index_t d = rest[digits] - '0';
      if (into > (limit - d) / 10) overflowed = true;
      else into = into * 10 + d;
    }
    rest.remove_prefix(digits);
    return digits;
  }

  std::string_view rest;
};

}  // namespace sextant::detail
