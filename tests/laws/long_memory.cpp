// SPDX-License-Identifier: Apache-2.0
/// @file  Long memories. A gate F near 1 is known to half an ulp, and over the 1 / (1 - F) tokens that a head remembers the
/// powers of F multiply that error: the recurrence itself can do no better. The chunked form, whose decays are logarithms
/// in float64, can.
#include "laws/law.hpp"

#include <cmath>  // exp, fmin

using namespace sextant;
using namespace sextant::test;

TEST_CASE("a constant gate's error is bounded by its memory times an ulp, and in the chunked form by the tolerance") {
  const shape s{.B = 1, .T = 2000, .Hk = 1, .H = 1, .K = 8, .V = 8};
  auto judge = make_problem<fp64>(retnet, s);
  auto p = make_problem<fp32>(retnet, s);
  for (float a : {-0.5f, -0.111f, -0.0301f, -0.0097f, -0.00237f, -0.00059f, -0.000125f}) {
    p.parameters[0][0] = a;
    judge.parameters[0][0] = double(a);
    reference::recurrent(judge.design, judge.x);
    const double memory = std::fmin(1 / (1 - std::exp(double(a))), double(s.T));
    each_form<std::remove_const_t<decltype(retnet)>>([&](const auto& form) {
      using Form = std::remove_cvref_t<decltype(form)>;
      INFO("rate ", a, ", ", std::string(form.name));
      p.poison();
      CHECK(bool(run(p, form, cpu::serial{})));
      const double bound = std::is_same_v<Form, form::chunked> ? tolerance<fp32> : tolerance<fp32> + memory * 6e-8;
      const errors e = compare(p, judge);
      CHECK(e.y <= bound);
      CHECK(e.S <= bound);
    });
  }
}

TEST_CASE("RetNet's own rates, up to a memory of 2^12 tokens") {
  const shape s{.B = 1, .T = 4096, .Hk = 8, .H = 8, .K = 8, .V = 8};
  auto judge = make_problem<fp64>(retnet, s);
  auto p = make_problem<fp32>(retnet, s);
  p.x.a = {}, judge.x.a = {};
  reference::recurrent(judge.design, judge.x);
  // 1 - 2^-n is exact. The recurrence rounds S once for every token, and 4096 roundings of 6e-8 walk some 4e-6 away.
  // The chunked form rounds once a chunk, S and what is kept of it: the last head remembers 85 chunks of 48 tokens, and
  // half an ulp of 3e-8 in the same direction each time is 2.6e-6.
  CHECK(bool(run(p, form::chunked{}, cpu::serial{})));
  CHECK(compare(p, judge).worst() <= tolerance<fp32> + 85 * 3e-8);
  CHECK(bool(run(p, form::recurrent{}, cpu::serial{})));
  CHECK(compare(p, judge).worst() <= 5 * tolerance<fp32>);
}
