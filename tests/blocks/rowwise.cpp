// SPDX-License-Identifier: Apache-2.0
/// @file  Row by row: sums, products, means, other orders and merged patches on the CPU; activations.
#include <doctest/doctest.h>

#include <sextant/blocks/cpu/reorder.hpp>
#include <sextant/blocks/cpu/rowwise.hpp>

#include "numbers.hpp"

using namespace sextant;
using namespace sextant::tests;

namespace {

const cpu::parallel on{{}, 2};

struct backwards {
  index_t count;
  index_t operator()(index_t t) const { return count - 1 - t; }
};

template <class E> void check_rows(index_t n, index_t period, index_t C) {
  CAPTURE(n);
  CAPTURE(C);
  dice d{std::uint64_t(n * 10 + C)};
  table<E> a(n, C, 3, d), b(period, C, 1, d), y(n, C, 2), z(n, C);
  REQUIRE(add(on, a, b, blocks::rows<E>(y)));
  CHECK(error_of(y, [&](index_t i, index_t c) { return a.value(i, c) + b.value(i % period, c); }) <= tolerance<E>);
  REQUIRE(multiply(on, a, b, blocks::rows<E>(z)));
  CHECK(error_of(z, [&](index_t i, index_t c) { return a.value(i, c) * b.value(i % period, c); }) <= tolerance<E>);
  const auto gated = [&](index_t i, index_t c) {
    const double gate = b.value(i % period, c);
    return a.value(i, c) * gate / (1 + std::exp(-gate));
  };
  REQUIRE(times_silu(on, a, b, blocks::rows<E>(y)));
  CHECK(error_of(y, gated) <= tolerance<E>);
  CHECK(y.gaps_untouched());
  REQUIRE(apply_activation(on, blocks::activation::gelu, a, blocks::rows<E>(y)));
  CHECK(error_of(y, [&](index_t i, index_t c) {
          return a.value(i, c) * 0.5 * (1 + std::erf(a.value(i, c) / std::sqrt(2.0)));
        }) <= tolerance<E>);
}

template <class E> void check_tokens(index_t B, index_t T, index_t C) {
  CAPTURE(T);
  CAPTURE(C);
  dice d{std::uint64_t(T * 10 + C)};
  table<E> x(B * T, C, 3, d), mean(B, C, 2), y(B * T, C, 1), plus(B * T, C, 1, d);
  REQUIRE(token_mean(on, x.sequences(B, T), blocks::rows<E>(mean)));
  CHECK(error_of(mean, [&](index_t b, index_t c) {
          double sum = 0;
          for (index_t t = 0; t < T; ++t) sum += x.value(b * T + t, c) / double(T);
          return sum;
        }) <= tolerance<E>);
  REQUIRE(reorder(on, x.sequences(B, T), backwards{T}, y.sequences(B, T)));
  const auto turned = [&](index_t row, index_t c) { return x.value(row / T * T + T - 1 - row % T, c); };
  CHECK(error_of(y, turned) == 0);
  REQUIRE(reorder(on, x.sequences(B, T), backwards{T}, y.sequences(B, T), plus.sequences(B, T)));
  CHECK(error_of(y, [&](index_t row, index_t c) { return turned(row, c) + plus.value(row, c); }) <= tolerance<E>);
}

template <class E> void check_patches(index_t B, index_t H, index_t W, index_t C) {
  CAPTURE(H);
  CAPTURE(W);
  dice d;
  const index_t h = (H + 1) / 2, w = (W + 1) / 2;
  table<E> x(B * H * W, C, 1, d), y(B * h * w, 4 * C, 2);
  REQUIRE(merge_patches(on, x.pictures(B, H, W), blocks::rows<E>(y)));
  CHECK(error_of(y, [&](index_t pixel, index_t c) {
          const index_t below[4] = {0, 1, 0, 1}, right[4] = {0, 0, 1, 1};
          const index_t b = pixel / (h * w), i = pixel / w % h * 2 + below[c / C], j = pixel % w * 2 + right[c / C];
          return i < H && j < W ? x.value((b * H + i) * W + j, c % C) : 0.0;
        }) == 0);
  CHECK(y.gaps_untouched());
}

template <class E> void check_all() {
  check_rows<E>(1, 1, 1);
  check_rows<E>(12, 4, 17);
  check_rows<E>(40, 40, 48);
  check_tokens<E>(2, 1, 1);
  check_tokens<E>(3, 7, 17);
  check_tokens<E>(1, 50, 33);
  check_tokens<E>(2, 0, 5);
  check_patches<E>(2, 4, 6, 3);
  check_patches<E>(1, 5, 3, 16);
  check_patches<E>(1, 1, 1, 2);
}

}  // namespace

TEST_CASE("rowwise: float") { check_all<float>(); }
TEST_CASE("rowwise: double") { check_all<double>(); }
TEST_CASE("rowwise: bfloat16") { check_all<bfloat16>(); }
TEST_CASE("rowwise: float16") { check_all<float16>(); }

TEST_CASE("activations: the error function over its whole range, and NaN") {
  const auto sweep = []<class Real>(Real, double bound) {
    using number = cpu::simd<Real>;
    double worst = 0;
    for (double x = -7; x <= 7; x += 1e-4) {
      const double y = double(erf(number(Real(x)))[0]), exact = std::erf(double(Real(x)));
      const double error = exact == 0 ? std::fabs(y) : std::fabs(y / exact - 1);
      if (!(error <= worst)) worst = error;
    }
    CHECK(worst <= bound);
    const number nan = std::numeric_limits<Real>::quiet_NaN();
    using enum blocks::activation;
    CHECK(std::isnan(erf(nan)[0]));
    CHECK(std::isnan(cpu::activate<relu>(nan)[0]));
    CHECK(std::isnan(cpu::activate<gelu>(nan)[0]));
    CHECK(std::isnan(cpu::activate<silu>(nan)[0]));
    CHECK(std::isnan(cpu::activate<softplus>(nan)[0]));
    CHECK(cpu::activate<softplus>(number(Real(1000)))[0] == 1000);
    CHECK(cpu::activate<silu>(number(Real(-1000)))[0] == 0);
    CHECK(cpu::activate<gelu>(number(Real(-1000)))[0] == 0);
  };
  sweep(0.0f, 3e-7);
  sweep(0.0, 1e-14);
}
