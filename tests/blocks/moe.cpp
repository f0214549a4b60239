// SPDX-License-Identifier: Apache-2.0
/// @file  The Switch layer on the CPU against its formula in double: routes, capacities, counts.
#include <doctest/doctest.h>

#include <cmath>   // exp
#include <vector>  // vector

#include <sextant/blocks/cpu/operations.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

using blocks::moe_block;
using blocks::moe_sizes;
constexpr moe_sizes published{.model = 512, .hidden = 1536, .experts = 32};
static_assert(blocks::parameters(moe_block<float>(published)) == 512 * 32 + 32 * 2 * 512 * 1536);
static_assert(moe_block<float>(published).macs(7).total() == 7 * (512 * 32 + 2 * 512 * 1536));
static_assert(published.capacity(100) == 3);
static_assert(moe_sizes{.experts = 2, .capacity_factor = 5}.capacity(10) == 10);
static_assert(moe_sizes{.experts = 2, .capacity_factor = 0}.capacity(10) == 10);

/// What a token's answer is, and where it goes, by the formula.
template <class E> std::vector<double> expected(const moe_block<E>& w, table<E>& u, int& passing) {
  const moe_sizes& s = w.sizes;
  std::vector<index_t> taken(std::size_t(s.experts), index_t(0));
  std::vector<double> y(std::size_t(u.n * s.model), 0.0);
  passing = 0;
  for (index_t t = 0; t < u.n; ++t) {
    std::vector<double> logits;
    for (index_t e = 0; e < s.experts; ++e) {
      double sum = 0;
      for (index_t c = 0; c < s.model; ++c) sum += double(w.router.weight(e, c)) * u.value(t, c);
      logits.push_back(sum);
    }
    index_t best = 0;
    double all = 0;
    for (index_t e = 1; e < s.experts; ++e)
      if (logits[std::size_t(e)] > logits[std::size_t(best)]) best = e;
    for (const double logit : logits) all += std::exp(logit - logits[std::size_t(best)]);
    if (taken[std::size_t(best)]++ >= s.capacity(u.n)) {
      ++passing;
      continue;
    }
    for (index_t h = 0; h < s.hidden; ++h) {
      double hidden = 0;
      for (index_t c = 0; c < s.model; ++c) hidden += double(w.w1.value(best, h, c)) * u.value(t, c);
      if (hidden > 0)
        for (index_t c = 0; c < s.model; ++c)
          y[std::size_t(t * s.model + c)] += double(w.w2.value(best, c, h)) * hidden / all;
    }
  }
  return y;
}

template <class E> int check(const moe_sizes& s, index_t n, bool with_plus) {
  CAPTURE(n);
  CAPTURE(s.experts);
  dice d{std::uint64_t(n + 100 * s.experts)};
  with_weights layer(moe_block<E>(s), d);
  table<E> u(n, s.model, 3, d), plus(n, s.model, 1, d), y(n, s.model, 2);
  const cpu::parallel sizes{{}, 2};
  scratch memory(blocks::workspace_bytes(sizes, layer.module, n));
  blocks::rows<const E> more{};
  if (with_plus) more = plus;
  REQUIRE(forward(cpu::parallel{memory, 2}, layer.module, u, y, more));
  int passing = 0;
  const std::vector<double> exact = expected(layer.module, u, passing);
  CHECK(error_of(y, [&](index_t i, index_t c) {
          return exact[std::size_t(i * s.model + c)] + (with_plus ? plus.value(i, c) : 0);
        }) <= tolerance<E> * 10);
  CHECK(y.gaps_untouched());
  if (n > 0) {
    const cpu::serial less{workspace(memory.memory.data(), 8)};
    CHECK(forward(less, layer.module, u, y).code == errc::workspace);
  }
  return passing;
}

}  // namespace

TEST_CASE("moe: tokens see one expert, or pass by") {
  for (const index_t n : {0, 1, 2, 65}) {
    check<float>({.model = 12, .hidden = 20, .experts = 4, .capacity_factor = 0}, n, n == 2);
    check<float>({.model = 12, .hidden = 20, .experts = 1}, n, true);
  }
  CHECK(check<float>({.model = 12, .hidden = 20, .experts = 4, .capacity_factor = 0}, 50, true) == 0);
  CHECK(check<float>({.model = 12, .hidden = 20, .experts = 4, .capacity_factor = 1}, 50, true) > 0);
  CHECK(check<float>({.model = 12, .hidden = 20, .experts = 8, .capacity_factor = 1}, 7, true) ==
        7);  // no place at all
  check<double>({.model = 7, .hidden = 3, .experts = 3, .capacity_factor = 1.25}, 33, false);
}

TEST_CASE("moe: of equal logits the first expert's counts") {
  const index_t n = 5;
  std::vector<std::byte> memory(4096);
  blocks::buffers from{workspace(memory)};
  const moe_sizes s{.model = 2, .hidden = 2, .experts = 3, .capacity_factor = 2};
  const blocks::moe_routes<float> routes(s, n, from);
  REQUIRE(routes.capacity == 3);
  table<float> logits(n, 3);
  for (index_t t = 0; t < n; ++t)
    for (index_t e = 0; e < 3; ++e) logits.at(t, e) = t == 3 && e == 2 ? 1.0f : 0.0f;
  REQUIRE(route_to_one(cpu::serial{}, logits, routes));
  const std::int32_t places[] = {0, 1, 2, 3, -1};
  for (index_t t = 0; t < n; ++t) CHECK(routes.place_of[t] == places[t]);
  CHECK(routes.first[1] == 3);
  CHECK(routes.first[2] == 3);
  CHECK(routes.first[3] == 4);
  CHECK(routes.token_at[3] == 3);
  CHECK(routes.probability[0] == doctest::Approx(1.0 / 3));
}
