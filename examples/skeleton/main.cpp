// SPDX-License-Identifier: Apache-2.0
/// @file  The smallest program of a project that finds an installed Sextant.
#include <cstdio>

#include <sextant/sextant.hpp>

int main() {
  constexpr auto description = sextant::describe(sextant::gla);
  std::printf("Sextant for %s. %s reads and writes:\n", sextant::cpu::instruction_set, description.name);
  for (int i = 0; i < description.tensor_count; ++i)
    std::printf("  %-16s %-14s %s\n", description.tensors[i].name, description.tensors[i].shape,
                description.tensors[i].meaning);
}
