// SPDX-License-Identifier: Apache-2.0
/// @file  A command line as the examples read it: help, or one line of what is wrong.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>    // fprintf, fputs
#include <optional>  // optional
#include <string>    // string

namespace ablation {

/// Reads the options of `app`, which has its program's name. Returns what the program ends with where it should end: 0 behind
/// --help, 2 behind a line of what is wrong with the options.
inline std::optional<int> ended_by_options(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return std::fputs(app.help().c_str(), stdout) < 0 ? 2 : 0;
  } catch (const CLI::Error& error) {
    std::string text = error.what();
    while (!text.empty() && text.back() == '\n') text.pop_back();
    for (char& c : text)
      if (c == '\n') c = ' ';
    std::fprintf(stderr, "%s: %s (--help shows the options)\n", app.get_name().c_str(), text.c_str());
    return 2;
  }
  return std::nullopt;
}

}  // namespace ablation
