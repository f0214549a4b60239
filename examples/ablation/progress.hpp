// SPDX-License-Identifier: Apache-2.0
/// @file  A line on a terminal that says what is being done and then disappears.
#pragma once

#include <unistd.h>  // isatty

#include <cstddef>      // size_t
#include <cstdio>       // FILE, fputs
#include <string>       // string
#include <string_view>  // string_view

namespace ablation {

/// A progress line on standard error where that is a terminal; otherwise nothing is ever written. Texts are cut to 79
/// characters, so that the line never wraps. The line is wiped at the end of the object's life.
class progress_line {
 public:
  explicit progress_line(std::FILE* out = stderr) : progress_line(out, ::isatty(::fileno(out)) == 1) {}
  /// Writes, or doesn't, whatever `out` is.
  progress_line(std::FILE* out, bool active) : file(active ? out : nullptr) {}
  progress_line(const progress_line&) = delete;
  progress_line& operator=(const progress_line&) = delete;
  ~progress_line() { clear(); }

  /// Puts this text in place of the last one.
  void show(std::string_view text) {
    if (!file) return;
    std::size_t bytes = 0, width = 0;
    for (; bytes < text.size(); ++bytes) {
      const bool begins = (static_cast<unsigned char>(text[bytes]) & 0xc0) != 0x80;
      if (begins && width == 79) break;
      width += begins;
    }
    std::string line = "\r";
    line += text.substr(0, bytes);
    if (width < shown) line.append(shown - width, ' ');  // over what is left of a longer text
    shown = width;
    std::fputs(line.c_str(), file);
    std::fflush(file);
  }

  /// Wipes it, the cursor back at the start; call before anything else is printed on the terminal.
  void clear() {
    if (!file || shown == 0) return;
    show("");
    std::fputs("\r", file);
    std::fflush(file);
  }

 private:
  std::FILE* file;
  std::size_t shown = 0;  // characters
};

}  // namespace ablation
