// SPDX-License-Identifier: Apache-2.0
/// @file  The designs of the literature, each with every single switch the other way, by the GPU's generic forms.
#include <doctest/doctest.h>

#include "cuda/generic.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

struct holds_both {
  template <class Design> void operator()(const char* name, const Design& design) const {
    for (const bool by_scan : {false, true}) {
      if (by_scan && !form::runs<form::scan, Design>) continue;
      const shape s = everyday_shape<Design>();
      const wishes w = everyday_wishes<Design>();
      auto judge = make_problem<fp64, float>(design, s, w);
      reference::recurrent(judge.design, judge.x);
      auto answer = make_problem<fp32>(design, s, w);
      const status done = answer_generic(answer, by_scan);
      INFO(std::string(name), by_scan ? ", scan" : ", recurrent");
      CHECK_MESSAGE(bool(done), done.what);
      CHECK(compare(answer, judge).worst() <= generic_tolerance<fp32>);
    }
  }
};
constexpr auto each_flip = [](const char* name, const auto& design) { each_flip_of(name, design, holds_both{}); };

}  // namespace

TEST_CASE("attention, one switch the other way") {
  if (has_gpu()) each_attention(each_flip);
}
TEST_CASE("state space models, one switch the other way") {
  if (has_gpu()) each_state_space_model(each_flip);
}
TEST_CASE("gated attention, one switch the other way") {
  if (has_gpu()) each_gated_attention(each_flip);
}
