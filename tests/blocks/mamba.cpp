// SPDX-License-Identifier: Apache-2.0
/// @file  Mamba's block on the CPU against its formula in double: one direction, two, and continued from its state.
#include <doctest/doctest.h>

#include <cmath>   // exp, fabs, log1p
#include <vector>  // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/mamba.hpp>
#include <sextant/sextant.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

using blocks::mamba_block;
using blocks::mamba_sizes;
static_assert(blocks::parameters(mamba_block<float>({.model = 768})) == 3'770'880);
static_assert(blocks::keys(mamba_block<float>({.model = 768})) == 9);
static_assert(blocks::keys(mamba_block<float>({.model = 192, .bidirectional = true})) == 16);

double silu(double x) { return x / (1 + std::exp(-x)); }
double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

using numbers = std::vector<double>;

/// x W^T of n rows.
template <class E> numbers product(const numbers& x, index_t n, const blocks::modules::linear<E>& w) {
  numbers y(std::size_t(n * w.outputs()));
  for (index_t i = 0; i < n; ++i)
    for (index_t o = 0; o < w.outputs(); ++o)
      for (index_t k = 0; k < w.inputs(); ++k)
        y[std::size_t(i * w.outputs() + o)] += x[std::size_t(i * w.inputs() + k)] * double(w.weight(o, k));
  return y;
}

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

/// Random weights with rates below 0.
template <class E> struct random_block : with_weights<mamba_block<E>> {
  random_block(const mamba_sizes& s, dice& d) : with_weights<mamba_block<E>>(mamba_block<E>(s), d) {
    blocks::for_each_tensor(this->module, [&](const blocks::path&, const auto& t) {
      using element = typename std::remove_cvref_t<decltype(t)>::element;
      element* const to = blocks::detail::memory_of(t);
      blocks::detail::for_each_number(t, [&](index_t at, index_t, index_t) {
        const double x = double(to[at]);
        if (t.as == blocks::kept::minus_exp) to[at] = element(-std::exp(x));
        else if (t.rank == 2) to[at] = element(x * 2 / std::sqrt(double(t.shape[1])));
      });
    });
  }
};

template <class E> void check(const mamba_sizes& s, index_t B, index_t T, bool with_plus) {
  CAPTURE(s.model);
  CAPTURE(B);
  CAPTURE(T);
  dice d{std::uint64_t(s.model + 100 * T)};
  random_block<E> block_of(s, d);
  const auto& w = block_of.module;
  table<E> u(B * T, s.model, 3, d), plus(B * T, s.model, 1, d), y(B * T, s.model, 2);
  const cpu::parallel sizes{{}, 2};
  scratch memory(blocks::workspace_bytes(sizes, w, B, T));
  const cpu::parallel on{memory, 2};
  blocks::rows<const E> more{};
  if (with_plus) more = plus;
  REQUIRE(forward(on, w, u, B, y, more));
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
  if (B * T > 0 && memory.memory.size() > 0) {
    const cpu::parallel less{workspace(memory.memory.data(), 8), 2};
    CHECK(forward(less, w, u, B, y).code == errc::workspace);
  }
  if (s.bidirectional) return;

  // In two parts and then step by step, with a state.
  table<E> conv(B * (s.width - 1), s.inner(), 1), again(B * T, s.model, 2);
  for (index_t i = 0; i < conv.n; ++i)
    for (index_t c = 0; c < conv.length; ++c) conv.at(i, c) = E(0.0);
  using real = blocks::accumulator_of<E>;
  std::vector<real> S(std::size_t(B * s.state * s.inner()));
  const blocks::sequence_state<E> state{conv.sequences(B, s.width - 1), {S.data(), {B, 1, s.state, s.inner()}}};
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
