// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba-2's block on the CPU against its formula in double, in one call and continued from its state.
#include <doctest/doctest.h>

#include <cmath>        // exp, log1p, sqrt
#include <cstdint>      // uint64_t
#include <type_traits>  // remove_cvref_t
#include <vector>       // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/mamba2.hpp>
#include <sextant/sextant.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

using blocks::mamba2_block;
using blocks::mamba2_sizes;
static_assert(blocks::parameters(mamba2_block<float>({.model = 768})) == 3'764'552);
static_assert(blocks::keys(mamba2_block<float>({.model = 768})) == 8);

double silu(double x) { return x / (1 + std::exp(-x)); }

using numbers = std::vector<double>;

template <class E> numbers product(const numbers& x, index_t n, const blocks::modules::linear<E>& w) {
  numbers y(std::size_t(n * w.outputs()));
  for (index_t i = 0; i < n; ++i)
    for (index_t o = 0; o < w.outputs(); ++o)
      for (index_t k = 0; k < w.inputs(); ++k)
        y[std::size_t(i * w.outputs() + o)] += x[std::size_t(i * w.inputs() + k)] * double(w.weight(o, k));
  return y;
}

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
  CAPTURE(s.model);
  CAPTURE(B);
  CAPTURE(T);
  dice d{std::uint64_t(s.model + 100 * T)};
  with_weights block_of(mamba2_block<E>(s), d);
  blocks::for_each_tensor(block_of.module, [&](const blocks::path&, const auto& t) {
    using element = typename std::remove_cvref_t<decltype(t)>::element;
    element* const to = blocks::detail::memory_of(t);
    blocks::detail::for_each_number(t, [&](index_t at, index_t, index_t) {
      const double x = double(to[at]);
      if (t.as == blocks::kept::minus_exp) to[at] = element(-std::exp(x));
      else if (t.rank == 2) to[at] = element(x * 2 / std::sqrt(double(t.shape[1])));
    });
  });
  const auto& w = block_of.module;
  table<E> u(B * T, s.model, 3, d), plus(B * T, s.model, 1, d), y(B * T, s.model, 2);
  const cpu::parallel sizes{{}, 2};
  scratch memory(blocks::workspace_bytes(sizes, w, B, T));
  blocks::rows<const E> more{};
  if (with_plus) more = plus;
  REQUIRE(forward(cpu::parallel{memory, 2}, w, u, B, y, more));
  numbers expected;
  for (index_t b = 0; b < B; ++b) {
    numbers one;
    for (index_t i = 0; i < T; ++i)
      for (index_t c = 0; c < s.model; ++c) one.push_back(u.value(b * T + i, c));
    for (const double value : block(w, one, T)) expected.push_back(value);
  }
  const double bound = std::is_same_v<E, float> ? 1e-5 : std::is_same_v<E, double> ? 1e-12 : 2e-2;
  CHECK(error_of(y, [&](index_t i, index_t c) {
          return expected[std::size_t(i * s.model + c)] + (with_plus ? plus.value(i, c) : 0);
        }) <= bound);
  CHECK(y.gaps_untouched());

  // In two parts and then step by step, with a state.
  table<E> conv(B * (s.width - 1), s.convolved(), 1), again(B * T, s.model, 2);
  for (index_t i = 0; i < conv.n; ++i)
    for (index_t c = 0; c < conv.length; ++c) conv.at(i, c) = E(0.0);
  using real = blocks::accumulator_of<E>;
  std::vector<real> S(std::size_t(B * s.state * s.inner()));
  const blocks::sequence_state<E> state{conv.sequences(B, s.width - 1), {S.data(), {B, s.heads(), s.state, s.head}}};
  for (index_t t = 0; t < T;) {
    const index_t count = t == 0 ? (T + 1) / 2 : 1;
    table<E> part(B * count, s.model), result(B * count, s.model);
    for (index_t i = 0; i < B * count; ++i)
      for (index_t c = 0; c < s.model; ++c) part.at(i, c) = u.at(i / count * T + t + i % count, c);
    scratch some(blocks::workspace_bytes(sizes, w, B, count));
    REQUIRE(forward(cpu::parallel{some, 2}, w, part, B, result, {}, state));
    for (index_t i = 0; i < B * count; ++i)
      for (index_t c = 0; c < s.model; ++c) again.at(i / count * T + t + i % count, c) = result.at(i, c);
    t += count;
  }
  CHECK(error_of(again, [&](index_t i, index_t c) { return expected[std::size_t(i * s.model + c)]; }) <= bound);
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
