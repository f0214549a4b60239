// SPDX-License-Identifier: Apache-2.0
/// @file  Products of small matrices: exact on whole numbers in every shape, blind to what lies between the rows.
#include <doctest/doctest.h>

#include <cmath>    // fabs, isnan
#include <cstddef>  // size_t
#include <cstdint>  // uint64_t
#include <cstring>  // memcmp
#include <limits>   // quiet_NaN, epsilon
#include <vector>   // vector

#include <sextant/cpu/matrix.hpp>
#include <sextant/cpu/transpose.hpp>

#include "fence.hpp"

using sextant::index_t;
using sextant::cpu::left_operand;
using sextant::cpu::multiply;
using sextant::cpu::multiply_lower;
using sextant::cpu::transpose;
using sextant::cpu::triangle;
using sextant::cpu::update;
using sextant::tests::fenced;

namespace {

struct dice {  // a linear congruential generator: the same numbers everywhere
  std::uint64_t state = 1;
  int roll(int sides) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>((state >> 33) % static_cast<unsigned>(sides));
  }
};

template <class Real> inline constexpr Real not_a_number = std::numeric_limits<Real>::quiet_NaN();

/// A matrix with NaN between its rows and a forbidden page behind its last element.
template <class Real> struct matrix {
  index_t rows, columns, row;
  fenced<Real> memory;
  matrix(index_t height, index_t width, index_t gap)
      : rows(height),
        columns(width),
        row(width + gap),
        memory(static_cast<std::size_t>(height > 0 ? (height - 1) * row + width : 0)) {}
  Real* data() { return memory.data(); }
  Real& operator()(index_t i, index_t j) { return memory[static_cast<std::size_t>(i * row + j)]; }
  template <class Value> void fill(Value value) {
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < columns; ++j) (*this)(i, j) = value(i, j);
  }
  bool gaps_untouched() {
    for (index_t i = 0; i + 1 < rows; ++i)
      for (index_t j = columns; j < row; ++j)
        if (!std::isnan((*this)(i, j))) return false;
    return true;
  }
};

/// One product of whole numbers, whose sums are exact in any order, against the formula.
template <class Real>
bool exact_product(index_t M, index_t N, index_t I, bool transposed, update how, bool scaled, triangle part, dice& d) {
  matrix<Real> A(transposed ? I : M, transposed ? M : I, d.roll(3)), B(I, N, d.roll(4)), C(M, N, d.roll(4));
  const auto a = [&](index_t m, index_t i) -> Real& { return transposed ? A(i, m) : A(m, i); };
  A.fill([&](index_t, index_t) { return Real(d.roll(17) - 8); });
  if (part == triangle::lower_operand)
    for (index_t m = 0; m < M; ++m)
      for (index_t i = m + 1; i < I; ++i) a(m, i) = 0;
  B.fill([&](index_t, index_t) { return Real(d.roll(17) - 8); });
  std::vector<Real> before(static_cast<std::size_t>(M * N)), scale(static_cast<std::size_t>(M));
  for (Real& s : scale) s = Real(d.roll(9) - 4) / 4;
  C.fill([&](index_t m, index_t n) {
    return before[static_cast<std::size_t>(m * N + n)] =
               how == update::overwrite ? not_a_number<Real> : Real(d.roll(17) - 8);
  });
  const Real* const factors = scaled || how == update::decay ? scale.data() : nullptr;
  const left_operand<Real> left =
      transposed ? left_operand<Real>{A.data(), 1, A.row} : left_operand<Real>{A.data(), A.row};
  if (part == triangle::lower_operand && M == I)
    multiply_lower<Real>(M, N, left, {B.data(), B.row}, {C.data(), C.row}, how, factors);
  else multiply<Real>(M, N, I, left, {B.data(), B.row}, {C.data(), C.row}, how, factors, part);
  for (index_t m = 0; m < M; ++m) {
    for (index_t n = 0; n < N; ++n) {
      Real sum = 0;
      for (index_t i = 0; i < I; ++i) sum += a(m, i) * B(i, n);
      const Real old = before[static_cast<std::size_t>(m * N + n)];
      const Real factor = factors != nullptr ? scale[static_cast<std::size_t>(m)] : Real(1);
      const Real expected = how == update::decay       ? factor * old + sum
                            : how == update::overwrite ? factor * sum
                                                       : old + factor * sum;
      const bool left_alone = std::isnan(old) ? std::isnan(C(m, n)) : C(m, n) == old;
      const bool optional = part == triangle::lower_result && n > m;
      if (C(m, n) != expected && !(optional && left_alone)) return false;
    }
  }
  return C.gaps_untouched();
}

}  // namespace

TEST_CASE_TEMPLATE("every shape, both layouts, every way to end", Real, float, double) {
  dice d;
  const index_t sizes[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
                           14, 15, 16, 17, 20, 23, 24, 25, 31, 32, 33, 39, 40};
  const index_t lengths[] = {0, 1, 2, 5, 13, 40};
  int wrong = 0;
  for (const index_t M : sizes) {
    for (const index_t N : sizes) {
      for (const index_t I : lengths) {
        const auto how = static_cast<update>(d.roll(3));
        const auto part = static_cast<triangle>(d.roll(3));
        const bool right = exact_product<Real>(M, N, I, d.roll(2) == 0, how, d.roll(2) == 0, part, d);
        if (!right) MESSAGE("M " << M << " N " << N << " I " << I << " how " << int(how) << " part " << int(part));
        wrong += !right;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("every way to end and both layouts, in a few shapes", Real, float, double) {
  dice d;
  int wrong = 0;
  for (const index_t M : {1, 6, 19, 64})
    for (const index_t N : {1, 16, 32, 37})
      for (const update how : {update::overwrite, update::add, update::decay})
        for (const triangle part : {triangle::none, triangle::lower_operand, triangle::lower_result})
          for (const bool transposed : {false, true})
            for (const bool scaled : {false, true})
              wrong += !exact_product<Real>(M, N, M, transposed, how, scaled, part, d);
  CHECK(wrong == 0);
}

// Sums are taken in parts of 256 terms, and rows of B far apart are copied first.
TEST_CASE_TEMPLATE("long sums", Real, float, double) {
  dice d;
  int wrong = 0;
  for (const index_t I : {255, 256, 257, 511, 600})
    for (const update how : {update::overwrite, update::add, update::decay})
      for (const bool scaled : {false, true}) {
        wrong += !exact_product<Real>(35, 19, I, false, how, scaled, triangle::none, d);
        wrong += !exact_product<Real>(5, 40, I, true, how, scaled, triangle::none, d);
      }
  wrong += !exact_product<Real>(600, 18, 600, false, update::add, true, triangle::lower_operand, d);
  wrong += !exact_product<Real>(300, 300, 20, false, update::overwrite, false, triangle::lower_result, d);
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("rows of B that are a power of 2 apart", Real, float, double) {
  dice d;
  const index_t M = 40, N = 35, I = 100, row = 1024;
  matrix<Real> A(M, I, 0), B(I, N, row - N), C(M, N, 1);
  A.fill([&](index_t, index_t) { return Real(d.roll(17) - 8); });
  B.fill([&](index_t, index_t) { return Real(d.roll(17) - 8); });
  multiply<Real>(M, N, I, {A.data(), A.row}, {B.data(), B.row}, {C.data(), C.row}, update::overwrite);
  int wrong = 0;
  for (index_t m = 0; m < M; ++m) {
    for (index_t n = 0; n < N; ++n) {
      Real sum = 0;
      for (index_t i = 0; i < I; ++i) sum += A(m, i) * B(i, n);
      wrong += C(m, n) != sum;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("fractions: the error of a sum in order, and no result that depends on its place", Real, float,
                   double) {
  dice d;
  const index_t M = 41, N = 43, I = 300;
  matrix<Real> A(M, I, 0), B(I, N, 0), C(M, N, 0);
  A.fill([&](index_t, index_t) { return Real(d.roll(100001) - 50000) / 50000; });
  B.fill([&](index_t, index_t) { return Real(d.roll(100001) - 50000) / 50000; });
  multiply<Real>(M, N, I, {A.data(), A.row}, {B.data(), B.row}, {C.data(), C.row}, update::overwrite);
  int wrong = 0, different = 0;
  for (index_t m = 0; m < M; ++m) {
    for (index_t n = 0; n < N; ++n) {
      long double sum = 0, sizes = 0;
      for (index_t i = 0; i < I; ++i) {
        sum += static_cast<long double>(A(m, i)) * B(i, n);
        sizes += std::fabs(static_cast<long double>(A(m, i)) * B(i, n));
      }
      wrong += !(std::fabs(C(m, n) - sum) <= 20 * std::numeric_limits<Real>::epsilon() * sizes);
      Real alone;
      multiply<Real>(1, 1, I, {A.data() + m * A.row, A.row}, {B.data() + n, B.row}, {&alone, 1}, update::overwrite);
      different += std::memcmp(&alone, &C(m, n), sizeof alone) != 0;
    }
  }
  CHECK(wrong == 0);
  CHECK(different == 0);
}

TEST_CASE_TEMPLATE("NaN passes through, and only where it belongs", Real, float, double) {
  const index_t M = 13, N = 21, I = 9;
  matrix<Real> A(M, I, 0), B(I, N, 0), C(M, N, 0);
  A.fill([](index_t, index_t) { return Real(1); });
  B.fill([](index_t, index_t) { return Real(1); });
  A(7, 3) = not_a_number<Real>;
  B(4, 17) = not_a_number<Real>;
  multiply<Real>(M, N, I, {A.data(), A.row}, {B.data(), B.row}, {C.data(), C.row}, update::overwrite);
  for (index_t m = 0; m < M; ++m)
    for (index_t n = 0; n < N; ++n) CHECK(std::isnan(C(m, n)) == (m == 7 || n == 17));
}

TEST_CASE_TEMPLATE("the transpose, every shape", Real, float, double) {
  int wrong = 0;
  for (index_t rows = 0; rows <= 35; ++rows) {
    for (index_t columns = 0; columns <= 35; ++columns) {
      matrix<Real> from(rows, columns, (rows + columns) % 3), to(columns, rows, (rows + 2 * columns) % 4);
      from.fill([](index_t i, index_t j) { return Real(100 * i + j); });
      transpose<Real>(rows, columns, {from.data(), from.row}, {to.data(), to.row});
      for (index_t i = 0; i < rows; ++i)
        for (index_t j = 0; j < columns; ++j) wrong += to(j, i) != Real(100 * i + j);
      wrong += !to.gaps_untouched();
    }
  }
  CHECK(wrong == 0);
}
