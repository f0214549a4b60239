// SPDX-License-Identifier: Apache-2.0
/// @file  The model of the least times against numbers worked out by hand for published sizes.
#include <doctest/doctest.h>

#include <cstring>  // strcmp

#include <sextant/design/presets.hpp>

#include "../../bench/roofline.hpp"

using namespace sextant;
using namespace sextant::bench;

namespace {

// Milliseconds that agree to the hundredth part: the hand's counts take a step size for 4 bytes, not 2.
void close(double x, double by_hand) { CHECK(x == doctest::Approx(by_hand).epsilon(0.015)); }

template <class Precision = bf16, class Design> resource_times forward_times(const Design& design, problem_size s) {
  return times_of(forward_work<Precision>(design, s), h200_largest);
}
template <class Precision = bf16, class Design> resource_times step_times(const Design& design, problem_size s) {
  return times_of(step_work<Precision>(design, s), h200_largest);
}

}  // namespace

TEST_CASE("Mamba: exponentials bind, of the gate, two for softplus, one for silu") {
  const problem_size s{.B = 8, .T = 4096, .K = 16, .V = 2048};
  const auto plain = forward_times(mamba, s);
  close(plain.special, 0.2889);
  close(plain.issue, 0.1605);
  close(plain.floor_ms(), 0.2889);
  CHECK(std::strcmp(plain.binds(), "special functions") == 0);
  const auto gated = forward_times(mamba.with(output::silu{}), s);
  close(gated.memory, 0.1253);
  close(gated.special, 0.3049);
  close(forward_times<fp32>(mamba.with(output::silu{}), s).memory, 0.2507);
  close(forward_times(mamba.with(output::silu{}), {.B = 1, .T = 131072, .K = 16, .V = 2048}).floor_ms(), 1.2196);
}

TEST_CASE("Mamba-2: memory and matrix units, side by side") {
  const problem_size s{.B = 8, .T = 4096, .Hk = 1, .H = 32, .K = 128, .V = 64};
  const auto t = forward_times(mamba2, s);
  close(t.memory, 0.0673);
  close(t.matrix, 0.0652);
  close(t.issue, 0.0512);
  CHECK(std::strcmp(t.binds(), "memory") == 0);
  close(forward_times(mamba2.with(output::silu{}), s).memory, 0.0985);
}

TEST_CASE("attention without a gate, and with a constant one") {
  const auto small = forward_times(linear_attention, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 64, .V = 64});
  close(small.memory, 0.0624);  // without the 4 bytes of a gate
  close(small.matrix, 0.0217);
  close(small.issue, 0.0128);
  const auto wide = forward_times(retnet, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 128, .V = 128});
  close(wide.memory, 0.1248);
  close(wide.matrix, 0.0652);
  close(wide.issue, 0.0512);
  close(wide.special, 0.0010);
}

TEST_CASE("a gate per key: its tensor comes on top") {
  const auto t = forward_times(gla, {.B = 8, .T = 4096, .Hk = 16, .H = 16, .K = 128, .V = 128});
  close(t.memory, 0.1561);
  close(t.matrix, 0.0489);
  close(t.special, 0.0481);
  close(t.issue, 0.1144);
}

TEST_CASE("2Mamba: squares of scores up to 4 k tokens, a state of 2080 keys from there on") {
  const auto at = [](index_t T) { return forward_times(two_mamba, {.B = 1, .T = T, .Hk = 16, .H = 16, .K = 64, .V = 64}); };
  close(at(4096).matrix, 0.0435);      // 65536 token-heads of 4096 x 128
  close(at(131072).matrix, 1.5002);    // 2097152 of 4 x 2080 x 64 + 2 x 64 x 128 + 4 x 64 x 64
  close(at(131072).memory, 0.2507);
  CHECK(std::strcmp(at(4096).binds(), "matrix units") == 0);
}

TEST_CASE("MILA: four passes over the tokens") {
  const auto t = forward_times(mila, {.B = 128, .T = 3136, .Hk = 2, .H = 2, .K = 32, .V = 32});
  close(t.memory, 0.0478);
  close(t.matrix, 0.0042);
  close(t.special, 0.0123);
  close(t.issue, 0.0277);
}

TEST_CASE("decode: the state in and out") {
  const problem_size s{.B = 128, .Hk = 1, .H = 64, .K = 128, .V = 64};
  close(step_times(mamba2, s).floor_ms(), 0.1256);
  close(step_times(mamba2, s).issue, 0.0080);
  close(step_times<precision<bfloat16, bfloat16, float>>(mamba2, s).floor_ms(), 0.0632);
  close(step_times(mamba, {.B = 128, .K = 16, .V = 4096}).floor_ms(), 0.0166);
  CHECK(step_work<fp32>(retnet.with(norm::sum{}), s).bytes > step_work<fp32>(retnet, s).bytes);
}

TEST_CASE("copies of few bytes run at a lower rate, and never above the largest") {
  CHECK(h200_copy_rate(1e6) == 2.76e12);
  CHECK(h200_copy_rate(270e6) == doctest::Approx(3.85e12));
  CHECK(h200_copy_rate(1e10) == 4.12e12);
  double last = 0;
  for (double bytes = 1e6; bytes < 4e9; bytes *= 1.3) {
    CHECK(h200_copy_rate(bytes) >= last);
    CHECK(h200(bytes).bytes <= h200_largest.bytes);
    last = h200_copy_rate(bytes);
  }
}

TEST_CASE("S4D: memory binds tokens of 16 bits, instructions floats") {
  const problem_size s{.B = 8, .T = 4096, .K = 64, .V = 2048};
  const auto half = forward_times(s4d, s);
  close(half.memory, 0.0624);  // 67.1e6 numbers of v and as many of y
  close(half.matrix, 0.0462);  // 136 products for each
  CHECK(half.special == 0);
  CHECK(std::strcmp(half.binds(), "memory") == 0);
  const auto single = forward_times<fp32>(s4d, s);
  close(single.memory, 0.1248);
  close(single.issue, 0.4172);  // 208 for each
  CHECK(std::strcmp(single.binds(), "issue") == 0);
  close(step_times<fp32>(s4d, {.B = 128, .K = 64, .V = 2048}).memory, 0.0319);
}
