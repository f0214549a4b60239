// SPDX-License-Identifier: Apache-2.0
/// @file  The first law: all forms of a design are equal up to rounding, on every backend and in every precision.
#pragma once

#include <vector>  // vector

#include <doctest/doctest.h>

#include "cases.hpp"
#include "forms.hpp"

namespace sextant::test {

/// A shape and what is wished of it.
struct occasion {
  const char* name;
  shape size;
  wishes wish;
};

/// The everyday shape; nothing and next to nothing; lengths around a tile's and a chunk's; widths around a vector's.
inline std::vector<occasion> occasions(const shape& s, const wishes& w, bool is_picture, bool turns) {
  std::vector<occasion> all{{"everyday", s, w}};
  const auto next = [&](const char* name) -> occasion& { return all.emplace_back(occasion{name, s, w}); };
  next("from a state").wish.initial_state = true;
  occasion& no_token = next("no token");
  no_token.size.T = 0, no_token.wish.initial_state = true;
  next("no batch").size.B = 0;
  next("one token").size.T = 1;
  next("one channel").size.V = 1;
  if (!turns) next("one key").size.K = 1;
  occasion& many = next("many tokens");
  many.size.B = 1, many.size.T = 150, many.wish.initial_state = true;
  occasion& wide = next("wide");
  wide.size.B = 1, wide.size.T = 24, wide.size.K = 16, wide.size.V = 48;
  occasion& strong = next("strong gates");
  strong.wish.gate_size = 6, strong.wish.rate_size = 6;
  if (!is_picture) {
    occasion& packed = next("packed");
    packed.size.B = 1, packed.size.T = 60, packed.wish.offsets = {0, 0, 17, 18, 18, 60};
    packed.wish.initial_state = true;
  }
  for (occasion& o : all) o.size.grid_width = o.size.T == 0 ? 0 : o.size.T % 6 == 0 ? 6 : o.size.T;
  return all;
}

/// Whose answer is looked at.
struct respondent {
  const char *design, *occasion, *precision, *form;
  int threads;
};
inline void check_answer(const respondent& r, const status& done, const errors& e, double bound) {
  INFO(r.design, ", ", r.occasion, ", ", r.precision, ", ", r.form, ", threads: ", r.threads);
  CHECK_MESSAGE(bool(done), done.what);
  CHECK(e.y <= bound);
  CHECK(e.S <= bound);
  CHECK(e.z <= bound);
  CHECK(e.m <= bound);
}
/// Every form that runs the design (`runs`), on cpu::serial and on cpu::parallel, chunks of several lengths.
template <class P> void check_planned(const respondent& who, const cpu::plan<typename P::accumulator>& plan,
                                      const bool* runs, tensors<P>& answer, tensors<fp64>& judge, bool has_z, bool has_m) {
  for (const auto& form : planned_forms<typename P::accumulator>) {
    const bool chunked = std::strcmp(form.name, "chunked") == 0;
    if (!*runs++ || form.run == nullptr) continue;
    for (int threads : {0, 3})
      for (index_t chunk : {0, 1, 5, 64}) {
        if (chunk != 0 && (!chunked || threads != 0)) continue;
        auto p = plan;
        p.chunk_length = chunk;
        answer.poison();
        const status done = form.run(p, threads);
        check_answer({who.design, who.occasion, who.precision, form.name, threads}, done,
                     compare_tensors<P, fp64>(answer, judge, has_z, has_m), tolerance<P>);
      }
  }
}

/// Holds every form on both backends against the reference in float64, and so the forms against one another. `Judge` is
/// the same problem in float64, rounded as `Precision` is stored.
template <class Precision, class Design>
void check_forms(const char* name, const Design& design, const occasion& o, tensors<fp64>& judge) {
  auto answer = make_problem<Precision, storage_of<Precision>>(design, o.size, o.wish);
  status found;
  const auto plan = cpu::make_plan(answer.design, answer.x, found);
  const respondent who{name, o.name, precision_name<Precision>, "automatic", 0};
  check_answer(who, found, {}, 0);
  check_planned<Precision>(who, plan, planned_form_runs<Design>, answer, judge,
                           requires { answer.x.final_state.z; }, requires { answer.x.final_state.m; });
  answer.poison();
  const status done = run(answer, form::automatic{}, cpu::serial{});
  check_answer(who, done, compare(answer, judge), tolerance<Precision>);
}
template <class Through, class Design>
problem<Design, fp64> judged(const Design& design, const occasion& o) {
  auto judge = make_problem<fp64, Through>(design, o.size, o.wish);
  reference::recurrent(judge.design, judge.x);
  return judge;
}
template <class Design> void check_forms_in_every_precision(const char* name, const Design& design) {
  constexpr bool is_picture = requires(sequence<Design> x) { x.grid; };
  constexpr bool turns = !std::is_same_v<typename Design::position_type, position::none>;
  for (const occasion& o : occasions(everyday_shape<Design>(), everyday_wishes<Design>(), is_picture, turns)) {
    auto judge = judged<float>(design, o);
    check_forms<fp32>(name, design, o, judge);
    check_forms<fp64>(name, design, o, judge);
    judge = judged<bfloat16>(design, o);
    check_forms<bf16>(name, design, o, judge);
    judge = judged<float16>(design, o);
    check_forms<fp16>(name, design, o, judge);
  }
}

}  // namespace sextant::test
