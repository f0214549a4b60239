// SPDX-License-Identifier: Apache-2.0
/// @file  What is asked of every block of sequences: its formula in double, in one call, in parts and step by step.
#pragma once

#include <doctest/doctest.h>

#include <cmath>        // exp, sqrt
#include <type_traits>  // remove_cvref_t
#include <vector>       // vector

#include <sextant/blocks/cpu/operations.hpp>
#include <sextant/blocks/sequence_block.hpp>
#include <sextant/sextant.hpp>

#include "numbers.hpp"

namespace sextant::tests {

using numbers = std::vector<double>;

inline double silu(double x) { return x / (1 + std::exp(-x)); }

/// x W^T of n rows.
template <class E> numbers product(const numbers& x, index_t n, const blocks::modules::linear<E>& w) {
  numbers y(std::size_t(n * w.outputs()));
  for (index_t i = 0; i < n; ++i)
    for (index_t o = 0; o < w.outputs(); ++o)
      for (index_t k = 0; k < w.inputs(); ++k)
        y[std::size_t(i * w.outputs() + o)] += x[std::size_t(i * w.inputs() + k)] * double(w.weight(o, k));
  return y;
}

/// A block with random weights: rates below 0, matrices that keep the size of what they multiply.
template <class Block> struct random_block : with_weights<Block> {
  random_block(const Block& description, dice& d) : with_weights<Block>(description, d) {
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

/// y = block(u) + plus of B sequences against formula(w, u, T), which is one sequence's in double; and, where the block has
/// a state, the first half in one call and the rest token by token.
template <class Block, class Formula>
void check_block(const Block& description, index_t B, index_t T, bool with_plus, const Formula& formula) {
  using E = typename Block::token;
  const index_t model = description.channels();
  CAPTURE(model);
  CAPTURE(B);
  CAPTURE(T);
  dice d{std::uint64_t(model + 100 * T)};
  random_block<Block> block_of(description, d);
  const Block& w = block_of.module;
  table<E> u(B * T, model, 3, d), plus(B * T, model, 1, d), y(B * T, model, 2);
  const cpu::parallel sizes{{}, 2};
  scratch memory(blocks::workspace_bytes(sizes, w, B, T));
  blocks::rows<const E> more{};
  if (with_plus) more = plus;
  REQUIRE(forward(cpu::parallel{memory, 2}, w, u, B, y, more));
  numbers expected;
  for (index_t b = 0; b < B; ++b) {
    numbers one;
    for (index_t i = 0; i < T; ++i)
      for (index_t c = 0; c < model; ++c) one.push_back(u.value(b * T + i, c));
    for (const double value : formula(w, one, T)) expected.push_back(value);
  }
  const double bound = std::is_same_v<E, float> ? 1e-5 : std::is_same_v<E, double> ? 1e-12 : 2e-2;
  CHECK(error_of(y, [&](index_t i, index_t c) {
          return expected[std::size_t(i * model + c)] + (with_plus ? plus.value(i, c) : 0);
        }) <= bound);
  CHECK(y.gaps_untouched());
  if (B * T > 0 && memory.memory.size() > 0) {
    const cpu::parallel less{workspace(memory.memory.data(), 8), 2};
    CHECK(forward(less, w, u, B, y).code == errc::workspace);
  }

  const auto of_one = w.state_of_one();
  if (of_one.heads == 0) return;
  table<E> conv(B * of_one.before, of_one.channels, 1), again(B * T, model, 2);
  for (index_t i = 0; i < conv.n; ++i)
    for (index_t c = 0; c < conv.length; ++c) conv.at(i, c) = E(0.0);
  std::vector<blocks::accumulator_of<E>> S(std::size_t(B * of_one.heads * of_one.keys * of_one.values));
  const blocks::sequence_state<E> state{conv.sequences(B, of_one.before),
                                        {S.data(), {B, of_one.heads, of_one.keys, of_one.values}}};
  for (index_t t = 0; t < T;) {
    const index_t count = t == 0 ? (T + 1) / 2 : 1;
    table<E> part(B * count, model), result(B * count, model);
    for (index_t i = 0; i < B * count; ++i)
      for (index_t c = 0; c < model; ++c) part.at(i, c) = u.at(i / count * T + t + i % count, c);
    scratch some(blocks::workspace_bytes(sizes, w, B, count));
    REQUIRE(forward(cpu::parallel{some, 2}, w, part, B, result, {}, state));
    for (index_t i = 0; i < B * count; ++i)
      for (index_t c = 0; c < model; ++c) again.at(i / count * T + t + i % count, c) = result.at(i, c);
    t += count;
  }
  CHECK(error_of(again, [&](index_t i, index_t c) { return expected[std::size_t(i * model + c)]; }) <= bound);
}

}  // namespace sextant::tests
