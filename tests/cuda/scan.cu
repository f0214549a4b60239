// SPDX-License-Identifier: Apache-2.0
/// @file  The scan by CUB, the GPU's second opinion: everything but abs_max's stabiliser and global designs.
#include <doctest/doctest.h>

#include <sextant/cuda/scan.cuh>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class Precision> constexpr double bound = tolerance<Precision>;
template <> constexpr double bound<fp32> = 5e-5;

/// 150 tokens: a whole tile and a rest.
template <class Precision> struct holds {
  wishes extra{};

  template <class Design> void operator()(const char* name, const Design& design) const {
    if constexpr (form::runs<form::scan, Design>) {
      shape s = everyday_shape<Design>();
      wishes w = everyday_wishes<Design>();
      w.initial_state = extra.initial_state;
      w.offsets = extra.offsets;
      s.T = 150;
      if (!w.offsets.empty()) s.B = 1;
      if (requires(sequence<Design> x) { x.grid; } && !w.offsets.empty()) return;
      const errors e = error_on_gpu<Precision>(design, s, w, by_verb<form::scan>{});
      INFO(std::string(name), " in ", std::string(precision_name<Precision>));
      CHECK(e.worst() <= bound<Precision>);
    }
  }
};

}  // namespace

TEST_CASE("designs of the literature") {
  if (!has_gpu()) return;
  each_preset(holds<fp32>{});
  each_preset(holds<fp64>{});
  each_preset(holds<bf16>{.extra = {.initial_state = true}});
}

TEST_CASE("designs of parts that a user invented, with a state before") {
  if (!has_gpu()) return;
  each_invented(holds<fp32>{.extra = {.initial_state = true}});
}

TEST_CASE("packed sequences, one of them empty") {
  if (!has_gpu()) return;
  each_preset(holds<fp32>{.extra = {.offsets = {0, 5, 5, 16, 150}}});
}

TEST_CASE("turned, reversed, expanded beyond shared memory") {
  if (!has_gpu()) return;
  const by_verb<form::scan> scan{};
  CHECK(error_on_gpu(retnet.with(position::rotary_1d{}), {.T = 40, .Hk = 2, .H = 2, .K = 8, .V = 3}, {}, scan).worst() <= 5e-5);
  CHECK(error_on_gpu(mamba.with(order::reversed{}), {.T = 200, .K = 5, .V = 3}, {}, scan).worst() <= 5e-5);
  CHECK(error_on_gpu(two_mamba, {.T = 30, .K = 40, .V = 3}, {.positive_keys = true}, scan).worst() <= 5e-5);
}
