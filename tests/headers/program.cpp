// SPDX-License-Identifier: Apache-2.0
/// @file  A few designs against the reference, small enough to be compiled by every compiler for every instruction set.
#include <cstdio>  // printf

#include "problem.hpp"

namespace {

using namespace sextant;

// No extent is a multiple of a vector's width.
constexpr test::shape one_head{.B = 1, .T = 37, .Hk = 1, .H = 1, .K = 5, .V = 19};
constexpr test::shape two_heads{.B = 1, .T = 37, .Hk = 2, .H = 2, .K = 5, .V = 19};

bool below(double bound, const char* what, const test::errors& found) {
  const bool good = found.worst() <= bound;
  std::printf("%s: error %g%s\n", what, found.worst(), good ? "" : ", which is too much");
  return good;
}

}  // namespace

int main() {
  std::printf("%s\n", cpu::instruction_set);
  // 37 tokens of rounding; bfloat16 rounds y by up to 2^-9.
  bool good = below(2e-6, "mamba", test::error_of(mamba, one_head));
  good &= below(2e-6, "mamba, recurrent, parallel",
                test::error_of(mamba, one_head, {}, form::recurrent{}, cpu::parallel{}));
  good &= below(2e-6, "gla", test::error_of(gla, two_heads));
  good &= below(1e-14, "gla in float64", test::error_of<fp64>(gla, two_heads, {}, form::recurrent{}));
  good &= below(3e-3, "linear attention in bfloat16, parallel",
                test::error_of<bf16>(linear_attention, two_heads, {}, form::automatic{}, cpu::parallel{}));
  return good ? 0 : 1;
}
