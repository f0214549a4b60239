// SPDX-License-Identifier: Apache-2.0
/// @file  The two references agree: the recurrence and the masked matrix of weights, in float64.
#include <doctest/doctest.h>

#include <string>  // string

#include <sextant/reference/quadratic.hpp>

#include "cases.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

/// The greatest relative difference of y, the outputs of both full of NaN before.
template <class Design> double difference(const Design& design, const shape& s, const wishes& w) {
  auto one = make_problem<fp64>(design, s, w), other = make_problem<fp64>(design, s, w);
  reference::recurrent(design, one.x);
  reference::quadratic(design, other.x);
  return relative_error(other.y(), one.y());
}

template <class Design> void check(const char* name, const Design& design) {
  const auto agrees = [&](const char* what, const shape& s, const wishes& w, double bound = 1e-12) {
    INFO(std::string(name), ", ", std::string(what));
    CHECK(difference(design, s, w) <= bound);
  };
  const shape everyday = everyday_shape<Design>();
  const wishes plain = everyday_wishes<Design>();
  wishes from_state = plain, strong = plain, packed = plain;
  from_state.initial_state = true;
  strong.gate_size = strong.rate_size = 6;
  agrees("everyday", everyday, plain);
  agrees("from a state", everyday, from_state);
  agrees("strong gates", everyday, strong);
  shape none = everyday, one = everyday;
  none.T = 0, one.T = 1, one.grid_width = 1;
  agrees("no token", none, from_state);
  agrees("one token", one, from_state);
  if constexpr (!requires(sequence<Design> x) { x.grid; }) {
    shape pack = everyday;
    pack.B = 1;
    packed.offsets = {0, 0, 17, 18, 36};
    packed.initial_state = true;
    agrees("packed", pack, packed);
  }
}

}  // namespace

TEST_CASE("the references agree: designs of the literature") {
  each_preset([](const char* name, const auto& design) { check(name, design); });
}
TEST_CASE("the references agree: the ablation's rows") {
  each_ablation_row([](const char* name, const auto& design) { check(name, design); });
}
TEST_CASE("the references agree: invented parts, every granularity") {
  each_invented([](const char* name, const auto& design) { check(name, design); });
}
TEST_CASE("the references agree: mLSTM, stabilised and not, with an eps that the stabiliser scales") {
  check("eps", mlstm.with(norm::abs_max{.eps = 0.25}));
  check("reversed", mlstm.with(order::reversed{}));
  check("global", mlstm.with(forget::one{}, order::global{}));
  check("input gate alone", mlstm.with(forget::one{}));
  check("forget gate alone", mlstm.with(input::one{}));
}
TEST_CASE("the second reference in other scalar types: float") {
  auto judge = make_problem<fp64>(mamba2, {.T = 20, .Hk = 1, .H = 2, .K = 3, .V = 4});
  auto answer = make_problem<fp32>(mamba2, {.T = 20, .Hk = 1, .H = 2, .K = 3, .V = 4});
  reference::recurrent(mamba2, judge.x);
  reference::quadratic(mamba2, answer.x);
  const double error = relative_error(answer.y(), judge.y());
  CHECK(error <= 2e-6);
  CHECK(error > 0);
}
