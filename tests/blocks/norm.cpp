// SPDX-License-Identifier: Apache-2.0
/// @file  Norms of rows on the CPU against plain loops in double.
#include <doctest/doctest.h>

#include <sextant/blocks/cpu/norm.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

struct moments {
  double mean = 0, variance = 0, square = 0;
};
template <class E> moments moments_of(table<E>& x, index_t i) {
  moments m;
  for (index_t j = 0; j < x.length; ++j) m.mean += x.value(i, j) / double(x.length);
  for (index_t j = 0; j < x.length; ++j) {
    const double off = x.value(i, j) - m.mean;
    m.variance += off * off / double(x.length);
    m.square += x.value(i, j) * x.value(i, j) / double(x.length);
  }
  return m;
}

template <class E> void check(index_t n, index_t C, bool in_place, double offset = 0) {
  CAPTURE(n);
  CAPTURE(C);
  dice d{std::uint64_t(n + 100 * C)};
  const cpu::parallel on{{}, 2};
  table<E> x(n, C, 3, d);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < C; ++j) x.at(i, j) = E(x.value(i, j) + offset);
  table<E> given(n, C, 3), z(n, C, 1), other(n, C, 2);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < C; ++j) given.at(i, j) = x.at(i, j);

  with_weights layer(blocks::modules::layer_norm<E>(C), d);
  table<E>& y = in_place ? x : other;
  REQUIRE(layer_norm(on, x, layer.module, y));
  CHECK(error_of(y, [&](index_t i, index_t j) {
          const moments m = moments_of(given, i);
          return (given.value(i, j) - m.mean) / std::sqrt(m.variance + 1e-5) * double(layer.module.weight(j)) +
                 double(layer.module.bias(j));
        }) <= tolerance<E> * (offset > 0 ? 20 : 1));
  CHECK(y.gaps_untouched());

  with_weights root(blocks::modules::rms_norm<E>(C), d);
  REQUIRE(rms_norm(on, given, root.module, z));
  CHECK(error_of(z, [&](index_t i, index_t j) {
          return given.value(i, j) / std::sqrt(moments_of(given, i).square + 1e-5) * double(root.module.weight(j));
        }) <= tolerance<E>);
}

/// A norm of a sum kept as S, and Mamba-2's gated norm.
template <class E, class S> void check_sums(index_t n, index_t C, index_t groups) {
  CAPTURE(C);
  dice d{std::uint64_t(n + 100 * C)};
  const cpu::parallel on{{}, 2};
  table<S> x(n, C, 3, d), sum(n, C, 2);
  table<E> delta(n, C, 1, d), y(n, C, 2), z(n, C, 1, d), u(n, C, 3, d), product(n, C, 1);
  with_weights layer(blocks::modules::layer_norm<E>(C), d);
  with_weights root(blocks::modules::rms_norm<E>(C), d);
  REQUIRE(add_layer_norm(on, x, delta, layer.module, blocks::rows<S>(sum), y));
  CHECK(error_of(sum, [&](index_t i, index_t j) { return x.value(i, j) + delta.value(i, j); }) <= tolerance<S>);
  CHECK(error_of(y, [&](index_t i, index_t j) {
          const moments m = moments_of(sum, i);
          return (sum.value(i, j) - m.mean) / std::sqrt(m.variance + 1e-5) * double(layer.module.weight(j)) +
                 double(layer.module.bias(j));
        }) <= tolerance<E>);
  REQUIRE(add_rms_norm(on, x, delta, root.module, blocks::rows<S>(sum), y));
  CHECK(error_of(y, [&](index_t i, index_t j) {
          return sum.value(i, j) / std::sqrt(moments_of(sum, i).square + 1e-5) * double(root.module.weight(j));
        }) <= tolerance<E>);
  REQUIRE(gated_rms_norm(on, u, z, root.module, product, groups));
  CHECK(error_of(product, [&](index_t i, index_t j) {
          const auto gated = [&](index_t k) { return u.value(i, k) * z.value(i, k) / (1 + std::exp(-z.value(i, k))); };
          const index_t size = C / groups, first = j / size * size;
          double square = 0;
          for (index_t k = first; k < first + size; ++k) square += gated(k) * gated(k) / double(size);
          return gated(j) / std::sqrt(square + 1e-5) * double(root.module.weight(j));
        }) <= tolerance<E>);
  CHECK(product.gaps_untouched());
}

template <class E> void check_all() {
  for (const index_t n : {0, 1, 7, 65})
    for (const index_t C : {0, 1, 15, 16, 97, 768}) check<E>(n, C, n % 2 == 1);
  check_sums<E, E>(7, 34, 2);
  check_sums<E, blocks::accumulator_of<E>>(20, 96, 1);
}

}  // namespace

TEST_CASE("norms: float") { check_all<float>(); }
TEST_CASE("norms: double") { check_all<double>(); }
TEST_CASE("norms: bfloat16") { check_all<bfloat16>(); }
TEST_CASE("norms: float16") { check_all<float16>(); }
TEST_CASE("norms: a mean a hundred deviations away") { check<float>(9, 96, false, 50); }
