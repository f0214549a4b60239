// SPDX-License-Identifier: Apache-2.0
/// @file  Gates and maps that a user invented, by the GPU's generic forms: each has kernels of its own.
#include <doctest/doctest.h>

#include <sextant/cuda/scan.cuh>

#include "cuda/device_problem.cuh"

using namespace sextant;
using namespace sextant::test;

namespace {

struct holds {
  template <class Design> void operator()(const char* name, const Design& design) const {
    shape s = everyday_shape<Design>();
    wishes w = everyday_wishes<Design>();
    s.T = 150;
    w.initial_state = true;
    INFO(std::string(name));
    CHECK(error_on_gpu<fp32>(design, s, w, by_family<gpu::recurrent>{}).worst() <= 5e-5);
    if constexpr (form::runs<form::scan, Design>)
      CHECK(error_on_gpu<fp32>(design, s, w, by_verb<form::scan>{}).worst() <= 5e-5);
  }
};

}  // namespace

TEST_CASE("gates and maps that a user invented") {
  if (has_gpu()) each_invented(holds{});
}
