// SPDX-License-Identifier: Apache-2.0
/// @file  Copies one .npy file into another through sextant::npy; npy_numpy.py compares both with NumPy's own eyes.
#include <cstdio>  // fputs, fprintf

#include <sextant/interop/npy.hpp>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: npy_copy FROM TO\n", stderr);
    return 2;
  }
  const sextant::npy::read_result from = sextant::npy::read(argv[1]);
  const std::string error = from ? sextant::npy::write(argv[2], from.value) : from.error;
  if (!error.empty()) std::fprintf(stderr, "%s\n", error.c_str());
  return error.empty() ? 0 : 2;
}
