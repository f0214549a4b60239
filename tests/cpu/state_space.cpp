// SPDX-License-Identifier: Apache-2.0
/// @file  Time-invariant state spaces: both forms against the recurrence, the convolution beside it, and numbers at the edge.
#include <cmath>  // fabs, log

#include "cpu/one_form.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

template <class Visit> void each_state_space(const Visit& visit) {
  each_time_invariant(visit);
  visit("s4d, reversed", s4d.with(order::reversed{}, output::silu{}, scale::inverse_root{}));
  visit("s4d, steps", s4d.with(input::softplus<per::channel>{}, shortcut::none{}));
  visit("s4d, grouped", s4d.with(input::sigmoid{}, heads::grouped{}));
  visit("s4d, picture", s4d.with(shortcut::local{}));
}
template <class Visit> void both_forms(const Visit& visit) {
  visit(form::recurrent{});
  visit(form::chunked{});
}

/// The error of both forms in float, and in double, for the pairs of s4d that `change(a, log_dt)` makes of ordinary ones.
template <class Design, class Change> void check_pairs(const Design& design, const char* what, const Change& change) {
  INFO(std::string(what));
  const shape s{.B = 1, .T = 1000, .K = 8, .V = 5};
  const wishes w{.initial_state = true};
  const auto changed = [&](auto p) {
    auto* a = const_cast<std::remove_const_t<typename decltype(p.x.a)::element_type>*>(p.x.a.data());
    auto* log_dt = const_cast<std::remove_const_t<typename decltype(p.x.log_dt)::element_type>*>(p.x.log_dt.data());
    for (index_t i = 0; i < s.K * s.V; i += 2) change(a[i], a[i + 1], log_dt[i / s.K]);
    return p;
  };
  auto judge = changed(make_problem<fp64>(design, s, w));
  reference::recurrent(design, judge.x);
  both_forms([&](const auto& form) {
    INFO(std::string(form.name));
    auto single = changed(make_problem<fp32>(design, s, w));
    REQUIRE(bool(run(single, form, cpu::serial{})));
    CHECK(compare(single, judge).worst() <= tolerance<fp32>);
    auto twice = changed(make_problem<fp64>(design, s, w));
    REQUIRE(bool(run(twice, form, cpu::serial{})));
    CHECK(compare(twice, judge).worst() <= tolerance<fp64>);
  });
}

constexpr auto trapezoid = s4d.with(forget::diagonal<discretisation::bilinear>{});

}  // namespace

TEST_CASE("state space: both forms equal the recurrence") {
  each_state_space([](const char* name, const auto& design) {
    both_forms([&](const auto& form) { check_form(name, design, form); });
  });
}
TEST_CASE("state space: the recurrence is a convolution") {
  each_state_space([](const char* name, const auto& design) {
    using Design = std::remove_cvref_t<decltype(design)>;
    INFO(std::string(name));
    auto step_by_step = make_problem<fp64>(design, everyday_shape<Design>(), {.initial_state = true});
    auto at_once = make_problem<fp64>(design, everyday_shape<Design>(), {.initial_state = true});
    reference::recurrent(design, step_by_step.x);
    reference::quadratic(design, at_once.x);
    CHECK(relative_error(at_once.y(), step_by_step.y()) <= 1e-14);
  });
}
TEST_CASE("state space: chunks of any length") {
  for (index_t length : {1, 3, 4, 12, 16, 32, 64, 1000})
    CHECK(error_of<fp64>(s4d, {.B = 2, .T = 333, .K = 6, .V = 21}, {.initial_state = true}, form::chunked{length})
              .worst() <= 1e-12);
}
TEST_CASE("state space: the final state in the place of the initial one") {
  both_forms([](const auto& form) { check_in_place("s4d", s4d, form); });
}
TEST_CASE("state space: workspace") {
  both_forms([](const auto& form) { check_workspace("s4d", s4d, form); });
}
TEST_CASE("state space: the same bits every time") {
  both_forms([](const auto& form) { check_repeats("s4d", s4d, form); });
}
TEST_CASE("state space: without b it is 1") {
  const shape s{.B = 1, .T = 50, .K = 6, .V = 9};
  auto with_ones = make_problem<fp32>(s4d, s), without = make_problem<fp32>(s4d, s);
  auto* b = const_cast<float*>(with_ones.x.b.data());
  for (index_t i = 0; i < s.K * s.V; ++i) b[i] = i % 2 == 0 ? 1.0f : 0.0f;
  without.x.b = {};
  both_forms([&](const auto& form) {
    REQUIRE(bool(run(with_ones, form, cpu::serial{})));
    REQUIRE(bool(run(without, form, cpu::serial{})));
    CHECK(with_ones.y() == without.y());
    CHECK(with_ones.S() == without.S());
  });
}
TEST_CASE("state space: a user's own discretisation") {
  const auto design = s4d.with(forget::diagonal<invented::euler>{});
  CHECK(error_of<fp32>(design, {.B = 2, .T = 40, .K = 8, .V = 7}, {.rate_size = 0.1}).worst() <= 2e-6);
}
TEST_CASE("state space: pairs at the edge") {
  const auto check = [](const char* what, const auto& change) {
    check_pairs(s4d, what, change);
    check_pairs(trapezoid, what, change);
  };
  check("nothing is forgotten", [](auto& re, auto&, auto&) { re = 0; });
  check("next to nothing is forgotten", [](auto& re, auto&, auto&) { re = -1e-5f; });
  check("nothing turns", [](auto&, auto& im, auto&) { im = 0; });
  check("nothing turns or is forgotten", [](auto& re, auto& im, auto&) { re = im = 0; });
  check("next to nothing does", [](auto& re, auto& im, auto&) { re = -1e-6f, im = 1e-6f; });
  check("half a turn a token", [](auto& re, auto& im, auto& log_dt) { re = -0.25f, im = 3.14159265f, log_dt = 0; });
  check("tiny steps", [](auto&, auto&, auto& log_dt) { log_dt = -11; });
  check("huge steps", [](auto&, auto&, auto& log_dt) { log_dt = 9; });
  check_pairs(s4d, "everything is forgotten", [](auto& re, auto&, auto&) { re = -1e6f; });
}
TEST_CASE("state space: long memories of S4D's own initialisation") {
  const shape s{.B = 1, .T = 8192, .K = 64, .V = 6};
  const auto initialised = [&](auto p) {
    auto* a = const_cast<std::remove_const_t<typename decltype(p.x.a)::element_type>*>(p.x.a.data());
    auto* log_dt = const_cast<std::remove_const_t<typename decltype(p.x.log_dt)::element_type>*>(p.x.log_dt.data());
    for (index_t v = 0; v < s.V; ++v) {
      log_dt[v] = float(std::log(0.001) + double(v) / double(s.V - 1) * std::log(100));
      for (index_t m = 0; m < s.K / 2; ++m) a[v * s.K + 2 * m] = -0.5f, a[v * s.K + 2 * m + 1] = 3.1415927f * float(m);
    }
    return p;
  };
  auto judge = initialised(make_problem<fp64>(s4d, s));
  reference::recurrent(s4d, judge.x);
  both_forms([&](const auto& form) {
    auto p = initialised(make_problem<fp32>(s4d, s));
    REQUIRE(bool(run(p, form, cpu::serial{})));
    CHECK(compare(p, judge).worst() <= 1e-6);
  });
}
TEST_CASE("state space: what is refused") {
  const auto refused = [](const char* word, const auto& change) {
    auto p = make_problem<fp32>(s4d, {.B = 1, .T = 5, .K = 4, .V = 3});
    change(p.x);
    const status found = run(p, form::automatic{}, cpu::serial{});
    CHECK(!found);
    CHECK(std::string(found.what).find(word) != std::string::npos);
    for (float e : p.y()) CHECK(std::isnan(e));
  };
  refused("c is missing", [](auto& x) { x.c = {}; });
  refused("a is missing", [](auto& x) { x.a = {}; });
  refused("log_dt is missing", [](auto& x) { x.log_dt = {}; });
  refused("log_dt: [H, V]", [](auto& x) { x.log_dt = {x.log_dt.data(), {1, 2}}; });
  refused("b: [H, V, K]", [](auto& x) { x.b = {x.b.data(), {1, 3, 2}}; });
  refused("K is even", [](auto& x) {
    x.c = {x.c.data(), {1, 3, 3}}, x.a = {x.a.data(), {1, 3, 3}}, x.b = {};
    x.final_state = {};
  });
}
