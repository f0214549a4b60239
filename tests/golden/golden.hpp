// SPDX-License-Identifier: Apache-2.0
/// @file  Golden vectors: numbers known from elsewhere, against both references and every form of the CPU.
#pragma once

#include <doctest/doctest.h>

#include <cmath>        // exp, fabs, fmax, log1p
#include <cstdint>      // uint32_t
#include <string>       // string
#include <type_traits>  // remove_const
#include <vector>       // vector

#include <sextant/reference/quadratic.hpp>

#include "forms.hpp"

namespace sextant::golden {

/// The stream of numbers that the vectors were computed from: x = 1664525 x + 1013904223 mod 2^32, value x / 2^31 - 1.
struct stream {
  std::uint32_t x;
  double operator()() {
    x = 1664525u * x + 1013904223u;
    return double(x) / 2147483648.0 - 1;
  }
  std::vector<double> operator()(index_t count) {
    std::vector<double> r;
    for (index_t i = 0; i < count; ++i) r.push_back((*this)());
    return r;
  }
};

/// [rows][columns] to [columns][rows].
inline std::vector<double> transposed(const std::vector<double>& a, index_t rows, index_t columns) {
  std::vector<double> r;
  for (index_t j = 0; j < columns; ++j)
    for (index_t i = 0; i < rows; ++i) r.push_back(a[std::size_t(i * columns + j)]);
  return r;
}
template <class Function> std::vector<double> each(std::vector<double> a, const Function& f) {
  for (double& e : a) e = f(e);
  return a;
}

/// Writes the numbers of a row-major input tensor of a problem, which owns its memory.
template <class View> void set(const View& tensor, const std::vector<double>& values) {
  using element = std::remove_const_t<typename View::element_type>;
  REQUIRE(tensor.size() == index_t(values.size()));
  auto* to = const_cast<element*>(tensor.data());
  for (const double e : values) *to++ = element(e);
}
/// The same of an input tensor that is left out.
template <class View> void leave_out(View& tensor) { tensor = View{}; }

/// Compares single numbers; the greatest difference and the greatest known number.
struct comparison {
  double difference = 0, size = 0;
  bool number = true;

  void operator()(double got, double known) {
    if (!(std::fabs(got - known) <= 1e300)) number = false;
    difference = std::fmax(difference, std::fabs(got - known));
    size = std::fmax(size, std::fabs(known));
  }
};

/// Runs a design with the tensors that `fill(x)` writes and compares what `expect_y(x, compare)` and
/// `expect_state(x, compare)` look at: to the nine printed decimals in float64, to 2e-6 of the greatest in float32.
template <class Design, class Fill, class ExpectY, class ExpectState>
void check(const Design& design, test::shape size, const Fill& fill, const ExpectY& expect_y,
           const ExpectState& expect_state) {
  const auto judge = [&](const auto& p, bool has_state, double absolute, double relative) {
    comparison y, state;
    expect_y(p.x, y);
    if (has_state) expect_state(p.x, state);
    CHECK(y.number);
    CHECK(y.size > 0);
    CHECK(y.difference <= absolute + relative * y.size);
    CHECK(state.number);
    CHECK(state.difference <= absolute + relative * state.size);
  };
  const auto problem_in = [&](auto precision) {
    auto p = test::make_problem<decltype(precision)>(design, size);
    fill(p.x);
    return p;
  };
  {
    INFO("reference::recurrent");
    auto p = problem_in(fp64{});
    reference::recurrent(design, p.x);
    judge(p, true, 6e-10, 0);
  }
  {
    INFO("reference::quadratic");
    auto p = problem_in(fp64{});
    reference::quadratic(design, p.x);
    judge(p, false, 6e-10, 0);
  }
  test::each_form<Design>([&](const auto& form) {
    INFO("cpu, form::", std::string(form.name));
    auto p = problem_in(fp64{});
    REQUIRE(bool(test::run(p, form, cpu::serial{})));
    judge(p, true, 6e-10, 0);
    auto single = problem_in(fp32{});
    REQUIRE(bool(test::run(single, form, cpu::parallel{})));
    judge(single, true, 0, 2e-6);
  });
}

inline constexpr auto no_state = [](const auto&, comparison&) {};

}  // namespace sextant::golden
