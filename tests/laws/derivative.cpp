// SPDX-License-Identifier: Apache-2.0
/// @file  The reference differentiates itself: with dual numbers as its scalar type it gives what finite differences give.
#include "laws/law.hpp"

#include <algorithm>  // max
#include <cmath>      // fabs

#include <sextant/math/dual.hpp>

using namespace sextant;
using namespace sextant::test;

namespace {

/// Tokens, states and sums of one scalar type. The library's own precisions are stored numbers alone; the reference takes
/// any type with arithmetic.
template <class Scalar> struct all_of {
  using token = Scalar;
  using state = Scalar;
  using accumulator = Scalar;
};

/// A tensor of the other precision, its numbers in `memory`.
template <class To, class From>
void convert(To& to, const From& from, std::vector<std::vector<dual<double>>>& memory) {
  index_t extents[From::rank];
  for (int r = 0; r < From::rank; ++r) extents[r] = from.extent(r);
  auto& values = memory.emplace_back();
  for (index_t i = 0; i < from.size(); ++i) values.push_back(dual<double>(double(from.data()[i])));
  to = To(values.data(), extents);
}

/// The sum of y and S times fixed numbers, so that one derivative sees all outputs.
template <class Y, class S> auto weighed(const Y& y, const S& state) {
  random_numbers random{5};
  std::remove_cvref_t<decltype(y.data()[0])> sum(0.0);
  for (index_t i = 0; i < y.size(); ++i) sum = sum + y.data()[i] * std::remove_cvref_t<decltype(sum)>(random());
  for (index_t i = 0; i < state.size(); ++i) sum = sum + state.data()[i] * std::remove_cvref_t<decltype(sum)>(random());
  return sum;
}

/// Some elements of every tensor that the design reads: the derivative that dual numbers carry, and the central difference.
template <class Design> void derivative_is_the_difference(const Design& d) {
  using D = all_of<dual<double>>;
  const shape s = heads_for<Design>({.B = 1, .T = 6, .K = 4, .V = 3, .grid_width = 3});
  auto p = make_problem<fp64>(d, s, {.initial_state = true, .positive_keys = true});
  std::vector<std::vector<dual<double>>> memory;
  memory.reserve(32);
  sequence_of<Design, D> x;
  std::vector<std::pair<double*, dual<double>*>> numbers;  // the two memories of every tensor
  std::vector<index_t> sizes;
  const auto both = [&](auto& to, const auto& from) {
    convert(to, from, memory);
    numbers.emplace_back(const_cast<double*>(from.data()), memory.back().data());
    sizes.push_back(from.size());
  };
  both(x.q, p.x.q), both(x.k, p.x.k), both(x.v, p.x.v);
  if constexpr (requires { x.dt; }) both(x.dt, p.x.dt), both(x.bias, p.x.bias);
  if constexpr (requires { x.forget; }) both(x.forget, p.x.forget);
  if constexpr (requires { x.input; }) both(x.input, p.x.input);
  if constexpr (requires { x.a; }) both(x.a, p.x.a);
  if constexpr (requires { x.d; }) both(x.d, p.x.d);
  if constexpr (requires { x.lepe; }) both(x.lepe, p.x.lepe), both(x.lepe_bias, p.x.lepe_bias);
  if constexpr (requires { x.gate; }) both(x.gate, p.x.gate);
  both(x.initial_state.S, p.x.initial_state.S);
  if constexpr (requires { x.initial_state.z; }) both(x.initial_state.z, p.x.initial_state.z);
  if constexpr (requires { x.initial_state.m; }) both(x.initial_state.m, p.x.initial_state.m);
  if constexpr (requires { x.grid; }) x.grid = p.x.grid;
  const std::size_t inputs = numbers.size();
  both(x.y, p.x.y), both(x.final_state.S, p.x.final_state.S);
  if constexpr (requires { x.final_state.z; }) both(x.final_state.z, p.x.final_state.z);
  if constexpr (requires { x.final_state.m; }) both(x.final_state.m, p.x.final_state.m);

  constexpr double step = 1e-6;
  for (std::size_t which = 0; which < inputs; ++which) {
    const auto [plain, carried] = numbers[which];
    for (index_t i = 0; i < sizes[which]; i += sizes[which] / 3 + 1) {
      INFO(std::string(Design::forget_type::name), ", tensor ", which, ", element ", i);
      const double kept = plain[i];
      carried[i].derivative = 1;
      reference::recurrent(d, x);
      const dual<double> answer = weighed(x.y, x.final_state.S);
      carried[i].derivative = 0;
      plain[i] = kept + step;
      reference::recurrent(d, p.x);
      const double above = weighed(p.x.y, p.x.final_state.S);
      plain[i] = kept - step;
      reference::recurrent(d, p.x);
      const double below = weighed(p.x.y, p.x.final_state.S);
      plain[i] = kept;
      reference::recurrent(d, p.x);
      CHECK(answer.value == doctest::Approx(weighed(p.x.y, p.x.final_state.S)).epsilon(1e-12));
      const double difference = (above - below) / (2 * step);
      CHECK(std::fabs(answer.derivative - difference) <= 1e-7 * std::max(1.0, std::fabs(difference)));
    }
  }
}

}  // namespace

TEST_CASE("derivatives by dual numbers equal central differences, for every tensor of a design") {
  derivative_is_the_difference(linear_attention);
  derivative_is_the_difference(mamba.with(output::silu{}));
  derivative_is_the_difference(mamba2);
  derivative_is_the_difference(gla);
  derivative_is_the_difference(mlstm);
  derivative_is_the_difference(two_mamba);
  derivative_is_the_difference(mila.with(position::none{}));
  derivative_is_the_difference(linear_attention.with(invented::taylor_map{}, invented::branching{}, input::sigmoid{}));
}
