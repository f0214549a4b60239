// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba's block on the CPU against its formula in double: one direction, two, and continued from its state.
#include <doctest/doctest.h>

#include <cmath>  // exp, log1p

#include <sextant/blocks/mamba.hpp>

#include "sequence_block.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

using blocks::mamba_block;
using blocks::mamba_sizes;
static_assert(blocks::parameters(mamba_block<float>({.model = 768})) == 3'770'880);
static_assert(blocks::keys(mamba_block<float>({.model = 768})) == 9);
static_assert(blocks::keys(mamba_block<float>({.model = 192, .bidirectional = true})) == 16);

double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

/// One direction of one sequence, gated by z, in the sequence's own order.
template <class E>
numbers direction(const mamba_sizes& s, const blocks::mamba_direction<E>& w, const numbers& xz, index_t T) {
  const index_t C = s.inner(), R = s.rank_or_default(), N = s.state;
  const auto at = [&](index_t t) { return w.backward ? T - 1 - t : t; };
  numbers x(std::size_t(T * C)), y(std::size_t(T * C));
  for (index_t t = 0; t < T; ++t)
    for (index_t c = 0; c < C; ++c) {
      double sum = double(w.conv.bias(c));
      for (index_t k = 0; k < s.width; ++k)
        if (const index_t from = t - s.width + 1 + k; from >= 0)
          sum += double(w.conv.weight(k, c)) * xz[std::size_t(at(from) * 2 * C + c)];
      x[std::size_t(t * C + c)] = silu(sum);
    }
  const numbers projected = product(x, T, w.x_proj);
  numbers low;
  for (index_t t = 0; t < T; ++t)
    for (index_t r = 0; r < R; ++r) low.push_back(projected[std::size_t(t * (R + 2 * N) + r)]);
  const numbers dt = product(low, T, w.dt_proj);
  for (index_t c = 0; c < C; ++c) {
    numbers h(std::size_t(N), 0.0);
    for (index_t t = 0; t < T; ++t) {
      const double u = x[std::size_t(t * C + c)],
                   step = softplus(dt[std::size_t(t * C + c)] + double(w.dt_bias.value(0, c)));
      double sum = double(w.d.value(0, c)) * u;
      for (index_t n = 0; n < N; ++n) {
        const double* const row = &projected[std::size_t(t * (R + 2 * N) + R)];
        double& state = h[std::size_t(n)];
        state = std::exp(step * double(w.a.value(0, c, n))) * state + step * u * row[n];
        sum += row[N + n] * state;
      }
      y[std::size_t(at(t) * C + c)] = sum * silu(xz[std::size_t(at(t) * 2 * C + C + c)]);
    }
  }
  return y;
}

template <class E> numbers block(const mamba_block<E>& w, const numbers& u, index_t T) {
  const numbers xz = product(u, T, w.in_proj);
  numbers y = direction(w.sizes, w.forwards, xz, T);
  if (w.sizes.bidirectional) {
    const numbers back = direction(w.sizes, w.backwards, xz, T);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += back[i];
  }
  return product(y, T, w.out_proj);
}

template <class E> void check(const mamba_sizes& s, index_t B, index_t T, bool with_plus) {
  check_block(mamba_block<E>(s), B, T, with_plus, block<E>);
}

template <class E> void check_all() {
  for (const index_t T : {0, 1, 2, 9}) check<E>({.model = 20}, 2, T, T == 2);
  check<E>({.model = 33, .state = 5, .width = 3, .expand = 1, .rank = 7}, 1, 6, true);
  check<E>({.model = 16, .bidirectional = true}, 2, 7, true);
  check<E>({.model = 16, .bidirectional = true, .halved = false}, 1, 1, false);
}

}  // namespace

TEST_CASE("mamba block: float") { check_all<float>(); }
TEST_CASE("mamba block: double") { check<double>({.model = 20, .bidirectional = true}, 1, 5, false); }
TEST_CASE("mamba block: bfloat16") { check<bfloat16>({.model = 20}, 1, 9, false); }
