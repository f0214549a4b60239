// SPDX-License-Identifier: Apache-2.0
/// @file  Linear layers on the CPU against plain loops in double.
#include <doctest/doctest.h>

#include <cstddef>  // byte, size_t
#include <vector>   // vector

#include <sextant/blocks/cpu/linear.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;
using blocks::activation;

namespace {

double activated(activation act, double x) {
  switch (act) {
    case activation::relu:
      return x > 0 ? x : 0;
    case activation::gelu:
      return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
    case activation::silu:
      return x / (1 + std::exp(-x));
    case activation::softplus:
      return x > 20 ? x : std::log1p(std::exp(x));
    default:
      return x;
  }
}

template <class E, class On> void check(On on, index_t n, index_t I, index_t O, bool biased, activation act, int more) {
  CAPTURE(n);
  CAPTURE(I);
  CAPTURE(O);
  CAPTURE(int(act));
  CAPTURE(more);
  dice d{std::uint64_t(n * 31 + I * 7 + O)};
  with_weights layer(blocks::modules::linear<E>(I, O, biased), d);
  const auto& w = layer.module;
  table<E> x(n, I, 3, d), times(n, O, 2, d), plus(n, O, 1, d), y(n, O, 5);
  if (more == 2)  // in place: plus is y
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < O; ++j) y.at(i, j) = plus.at(i, j);
  scratch memory(linear_bytes(on, n, w));
  on.memory = memory;
  blocks::after_linear<E> after{.act = act};
  if (more >= 1) after.plus = more == 2 ? blocks::rows<const E>(y) : blocks::rows<const E>(plus);
  if (more == 1) after.times = times;
  REQUIRE(linear(on, x, w, y, after));
  const double error = error_of(y, [&](index_t i, index_t j) {
    double sum = biased ? double(w.bias(j)) : 0;
    for (index_t k = 0; k < I; ++k) sum += x.value(i, k) * double(w.weight(j, k));
    sum = activated(act, sum);
    if (more == 1) sum *= times.value(i, j);
    return more >= 1 ? sum + plus.value(i, j) : sum;
  });
  CHECK(error <= tolerance<E>);
  CHECK(y.gaps_untouched());
}

template <class E> void check_all() {
  for (const index_t n : {0, 1, 2, 3, 4, 7, 50, 200})
    for (const index_t I : {0, 1, 13, 96})
      for (const index_t O : {0, 1, 31, 70})
        check<E>(cpu::parallel{{}, 2}, n, I, O, (n + I + O) % 3 != 0, activation::none, int(n + O) % 3);
  for (const activation act : {activation::relu, activation::gelu, activation::silu, activation::softplus})
    for (const int more : {0, 1, 2}) check<E>(cpu::serial{}, 9, 40, 37, true, act, more);
  check<E>(cpu::parallel{{}, 3}, 131, 300, 600, true, activation::gelu, 1);
  check<E>(cpu::parallel{{}, 3}, 101, 96, 203, true, activation::relu, 2);       // x in panels of unequal width
  check<E>(cpu::parallel{{}, 24}, 100, 250, 72, false, activation::silu, 2);     // rows in tiles, in place
  check<E>(cpu::parallel{{}, 2}, 401, 130, 150, true, activation::softplus, 2);  // rows shared by the workers
}

}  // namespace

TEST_CASE("linear: float") { check_all<float>(); }
TEST_CASE("linear: double") { check_all<double>(); }
TEST_CASE("linear: bfloat16") { check_all<bfloat16>(); }
TEST_CASE("linear: float16") { check_all<float16>(); }

TEST_CASE("linear: fewer rows never need more workspace") {
  for (const int threads : {1, 2, 7, 64})
    for (const index_t I : {1, 13, 64, 700})
      for (const index_t O : {1, 40, 256, 1000}) {
        const blocks::modules::linear<float> w(I, O);
        std::size_t before = 0;
        for (index_t n = 0; n < 1200; ++n) {
          const std::size_t bytes = linear_bytes(cpu::parallel{{}, threads}, n, w);
          if (bytes < before) FAIL("n = ", n, ", I = ", I, ", O = ", O, ", threads = ", threads);
          before = bytes;
        }
      }
}

namespace {

/// Runs items one after the other, as if by several workers, and looks who writes where in the workspace.
struct watched {
  workspace memory{};
  int threads = 1;
  mutable std::vector<std::byte> before{};
  mutable std::vector<int> writer{};
  mutable bool shared = false;
};
int workers(const watched& on) { return on.threads; }
void for_each_item(const watched& on, index_t items, void* context, void (*body)(void*, index_t, int), bool) {
  for (index_t item = 0; item < items; ++item) {
    const int worker = int(item * on.threads / (items > on.threads ? items : on.threads));
    on.before.assign(on.memory.data, on.memory.data + on.memory.bytes);
    on.writer.resize(on.memory.bytes, -1);
    body(context, item, worker);
    for (std::size_t i = 0; i < on.memory.bytes; ++i) {
      if (on.memory.data[i] == on.before[i]) continue;
      if (on.writer[i] >= 0 && on.writer[i] != worker) on.shared = true;
      on.writer[i] = worker;
    }
  }
}

template <class E> void check_memory(index_t n, index_t I, index_t O) {
  CAPTURE(n);
  dice d;
  with_weights layer(blocks::modules::linear<E>(I, O), d);
  table<E> x(n, I, 0, d), y(n, O);
  watched on{{}, 6};
  scratch memory(cpu::linear_bytes(on, n, layer.module));
  on.memory = memory;
  REQUIRE(cpu::linear(on, x, layer.module, y));
  int last = -1;
  for (const int worker : on.writer) last = worker > last ? worker : last;
  CHECK(last > 0);
  CHECK_FALSE(on.shared);
}
template <class E> void check_workers() {
  check_memory<E>(50, 96, 203);
  check_memory<E>(100, 250, 72);
  check_memory<E>(200, 96, 203);
  check_memory<E>(800, 33, 70);
}

}  // namespace

TEST_CASE("linear: no worker writes to another's memory") {
  check_workers<float>();
  check_workers<double>();
  check_workers<bfloat16>();
}

TEST_CASE("linear: parts of one matrix, and some of its outputs") {
  dice d;
  with_weights both(blocks::modules::linear<float>(5, {{"q.weight", "q.bias", 3}, {"k.weight", "k.bias", 4}}), d);
  CHECK(both.module.outputs() == 7);
  CHECK(blocks::parameters(both.module) == 7 * 5 + 7);
  const auto second = both.module.outputs(3, 4);
  CHECK(second.weight.data() == both.module.weight.data() + 15);
  CHECK(second.bias.data() == both.module.bias.data() + 3);
}

TEST_CASE("linear: what is refused") {
  dice d;
  with_weights layer(blocks::modules::linear<float>(8, 4), d);
  table<float> x(5, 8), y(5, 4), wrong(5, 5);
  cpu::serial on{};
  CHECK(linear(on, x, layer.module, wrong).code == errc::shape);
  CHECK(linear(on, y, layer.module, y).code == errc::shape);
  CHECK(linear(on, x, blocks::modules::linear<float>(8, 4), y).code == errc::missing);
  CHECK(linear(on, x, layer.module, y).code == errc::workspace);
  CHECK(linear(on, x, layer.module, y, {.plus = wrong}).code == errc::shape);
}
