// SPDX-License-Identifier: Apache-2.0
/// @file  Linear layers on a GPU with all that may follow them, against their formula in double.
#include <doctest/doctest.h>

#include <sextant/blocks/cuda/linear.cuh>

#include "cuda/block_numbers.cuh"
#include "cuda/block_products.cuh"

using namespace sextant;
using namespace sextant::test;
using blocks::activation;

namespace {

template <class E>
double linear_error(index_t n, index_t I, index_t O, bool biased, activation act, bool times, bool plus,
                    index_t gap = 0, bool in_place = false) {
  block_numbers<E> x(n * I, 1, I, gap), weight(O * I, 2, I), bias(O, 3), a(n * O, 4, O, gap), b(n * O, 5, O, gap);
  auto y = in_place ? block_numbers<E>(n * O, 5, O, gap) : block_numbers<E>::poisoned(n * O, O, gap);
  blocks::modules::linear<E> w(I, O, biased);
  w.weight = {weight.device(), {O, I}};
  if (biased) w.bias = {bias.device(), {O}};
  blocks::after_linear<E> after{.act = act};
  if (times) after.times = rows_at(a, n, O);
  if (plus) after.plus = in_place ? rows_at(y, n, O) : rows_at(b, n, O);
  const gpu::block_stream on(gpu::stream{}, products());
  if (const status done = linear(on, rows_at(x, n, I), w, rows_at(y, n, O), after); !done) {
    MESSAGE(done.what);
    return 1e9;
  }
  return block_error(y, n, O, [&](index_t i, index_t j) {
    double sum = biased ? bias(j) : 0;
    for (index_t k = 0; k < I; ++k) sum += x(i, k) * weight(j, k);
    sum = activated(act, sum) * (times ? a(i, j) : 1);
    return plus ? sum + b(i, j) : sum;
  });
}

}  // namespace

TEST_CASE("linear layers of many sizes with all that may follow them") {
  if (!has_gpu()) return;
  for_all_types([](auto number) {
    using E = decltype(number);
    for (const index_t n : {1, 7, 130})
      for (const index_t I : {8, 24, 31})
        for (const index_t O : {16, 27}) {
          INFO("rows ", n, ", ", I, " to ", O, " bytes ", sizeof(E));
          CHECK(linear_error<E>(n, I, O, true, activation::none, false, false) <= block_tolerance<E>);
          // A function that comes in a pass of its own reads what was rounded once.
          CHECK(linear_error<E>(n, I, O, false, activation::silu, true, true) <= 2 * block_tolerance<E>);
        }
    CHECK(linear_error<E>(70, 40, 1, true, activation::none, false, false) <= block_tolerance<E>);
    for (const bool biased : {false, true}) {
      for (const activation act :
           {activation::none, activation::relu, activation::gelu, activation::silu, activation::softplus})
        for (const bool times : {false, true})
          for (const bool plus : {false, true})
            CHECK(linear_error<E>(65, 64, 40, biased, act, times, plus, 8) <= 2 * block_tolerance<E>);
      CHECK(linear_error<E>(300, 64, 256, biased, activation::none, false, true, 0, true) <= block_tolerance<E>);
    }
    CHECK(linear_error<E>(0, 8, 8, true, activation::none, false, false) == 0);
  });
}

TEST_CASE("linear layers of few rows, whole pieces of them and not") {
  if (!has_gpu()) return;
  for_all_types([](auto number) {
    using E = decltype(number);
    for (const index_t n : {1, 2, 4, 5})
      for (const index_t I : {8, 264, 520}) {
        INFO("rows ", n, ", ", I, " bytes ", sizeof(E));
        CHECK(linear_error<E>(n, I, 33, true, activation::gelu, true, true, 8) <= 2 * block_tolerance<E>);
        CHECK(linear_error<E>(n, I, 17, false, activation::silu, n > 2, n % 2 == 0) <= 2 * block_tolerance<E>);
      }
    for (const index_t n : {1, 4})
      CHECK(linear_error<E>(n, 96, 40, true, activation::none, false, true, 0, true) <= block_tolerance<E>);
  });
}
