// SPDX-License-Identifier: Apache-2.0
/// @file  What the tests of blocks are made of: random numbers, arrays between NaN and a forbidden page, modules with memory.
#pragma once

#include <cmath>    // fabs, isnan
#include <cstddef>  // byte, size_t
#include <cstdint>  // uint64_t
#include <limits>   // infinity

#include <sextant/blocks/module.hpp>
#include <sextant/workspace.hpp>

#include "../cpu/fence.hpp"

namespace sextant::tests {

struct dice {  // a linear congruential generator: the same numbers everywhere
  std::uint64_t state = 1;
  double roll() {  // from -1 to 1
    state = state * 6364136223846793005u + 1442695040888963407u;
    return double(state >> 11) * 0x1p-52 - 1;
  }
};

/// Rows with NaN between them and a forbidden page behind the last number.
template <class E> struct table {
  index_t n, length, step;
  fenced<E> memory;
  table(index_t count, index_t numbers, index_t gap = 0)
      : n(count),
        length(numbers),
        step(numbers + gap),
        memory(std::size_t(count > 0 ? (count - 1) * step + numbers : 0)) {}
  table(index_t count, index_t numbers, index_t gap, dice& d) : table(count, numbers, gap) {
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < length; ++j) at(i, j) = E(d.roll());
  }
  E& at(index_t i, index_t j) { return memory[std::size_t(i * step + j)]; }
  double value(index_t i, index_t j) { return double(at(i, j)); }
  operator blocks::rows<E>() { return {memory.data(), {n, length}, {step, 1}}; }
  operator blocks::rows<const E>() { return blocks::rows<E>(*this); }
  blocks::image<E> pictures(index_t batch, index_t height, index_t width) {
    return blocks::image_of<E>(*this, batch, height, width);
  }
  blocks::tokens<E> sequences(index_t batch, index_t time) { return blocks::tokens_of<E>(*this, batch, time); }
  bool gaps_untouched() {
    for (index_t i = 0; i + 1 < n; ++i)
      for (index_t j = length; j < step; ++j)
        if (!std::isnan(value(i, j))) return false;
    return true;
  }
};

/// max|y - reference| / max|reference|; a NaN is infinitely wrong. `reference(i, j)` is a double.
template <class E, class Reference> double error_of(table<E>& y, const Reference& reference) {
  double worst = 0, most = 0;
  for (index_t i = 0; i < y.n; ++i)
    for (index_t j = 0; j < y.length; ++j) {
      const double exact = reference(i, j), difference = std::fabs(y.value(i, j) - exact);
      if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
      if (difference > worst) worst = difference;
      if (std::fabs(exact) > most) most = std::fabs(exact);
    }
  if (most == 0) return worst;
  return worst / most;
}

/// What an operation may be wrong by.
template <class E> inline constexpr double tolerance = 2e-6;
template <> inline constexpr double tolerance<double> = 1e-13;
template <> inline constexpr double tolerance<bfloat16> = 5e-3;
template <> inline constexpr double tolerance<float16> = 2e-3;

/// A module with memory up to a forbidden page, all of its numbers random from -1 to 1.
template <class Module> struct with_weights {
  static constexpr std::size_t line = blocks::tensor_alignment;
  Module module;
  fenced<std::byte> memory;

  with_weights(const Module& description, dice& d)
      : module(description), memory((blocks::bytes(description) + line - 1) / line * line) {
    blocks::bind(module, memory.data());
    blocks::for_each_tensor(module, [&](const blocks::path&, const auto& t) {
      using element = typename std::remove_cvref_t<decltype(t)>::element;
      element* const to = const_cast<element*>(t.memory->data());
      for (index_t i = 0; i < t.room; ++i) to[i] = element(d.roll());
    });
  }
};

/// A workspace full of NaN up to a forbidden page.
struct scratch {
  fenced<std::byte> memory;
  explicit scratch(std::size_t bytes) : memory(bytes) {}
  operator workspace() { return memory; }
};

}  // namespace sextant::tests
