// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba-2's block on the CPU against its formula in double, in one call and continued from its state.
#include <doctest/doctest.h>

#include <cmath>  // exp, log1p, sqrt

#include <sextant/blocks/mamba2.hpp>

#include "sequence_block.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

using blocks::mamba2_block;
using blocks::mamba2_sizes;
static_assert(blocks::parameters(mamba2_block<float>({.model = 768})) == 3'764'552);
static_assert(blocks::keys(mamba2_block<float>({.model = 768})) == 8);

/// The block of one sequence.
template <class E> numbers block(const mamba2_block<E>& w, const numbers& u, index_t T) {
  const mamba2_sizes& s = w.sizes;
  const index_t inner = s.inner(), H = s.heads(), P = s.head, N = s.state, G = s.groups, C = s.convolved();
  const index_t width = inner + C + H;
  const numbers projected = product(u, T, w.in_proj);
  numbers x(std::size_t(T * C)), y(std::size_t(T * inner));
  for (index_t t = 0; t < T; ++t)
    for (index_t c = 0; c < C; ++c) {
      double sum = double(w.conv.bias(c));
      for (index_t k = 0; k < s.width; ++k)
        if (const index_t from = t - s.width + 1 + k; from >= 0)
          sum += double(w.conv.weight(k, c)) * projected[std::size_t(from * width + inner + c)];
      x[std::size_t(t * C + c)] = silu(sum);
    }
  for (index_t c = 0; c < inner; ++c) {
    const index_t h = c / P, g = h / (H / G);
    numbers state(std::size_t(N), 0.0);
    for (index_t t = 0; t < T; ++t) {
      const double raw = projected[std::size_t(t * width + inner + C + h)] + double(w.dt_bias.value(h));
      const double dt = std::log1p(std::exp(raw)), v = x[std::size_t(t * C + c)];
      double sum = double(w.d.value(h)) * v;
      for (index_t n = 0; n < N; ++n) {
        double& S = state[std::size_t(n)];
        S = std::exp(dt * double(w.a.value(h))) * S + dt * v * x[std::size_t(t * C + inner + g * N + n)];
        sum += x[std::size_t(t * C + inner + G * N + g * N + n)] * S;
      }
      y[std::size_t(t * inner + c)] = sum * silu(projected[std::size_t(t * width + c)]);
    }
  }
  const index_t part = inner / G;
  for (index_t t = 0; t < T; ++t)
    for (index_t g = 0; g < G; ++g) {
      double square = 0;
      double* const row = &y[std::size_t(t * inner + g * part)];
      for (index_t c = 0; c < part; ++c) square += row[c] * row[c] / double(part);
      for (index_t c = 0; c < part; ++c) row[c] *= double(w.norm.weight(g * part + c)) / std::sqrt(square + 1e-5);
    }
  return product(y, T, w.out_proj);
}

template <class E> void check(const mamba2_sizes& s, index_t B, index_t T, bool with_plus) {
  check_block(mamba2_block<E>(s), B, T, with_plus, block<E>);
}

}  // namespace

TEST_CASE("mamba-2 block: float") {
  for (const index_t T : {0, 1, 2, 9, 130}) check<float>({.model = 16, .state = 8, .head = 8}, 2, T, T == 2);
  check<float>({.model = 21, .state = 5, .width = 3, .head = 7, .groups = 2}, 1, 6, true);
  const mamba2_block<float> odd({.model = 21, .head = 8});
  table<float> one(1, 21), result(1, 21);
  CHECK(forward(cpu::serial{}, odd, one, 1, result).code == errc::shape);
  CHECK(forward(cpu::serial{}, odd, one, 2, result).code == errc::shape);
}
TEST_CASE("mamba-2 block: bfloat16") { check<bfloat16>({.model = 16, .state = 8, .head = 8}, 1, 9, false); }
