// SPDX-License-Identifier: Apache-2.0
/// @file  Every part, called with float, double, a dual number and a vector, gives one value; a gate's two forms agree.
#include <sextant/cpu/simd.hpp>
#include <sextant/cpu/simd_math.hpp>
#include <sextant/math/dual.hpp>

#include <cmath>   // exp, fabs, fmax, sqrt
#include <limits>  // infinity
#include <string>  // string

#include <doctest/doctest.h>

#include "invented.hpp"

using namespace sextant;

namespace {

constexpr double numbers[] = {-30, -5, -1, -0.3, 0, 1e-3, 0.25, 1, 3, 19, 21, 60};

bool close(double a, double b, double relative) {
  return std::fabs(a - b) <= relative * std::fmax(std::fabs(a), std::fabs(b)) || a == b;
}

/// The value and logarithm of a gate at (x, a), for every scalar type.
template <class Gate> void every_scalar_agrees(const Gate& gate, double x, double a) {
  INFO(std::string(Gate::name), " at ", x, ", ", a);
  const double value = gate_value(gate, x, a), logarithm = gate_log(gate, x, a);
  if (std::fabs(logarithm) < 80) {
    CHECK(close(value, std::exp(logarithm), 1e-12));
    CHECK(close(double(gate_value(gate, float(x), float(a))), value, 1e-5));
    // An error of 1e-7 in the logarithm is one of 1e-7 of the value, however near to 0 the logarithm is.
    CHECK(std::fabs(double(gate_log(gate, float(x), float(a))) - logarithm) <= 1e-7 + 1e-5 * std::fabs(logarithm));
  }
  const dual<double> carried = gate_value(gate, dual<double>(x, 1), dual<double>(a));
  CHECK(close(carried.value, value, 1e-14));
  const dual<double> log_carried = gate_log(gate, dual<double>(x, 1), dual<double>(a));
  CHECK(close(log_carried.value, logarithm, 1e-12));
  if constexpr (raw_granularity<Gate> != per::nothing) {
    const double h = 1e-6 * std::fmax(1, std::fabs(x));
    const double above = gate_value(gate, x + h, a), below = gate_value(gate, x - h, a);
    if (value > 1e-9 && value < 1e9 && x != 0)  // away from the kinks of invented gates
      CHECK(std::fabs(carried.derivative - (above - below) / (2 * h)) <= 1e-4 * std::fmax(1, std::fabs(carried.derivative)));
  }
  if constexpr (sextant::detail::vectorised_of<Gate>()) {
    using vector = cpu::simd<float>;
    float lanes[vector::lanes];
    gate_value(gate, vector(float(x)), vector(float(a))).store(lanes);
    for (float lane : lanes)
      CHECK((close(double(lane), double(gate_value(gate, float(x), float(a))), 2e-6) || std::fabs(value) < 1e-37));
    using wide = cpu::simd<double>;
    double wide_lanes[wide::lanes];
    gate_log(gate, wide(x), wide(a)).store(wide_lanes);
    for (double lane : wide_lanes) CHECK((close(lane, logarithm, 1e-12) || std::fabs(logarithm) > 700));
  }
}
template <class Gate> void every_number_agrees(const Gate& gate, bool positive = false) {
  for (double x : numbers)
    for (double a : {-2.0, -0.01})
      if (!positive || x > 0) every_scalar_agrees(gate, x, a);
}

template <class Map> void every_scalar_maps(const Map& map) {
  for (double x : numbers) {
    INFO(std::string(Map::name), " at ", x);
    const double value = map(x);
    CHECK(close(double(map(float(x))), value, 1e-5));
    CHECK(map(dual<double>(x, 1)).value == value);
    if constexpr (sextant::detail::vectorised_of<Map>()) {
      using vector = cpu::simd<float>;
      float lanes[vector::lanes];
      map(vector(float(x))).store(lanes);
      for (float lane : lanes) CHECK(close(double(lane), double(map(float(x))), 2e-6));
    }
  }
}

}  // namespace

TEST_CASE("input gates") {
  every_number_agrees(input::one{});
  every_number_agrees(input::softplus<per::head>{}, true);  // delta is a softplus: positive
  every_number_agrees(input::softplus<per::channel>{}, true);
  every_number_agrees(input::sigmoid{});
  every_number_agrees(input::exponential{});
  every_number_agrees(test::invented::leaky_input{}, true);
  every_number_agrees(test::invented::fixed_input{});
}
TEST_CASE("forget gates") {
  every_number_agrees(forget::one{});
  every_number_agrees(forget::constant{});
  every_number_agrees(forget::exponential{}, true);
  every_number_agrees(forget::log_decay<per::head>{});
  every_number_agrees(forget::log_decay<per::key_channel>{});
  every_number_agrees(forget::log_sigmoid<per::key>{});
  every_number_agrees(forget::log_sigmoid<per::head>{.temperature = 16});
  every_number_agrees(forget::selective{}, true);
  every_number_agrees(forget::softplus{});
}
TEST_CASE("invented forget gates") {
  using namespace test::invented;
  every_number_agrees(branching{});
  every_number_agrees(fixed_forget{});
  every_number_agrees(gaussian{.sharpness = 0.01f});
  every_number_agrees(rated_keys{});
  every_number_agrees(stepped_keys{}, true);
  every_number_agrees(crossed{});
  every_number_agrees(channel_rates{});
  every_number_agrees(dense{});
}
TEST_CASE("maps") {
  every_scalar_maps(map::identity{});
  every_scalar_maps(map::elu_plus_one{});
  every_scalar_maps(map::relu{});
  every_scalar_maps(test::invented::soft_map{});
  every_scalar_maps(test::invented::folded_map{});
}

TEST_CASE("values of parts that are known without computing") {
  static_assert(input::one{}.operator()<double>() == 1 && forget::one{}.log<float>() == 0);
  CHECK(gate_value(input::sigmoid{}, 0.0, 0.0) == 0.5);
  CHECK(gate_value(input::exponential{}, 0.0, 0.0) == 1);
  CHECK(gate_value(forget::softplus{}, 0.0, 0.0) == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(gate_value(forget::log_decay<per::head>{}, -std::numeric_limits<double>::infinity(), 0.0) == 0);
  CHECK(gate_log(test::invented::cutting{}, 0.0, 0.0) == -std::numeric_limits<double>::infinity());
  CHECK(map::elu_plus_one{}(0.0) == 1);
  CHECK(map::elu_plus_one{}(2.0) == 3);
  CHECK(map::relu{}(-1.0) == 0);
  CHECK(gate_value(forget::log_sigmoid<per::key>{.temperature = 2}, 0.0, 0.0) == doctest::Approx(std::sqrt(0.5)).epsilon(1e-15));
}

TEST_CASE("an expanding map takes any scalar") {
  const float x[] = {1, -2, 0.5f};
  const dual<double> x_dual[] = {{1, 1}, {-2, 0}, {0.5, 0}};
  float phi[6];
  dual<double> phi_dual[6];
  map::squared{}.expand(x, 3, phi);
  map::squared{}.expand(x_dual, 3, phi_dual);
  for (int i = 0; i < 6; ++i) CHECK(close(double(phi[i]), phi_dual[i].value, 1e-6));
  CHECK(phi_dual[0].derivative == 2);                                            // of x_0^2
  CHECK(phi_dual[1].derivative == doctest::Approx(-2 * std::sqrt(2.0)));         // of sqrt 2 x_0 x_1
  CHECK(phi_dual[3].derivative == 0);
  CHECK(key_scale<double>(map::squared{.scale_keys = true}, 16) == 0.25);
  CHECK(key_scale<double>(map::squared{}, 16) == 1);
  CHECK(key_scale<double>(map::relu{}, 16) == 1);
}
