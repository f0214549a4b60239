// SPDX-License-Identifier: Apache-2.0
/// @file  The vector register as a number: every operation against the same on single numbers.
#include <doctest/doctest.h>

#include <cmath>        // fma, fabs, isnan
#include <cstdint>      // uint16_t
#include <cstring>      // memcmp
#include <limits>       // quiet_NaN, infinity
#include <type_traits>  // is_same_v

#include <sextant/cpu/simd.hpp>
#include <sextant/tensor/precision.hpp>

#include "fence.hpp"

using sextant::bfloat16;
using sextant::float16;
using sextant::index_t;
using sextant::cpu::native_lanes;
using sextant::cpu::simd;
using sextant::cpu::simd_mask;

namespace {

template <class Real> inline constexpr int half_lanes = native_lanes<Real> > 1 ? native_lanes<Real> / 2 : 1;

/// Numbers that differ in every lane, with signs, fractions and large ones among them.
template <class Vector> Vector sample(int seed) {
  using Real = typename Vector::value_type;
  Real numbers[static_cast<std::size_t>(Vector::lanes)];
  for (int i = 0; i < Vector::lanes; ++i)
    numbers[i] = static_cast<Real>(std::sin(1.0 + 7 * seed + 3.7 * i) * std::pow(10.0, (seed + i) % 5 - 2));
  return Vector::load(numbers);
}

template <class Vector, class Got, class Expected> bool every_lane(Got got, Expected expected) {
  for (int i = 0; i < Vector::lanes; ++i) {
    const auto e = expected(i);
    if (std::isnan(e) ? !std::isnan(got[i]) : std::memcmp(&e, &(const decltype(e)&)got[i], sizeof e) != 0) return false;
  }
  return true;
}

}  // namespace

#define REGISTERS                                                                                              \
  simd<float>, simd<double>, simd<float, half_lanes<float>>, simd<double, half_lanes<double>>, simd<float, 1>, \
      simd<double, 1>

TEST_CASE("a register is as wide as the instruction set's") {
  INFO(sextant::cpu::instruction_set);
  CHECK(simd<float>::lanes * sizeof(float) == (SEXTANT_CPU_BYTES == 0 ? sizeof(float) : SEXTANT_CPU_BYTES));
  CHECK(simd<double>::lanes * sizeof(double) == (SEXTANT_CPU_BYTES == 0 ? sizeof(double) : SEXTANT_CPU_BYTES));
  CHECK(sizeof(simd<float>) == simd<float>::lanes * sizeof(float));
#if defined(__AVX2__) && !defined(SEXTANT_CPU_SCALAR)
  CHECK(simd<float>::lanes >= 8);
#endif
}

TEST_CASE_TEMPLATE("arithmetic is that of the lanes, bit by bit", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  for (int seed = 0; seed < 20; ++seed) {
    const Vector a = sample<Vector>(seed), b = sample<Vector>(seed + 50);
    CHECK(every_lane<Vector>(a + b, [&](int i) { return a[i] + b[i]; }));
    CHECK(every_lane<Vector>(a - b, [&](int i) { return a[i] - b[i]; }));
    CHECK(every_lane<Vector>(a * b, [&](int i) { return a[i] * b[i]; }));
    CHECK(every_lane<Vector>(a / b, [&](int i) { return a[i] / b[i]; }));
    CHECK(every_lane<Vector>(-a, [&](int i) { return -a[i]; }));
    CHECK(every_lane<Vector>(+a, [&](int i) { return a[i]; }));
    CHECK(every_lane<Vector>(2 * a, [&](int i) { return Real(2) * a[i]; }));
    CHECK(every_lane<Vector>(1 - a, [&](int i) { return Real(1) - a[i]; }));
    CHECK(every_lane<Vector>(abs(a), [&](int i) { return std::fabs(a[i]); }));
    CHECK(every_lane<Vector>(sqrt(abs(a)), [&](int i) { return std::sqrt(std::fabs(a[i])); }));
    const Vector positive = abs(a) + Real(0x1p-60);
    for (int i = 0; i < Vector::lanes; ++i)
      CHECK(std::fabs(double(reciprocal(positive)[i]) * double(positive[i]) - 1) <=
            2 * double(std::numeric_limits<Real>::epsilon()));
    CHECK(every_lane<Vector>(reciprocal(Vector(Real(1))), [](int) { return Real(1); }));
    Vector sum = a, difference = a, product = a, quotient = a;
    CHECK(every_lane<Vector>(sum += b, [&](int i) { return a[i] + b[i]; }));
    CHECK(every_lane<Vector>(difference -= b, [&](int i) { return a[i] - b[i]; }));
    CHECK(every_lane<Vector>(product *= b, [&](int i) { return a[i] * b[i]; }));
    CHECK(every_lane<Vector>(quotient /= b, [&](int i) { return a[i] / b[i]; }));
    CHECK(every_lane<Vector>(sum, [&](int i) { return a[i] + b[i]; }));
  }
}

TEST_CASE_TEMPLATE("fma rounds once where the instruction set can", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const Real e = std::numeric_limits<Real>::epsilon();
  // (1 + e)(1 - e) - 1 = -e^2 exactly; two roundings give 0.
  const Vector got = fma(Vector(1 + e), Vector(1 - e), Vector(-1));
#ifdef SEXTANT_CPU_FMA
  CHECK(every_lane<Vector>(got, [&](int) { return -e * e; }));
  const Vector negated = fma(-Vector(1 + e), Vector(1 - e), Vector(1));
  CHECK(every_lane<Vector>(negated, [&](int) { return e * e; }));
#endif
  for (int seed = 0; seed < 20; ++seed) {
    const Vector a = sample<Vector>(seed), b = sample<Vector>(seed + 9), c = sample<Vector>(seed + 31);
    const Vector y = fma(a, b, c);
    for (int i = 0; i < Vector::lanes; ++i)
      CHECK(std::fabs(y[i] - std::fma(a[i], b[i], c[i])) <= e * (std::fabs(a[i] * b[i]) + std::fabs(c[i])));
  }
  CHECK(got[0] <= 0);
}

TEST_CASE_TEMPLATE("comparisons, masks and select", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  using Mask = typename Vector::mask_type;
  CHECK(std::is_same_v<Mask, simd_mask<Real, Vector::lanes>>);
  const Real nan = std::numeric_limits<Real>::quiet_NaN();
  const Vector a = sample<Vector>(3);
  for (const Vector& b : {sample<Vector>(4), a, Vector(nan), Vector(0)}) {
    for (int i = 0; i < Vector::lanes; ++i) {
      CHECK((a < b)[i] == (a[i] < b[i]));
      CHECK((a > b)[i] == (a[i] > b[i]));
      CHECK((a <= b)[i] == (a[i] <= b[i]));
      CHECK((a >= b)[i] == (a[i] >= b[i]));
      CHECK((a == b)[i] == (a[i] == b[i]));
      CHECK((a != b)[i] == (a[i] != b[i]));
    }
    CHECK(every_lane<Vector>(select(a < b, a, b), [&](int i) { return a[i] < b[i] ? a[i] : b[i]; }));
  }
  CHECK(every_lane<Vector>(select(a > 0, 1, -2), [&](int i) { return a[i] > 0 ? Real(1) : Real(-2); }));
  for (int n = 0; n <= Vector::lanes; ++n) {
    const Mask first = Mask::first(n);
    for (int i = 0; i < Vector::lanes; ++i) CHECK(first[i] == (i < n));
    CHECK(any(first) == (n > 0));
    CHECK(all(first) == (n == Vector::lanes));
    CHECK(any(!first) == (n < Vector::lanes));
    for (int m = 0; m <= Vector::lanes; ++m) {
      const Mask second = !Mask::first(m);
      for (int i = 0; i < Vector::lanes; ++i) {
        CHECK((first & second)[i] == (i < n && i >= m));
        CHECK((first | second)[i] == (i < n || i >= m));
        CHECK((first ^ second)[i] == ((i < n) != (i >= m)));
      }
    }
  }
  // The last lane alone, so that no lane is overlooked.
  CHECK(any(!Mask::first(Vector::lanes - 1)));
  CHECK(!any(!Mask::first(Vector::lanes)));
}

TEST_CASE_TEMPLATE("min and max give the second where they can't decide", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const Real nan = std::numeric_limits<Real>::quiet_NaN();
  const Vector a = sample<Vector>(1), b = sample<Vector>(2);
  CHECK(every_lane<Vector>(min(a, b), [&](int i) { return a[i] < b[i] ? a[i] : b[i]; }));
  CHECK(every_lane<Vector>(max(a, b), [&](int i) { return a[i] > b[i] ? a[i] : b[i]; }));
  CHECK(every_lane<Vector>(min(a, nan), [&](int) { return nan; }));
  CHECK(every_lane<Vector>(max(a, nan), [&](int) { return nan; }));
  CHECK(every_lane<Vector>(min(Vector(nan), a), [&](int i) { return a[i]; }));
  CHECK(every_lane<Vector>(max(Vector(nan), a), [&](int i) { return a[i]; }));
  CHECK(every_lane<Vector>(max(Vector(0), -Vector(0)), [&](int) { return -Real(0); }));
  CHECK(every_lane<Vector>(min(-Vector(0), Vector(0)), [&](int) { return Real(0); }));
}

TEST_CASE_TEMPLATE("numbers spread to all lanes, the sign of zero and NaN included", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  for (const Real x : {Real(1.5), -Real(0), Real(0), std::numeric_limits<Real>::infinity(),
                       std::numeric_limits<Real>::quiet_NaN(), std::numeric_limits<Real>::denorm_min()})
    CHECK(every_lane<Vector>(Vector(x), [&](int) { return x; }));
  CHECK(every_lane<Vector>(Vector::sequence(Real(0.5), Real(-2)), [&](int i) { return Real(0.5) - 2 * Real(i); }));
}

TEST_CASE_TEMPLATE("the sum adds halves", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const Vector a = sample<Vector>(6);
  Real lanes[static_cast<std::size_t>(Vector::lanes)];
  a.store(lanes);
  for (int n = Vector::lanes / 2; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) lanes[i] = lanes[i] + lanes[i + n];
  CHECK(sum(a) == lanes[0]);
}

TEST_CASE_TEMPLATE("whole and partial loads and stores stay inside their elements", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const index_t lanes = Vector::lanes;
  const Vector a = sample<Vector>(8);
  for (index_t n = 0; n <= lanes; ++n) {
    sextant::tests::fenced<Real> end(static_cast<std::size_t>(n));
    a.store(end.data(), n);
    const Vector back = Vector::load(static_cast<const Real*>(end.data()), n);
    CHECK(every_lane<Vector>(back, [&](int i) { return i < n ? a[i] : Real(0); }));
    // In the middle of memory: what stands behind stays.
    Real room[2 * static_cast<std::size_t>(Vector::lanes)];
    for (Real& x : room) x = 77;
    a.store(room + 1, n);
    for (index_t i = 0; i < 2 * lanes; ++i) CHECK(room[i] == (i >= 1 && i <= n ? a[int(i - 1)] : 77));
  }
  for (std::size_t shift = 0; shift < 3; ++shift) {  // no alignment needed
    Real room[3 + static_cast<std::size_t>(Vector::lanes)] = {};
    a.store(room + shift);
    CHECK(every_lane<Vector>(Vector::load(room + shift), [&](int i) { return a[i]; }));
    for (std::size_t i = 0; i < shift; ++i) CHECK(room[i] == 0);
    for (std::size_t i = shift + std::size_t(lanes); i < 3 + std::size_t(lanes); ++i) CHECK(room[i] == 0);
  }
}

TEST_CASE_TEMPLATE("elements apart", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const Vector a = sample<Vector>(8);
  Real room[5 * static_cast<std::size_t>(Vector::lanes)] = {};
  a.scatter(room, 5);
  for (int i = 0; i < 5 * Vector::lanes; ++i) CHECK(room[i] == (i % 5 == 0 ? a[i / 5] : 0));
  CHECK(every_lane<Vector>(Vector::gather(room, 5), [&](int i) { return a[i]; }));
  CHECK(every_lane<Vector>(Vector::gather(room + 5 * (Vector::lanes - 1), -5),
                           [&](int i) { return a[Vector::lanes - 1 - i]; }));
}

TEST_CASE_TEMPLATE("streamed stores arrive", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  alignas(64) Real room[static_cast<std::size_t>(Vector::lanes)] = {};
  const Vector a = sample<Vector>(2);
  a.stream(room);
  sextant::cpu::stream_fence();
  CHECK(every_lane<Vector>(Vector::load(room), [&](int i) { return a[i]; }));
}

TEST_CASE_TEMPLATE("16-bit elements are read as they are read one by one, all 65536", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  constexpr auto lanes = static_cast<std::size_t>(Vector::lanes);
  int wrong = 0;
  for (unsigned first = 0; first < 65536; first += unsigned(lanes)) {
    bfloat16 b[lanes];
    float16 h[lanes];
    for (unsigned i = 0; i < lanes; ++i) {
      b[i] = bfloat16::from_bits(static_cast<std::uint16_t>(first + i));
      h[i] = float16::from_bits(static_cast<std::uint16_t>(first + i));
    }
    wrong += !every_lane<Vector>(Vector::load(b), [&](int i) { return Real(float(b[i])); });
    wrong += !every_lane<Vector>(Vector::load(h), [&](int i) { return Real(float(h[i])); });
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("16-bit elements are rounded as they are rounded one by one", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  constexpr auto lanes = static_cast<std::size_t>(Vector::lanes);
  int wrong = 0;
  std::uint32_t pattern = 0;
  // Steps through all floats; the odd step meets every pattern of the low bits, the ends are met by the second loop.
  for (int round = 0; round < 100000; ++round) {
    Real x[lanes];
    for (Real& each : x) {
      pattern += round < 50000 ? 40503u * 7 : 4096u;  // the second half meets ties: low 12 bits zero
      each = static_cast<Real>(__builtin_bit_cast(float, pattern));
    }
    bfloat16 b[lanes];
    float16 h[lanes];
    const Vector a = Vector::load(x);
    a.store(b);
    a.store(h);
    for (std::size_t i = 0; i < lanes; ++i) {
      const bool nan = std::isnan(x[i]);
      wrong += nan ? !std::isnan(float(b[i])) : b[i].bits != bfloat16(x[i]).bits;
      wrong += nan ? !std::isnan(float(h[i])) : h[i].bits != float16(x[i]).bits;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("partial 16-bit loads and stores stay inside their elements", Vector, REGISTERS) {
  using Real = typename Vector::value_type;
  const Vector a = sample<Vector>(5);
  for (index_t n = 0; n <= Vector::lanes; ++n) {
    sextant::tests::fenced<bfloat16> b(static_cast<std::size_t>(n));
    sextant::tests::fenced<float16> h(static_cast<std::size_t>(n));
    a.store(b.data(), n);
    a.store(h.data(), n);
    CHECK(every_lane<Vector>(Vector::load(b.data(), n),
                             [&](int i) { return i < n ? Real(float(bfloat16(a[i]))) : Real(0); }));
    CHECK(every_lane<Vector>(Vector::load(h.data(), n),
                             [&](int i) { return i < n ? Real(float(float16(a[i]))) : Real(0); }));
  }
  sextant::tests::fenced<bfloat16> b(static_cast<std::size_t>(Vector::lanes));
  sextant::tests::fenced<float16> h(static_cast<std::size_t>(Vector::lanes));
  a.store(b.data());
  a.store(h.data());
  CHECK(every_lane<Vector>(Vector::load(b.data()), [&](int i) { return Real(float(bfloat16(a[i]))); }));
  CHECK(every_lane<Vector>(Vector::load(h.data()), [&](int i) { return Real(float(float16(a[i]))); }));
}
