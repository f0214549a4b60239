// SPDX-License-Identifier: Apache-2.0
/// @file  Every design of one input gate, forget gate and order, each held against the reference in float64.
#pragma once

#include <utility>  // integer_sequence

#include <doctest/doctest.h>

#include "cases.hpp"
#include "forms.hpp"
#include "product.hpp"

namespace sextant::test {

inline constexpr int planned_form_count = int(std::size(planned_forms<float>));

/// What was found of some designs.
struct tally {
  int designs = 0, agreed = 0;
  double worst = 0;                                             ///< of the verb forward(), in the recurrent form
  int runs[planned_form_count] = {};                            ///< designs that a form runs
  double worst_of[planned_form_count] = {};
};

/// Adds to what the whole program found.
void add(const tally& found);

/// An answer of one design, and whether it agrees.
struct answer_of {
  const char *shortcut, *norm, *heads, *map, *form;
  index_t T;
};
inline bool agrees(const answer_of& who, const status& done, const errors& e, double& worst) {
  INFO("shortcut ", std::string(who.shortcut), ", norm ", std::string(who.norm), ", heads ", std::string(who.heads),
       ", map ", std::string(who.map), ", form ", std::string(who.form), ", T = ", who.T);
  CHECK_MESSAGE(bool(done), done.what);
  CHECK(e.y <= tolerance<fp32>);
  CHECK(e.S <= tolerance<fp32>);
  CHECK(e.z <= tolerance<fp32>);
  CHECK(e.m <= tolerance<fp32>);
  const double most = e.worst();
  if (!(most <= worst)) worst = most;
  return bool(done) && most <= tolerance<fp32>;
}

/// One token; a picture of 2 by 3; one of 5 by 4, more than a tile of tokens, with a state before it.
inline constexpr shape product_shapes[] = {{.B = 1, .T = 1, .K = 3, .V = 3, .grid_width = 1},
                                           {.B = 1, .T = 6, .K = 3, .V = 3, .grid_width = 3},
                                           {.B = 2, .T = 20, .K = 3, .V = 3, .grid_width = 4}};
inline constexpr int product_shape_count = int(std::size(product_shapes));
inline wishes product_wishes(const shape& s) { return {.initial_state = s.T == 20, .positive_keys = true}; }

/// The forms that run a design, each on the plan of one call.
inline bool hold_forms(tally& found, answer_of who, const cpu::plan<float>& plan, const bool* form_runs,
                       tensors<fp32>& answer, tensors<fp64>& judge, bool has_z, bool has_m) {
  bool all = true;
  for (int i = 0; i < planned_form_count; ++i) {
    const planned_form<float>& form = planned_forms<float>[i];
    if (!form_runs[i]) continue;
    answer.poison();
    who.form = form.name;
    const status done = form.run(plan, 0);
    all &= agrees(who, done, compare_tensors<fp32, fp64>(answer, judge, has_z, has_m), found.worst_of[i]);
  }
  return all;
}

/// A design by the verb forward() in the recurrent form, and by every form that runs it, in fp32.
template <class Design, class Judged> void hold(tally& found, const Design& design, problem<Judged, fp64>* judges) {
  bool all = true;
  for (int i = 0; i < product_shape_count; ++i) {
    auto& judge = judges[i];
    auto answer = make_problem<fp32>(design, judge.size, product_wishes(judge.size));
    const answer_of who{Design::shortcut_type::name, Design::norm_type::name, Design::heads_type::name,
                        Design::map_type::name, "recurrent, by forward()", judge.size.T};
    const status done = run(answer, form::recurrent{}, cpu::serial{});
    all &= agrees(who, done, compare(answer, judge), found.worst);
    status planned;
    const auto plan = cpu::make_plan(answer.design, answer.x, planned);
    all &= hold_forms(found, who, plan, planned_form_runs<Design>, answer, judge,
                      requires { answer.x.final_state.z; }, requires { answer.x.final_state.m; });
  }
  ++found.designs;
  found.agreed += all;
  for (int i = 0; i < planned_form_count; ++i)
    found.runs[i] += planned_form_runs<Design>[i];
}

/// Designs that differ in their heads alone have one formula: the reference is instantiated for heads::grouped, which
/// allows any number of heads.
template <int Input, int Forget, int Shortcut, int Norm, int Heads, int Map, int Order> void hold_design(tally& found) {
  using Design = product_design<Input, Forget, Shortcut, Norm, Heads, Map, Order>;
  using Judged = product_design<Input, Forget, Shortcut, Norm, heads_axis::size - 1, Map, Order>;
  static_assert(std::is_same_v<typename Judged::heads_type, heads::grouped>);
  problem<Judged, fp64> judges[product_shape_count];
  for (int i = 0; i < product_shape_count; ++i) {
    const shape s = heads_for<Design>(product_shapes[i]);
    judges[i] = make_problem<fp64>(Judged{}, s, product_wishes(s));
    reference::recurrent(judges[i].design, judges[i].x);
  }
  hold(found, Design{}, judges);
}

template <int Input, int Forget, int Order, int Index> void hold_index(tally& found) {
  constexpr int heads = Index % heads_axis::size, rest = Index / heads_axis::size;
  constexpr int map = rest % map_axis::size, norm = rest / map_axis::size % norm_axis::size;
  constexpr int shortcut = rest / map_axis::size / norm_axis::size;
  if constexpr (product_fits<Input, Forget, norm, Order>)
    hold_design<Input, Forget, shortcut, norm, heads, map, Order>(found);
}
template <int Input, int Forget, int Order, int... Index>
tally hold_all(std::integer_sequence<int, Index...>) {
  tally found;
  (hold_index<Input, Forget, Order, Index>(found), ...);
  return found;
}
/// All designs of one input gate, forget gate and order.
template <int Input, int Forget, int Order> tally hold_shard() {
  constexpr int count = heads_axis::size * map_axis::size * norm_axis::size * shortcut_axis::size;
  return hold_all<Input, Forget, Order>(std::make_integer_sequence<int, count>{});
}

}  // namespace sextant::test
