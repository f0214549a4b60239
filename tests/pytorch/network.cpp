// SPDX-License-Identifier: Apache-2.0
/// @file  sextant_network NAME begin SEED WEIGHTS; sextant_network NAME run WEIGHTS INPUT OUTPUT.
#include <cstdio>   // fprintf
#include <cstdlib>  // strtoull
#include <cstring>  // strcmp

#include "network.hpp"

int main(int count, char** arguments) {
  using namespace sextant::tests;
  errand what;
  if (count == 5 && std::strcmp(arguments[2], "begin") == 0) {
    what = {.name = arguments[1],
            .weights = arguments[4],
            .begins = true,
            .seed = std::strtoull(arguments[3], nullptr, 10)};
  } else if (count == 6 && std::strcmp(arguments[2], "run") == 0) {
    what = {.name = arguments[1], .weights = arguments[3], .input = arguments[4], .output = arguments[5]};
  } else {
    std::fprintf(stderr, "usage: sextant_network NAME begin SEED WEIGHTS | NAME run WEIGHTS INPUT OUTPUT\n");
    return 2;
  }
  std::string error;
  if (!run_vision(what, error) && !run_language(what, error)) error = "no network is named " + what.name;
  if (!error.empty()) std::fprintf(stderr, "%s\n", error.c_str());
  return error.empty() ? 0 : 1;
}
