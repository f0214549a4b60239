// SPDX-License-Identifier: Apache-2.0
/// @file  The scan form: segments of time joined by the operator.
#include "cpu/one_form.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class Visit> void each_that_scan_runs(const Visit& visit) {
  const auto only = [&](const char* name, const auto& design) {
    if constexpr (form::runs<form::scan, decltype(design)>) visit(name, design);
  };
  each_preset(only);
}

/// The number of segments and of the items in each phase, for a call of these extents.
template <class Real> struct counts {
  index_t segments, items[3];
  counts(index_t B, index_t H, index_t V, int workers) {
    cpu::plan<Real> p;
    p.sequences = B, p.heads = H, p.values = V, p.width = 16, p.tokens = 1000;
    segments = cpu::scan<Real>::segments(p, workers);
    for (int phase = 0; phase < 3; ++phase) items[phase] = cpu::scan<Real>::items(p, workers, phase);
  }
};

}  // namespace

TEST_CASE("scan equals the recurrence: every granularity and norm, causal and reversed") {
  each_granularity([](const char* name, const auto& design) { check_form(name, design, form::scan{}); });
}
TEST_CASE("scan equals the recurrence: designs of the literature") {
  each_that_scan_runs([](const char* name, const auto& design) { check_form(name, design, form::scan{}); });
}
TEST_CASE("scan: gates of 0 and 1") {
  for (double strength : {0.0, 2000.0}) {  // exp(-0) and exp(-2000 x)
    const auto check = [strength](const auto& design, const shape& s) {
      wishes w{.initial_state = true, .gate_size = strength, .positive_keys = true};
      CHECK(error_of<fp64>(design, s, w, form::scan{}).worst() <= 1e-12);
    };
    const auto base = linear_attention.with(map::identity{}, norm::none{});
    check(base.with(forget::log_decay<per::head>{}, norm::sum{.eps = 1}), {.T = 70, .K = 3, .V = 5});
    check(base.with(forget::log_decay<per::key>{}, norm::sum{.eps = 1}), {.T = 70, .K = 3, .V = 5});
    check(base.with(forget::log_decay<per::channel>{}), {.T = 70, .K = 3, .V = 5});
    check(base.with(forget::log_decay<per::key_channel>{}), {.T = 70, .K = 3, .V = 5});
  }
}
TEST_CASE("scan: the final state in the place of the initial one") {
  each_that_scan_runs([](const char* name, const auto& design) {
    if constexpr (std::is_same_v<typename std::remove_cvref_t<decltype(design)>::heads_type, heads::multi> ||
                  std::is_same_v<typename std::remove_cvref_t<decltype(design)>::heads_type, heads::single>)
      check_in_place(name, design, form::scan{});
  });
}
TEST_CASE("scan: workspace") {
  each_that_scan_runs([](const char* name, const auto& design) { check_workspace(name, design, form::scan{}); });
}
TEST_CASE("scan: the same bits every time") {
  each_that_scan_runs([](const char* name, const auto& design) { check_repeats(name, design, form::scan{}); });
}
TEST_CASE("scan: time is cut into as many segments as the workers need, and no more") {
  const counts<float> one(1, 1, 8, 1), many(1, 1, 8, 64), wide(4, 16, 64, 64);
  CHECK(one.segments == 8);
  CHECK(many.segments == 128);
  CHECK(wide.segments == 8);
  CHECK(one.items[0] == 7);
  CHECK(one.items[1] == 1);
  CHECK(one.items[2] == 8);
  CHECK(many.items[2] == 128);
}
