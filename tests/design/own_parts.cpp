// SPDX-License-Identifier: Apache-2.0
/// @file  A user's gates and maps, from this file alone, through forward() in every form that runs them.
#include <string>  // string

#include <doctest/doctest.h>

#include "cases.hpp"
#include "forms.hpp"

using namespace sextant;
using namespace sextant::test;

namespace {

// What a user writes who needs neither a name nor a formula.
struct halving {
  static constexpr part answers = part::forget_gate;
  static constexpr per raw = per::head;
  template <class Real> SEXTANT_FN Real operator()(Real x) const { return x > Real(0) ? Real(0.5) : Real(1); }
};
struct shifted {
  static constexpr part answers = part::feature_map;
  float by = 1;
  template <class Real> SEXTANT_FN Real operator()(Real x) const { return x + Real(by); }
};
struct doubled_input {
  static constexpr part answers = part::input_gate;
  template <class Real> SEXTANT_FN Real operator()() const { return Real(2); }
};

template <class Design> void every_form_agrees(const char* name, const Design& d) {
  for (bool from_a_state : {false, true}) {
    wishes w = everyday_wishes<Design>();
    w.initial_state = from_a_state;
    each_form<Design>([&](const auto& form) {
      INFO(std::string(name), ", ", std::string(form.name));
      CHECK(error_of<fp32>(d, everyday_shape<Design>(), w, form).worst() <= tolerance<fp32>);
      CHECK(error_of<bf16>(d, everyday_shape<Design>(), w, form).worst() <= tolerance<bf16>);
    });
  }
}

}  // namespace

TEST_CASE("a gate and a map of a few lines, in every form") {
  static_assert(component<halving> && gate<halving> && feature_map<shifted> && gate<doubled_input>);
  constexpr auto base = linear_attention.with(norm::none{});
  every_form_agrees("halving", base.with(halving{}));
  every_form_agrees("halving, normalised", linear_attention.with(halving{}));
  every_form_agrees("halving, stabilised", base.with(halving{}, norm::abs_max{}));
  every_form_agrees("halving, reversed", base.with(halving{}, order::reversed{}));
  every_form_agrees("shifted map", base.with(shifted{.by = 0.5f}));
  every_form_agrees("doubled input", base.with(doubled_input{}, forget::constant{}));
}

TEST_CASE("a gate's run-time number is the one that the design carries at the call") {
  auto d = linear_attention.with(norm::none{}, map::identity{}, invented::fixed_forget{});
  const shape s{.T = 3, .K = 1, .V = 1};
  for (float kept : {1.0f, 0.5f, 0.0f}) {
    d.forget_gate.kept = kept;
    auto p = make_problem<fp32>(d, s);
    for (std::size_t which = 1; which <= 3; ++which)
      for (float& e : p.tokens[which]) e = 1;
    each_form<decltype(d)>([&](const auto& form) {
      INFO(std::string(form.name));
      p.poison();
      CHECK(bool(run(p, form, cpu::serial{})));
      CHECK(p.y()[0] == 1);
      CHECK(p.y()[1] == 1 + kept);
      CHECK(p.y()[2] == 1 + kept * (1 + kept));
    });
  }
}

TEST_CASE("two designs of one type with different numbers do not mix") {
  auto slow = linear_attention.with(norm::none{}, map::identity{}, invented::gaussian{.sharpness = 0.25f});
  auto quick = slow;
  quick.forget_gate.sharpness = 4;
  every_form_agrees("slow", slow);
  every_form_agrees("quick", quick);
  auto a = make_problem<fp32>(slow, everyday_shape<decltype(slow)>());
  auto b = make_problem<fp32>(quick, everyday_shape<decltype(slow)>());
  CHECK(bool(run(a, form::automatic{}, cpu::serial{})));
  CHECK(bool(run(b, form::automatic{}, cpu::serial{})));
  CHECK(compare(a, b).y > 0.01);
}
