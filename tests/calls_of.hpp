// SPDX-License-Identifier: Apache-2.0
/// @file  Cases of the table from their designs; only the files of sextant_calls include this.
#pragma once

#include <utility>  // move

#include "calls.hpp"

namespace sextant::test {

template <class Design, class Precision> struct call_of final : call<Precision> {
  problem<Design, Precision> p;

  explicit call_of(problem<Design, Precision>&& made) : p(std::move(made)) {
    this->size = p.size;
    this->numbers = &p;
    this->plan = cpu::make_plan(p.design, p.x, this->planned);
  }
  status forward() override { return run(p, form::automatic{}, cpu::serial{}); }
};

template <class Design> struct case_of final : any_case {
  Design design;

  case_of(const char* its_name, const Design& d) : design(d) {
    name = its_name;
    everyday = everyday_shape<Design>();
    wish = everyday_wishes<Design>();
    runs = planned_form_runs<Design>;
    has_z = requires(state<Design> x) { x.z; };
    has_m = requires(state<Design> x) { x.m; };
    is_picture = requires(sequence<Design> x) { x.grid; };
    is_local = std::is_same_v<typename Design::shortcut_type, shortcut::local>;
    turns = has_pairs<Design>;
  }
  template <class Precision> std::unique_ptr<call<Precision>> made(const shape& s, const wishes& w) const {
    return std::make_unique<call_of<Design, Precision>>(
        make_problem_through<Precision>(&rounded_through<storage_of<Precision>>, design, s, w));
  }
  std::unique_ptr<call<fp32>> make(fp32, const shape& s, const wishes& w) const override { return made<fp32>(s, w); }
  std::unique_ptr<call<fp64>> make(fp64, const shape& s, const wishes& w) const override { return made<fp64>(s, w); }
  std::unique_ptr<call<bf16>> make(bf16, const shape& s, const wishes& w) const override { return made<bf16>(s, w); }
  std::unique_ptr<call<fp16>> make(fp16, const shape& s, const wishes& w) const override { return made<fp16>(s, w); }
  std::shared_ptr<tensors<fp64>> judge(float (*through)(float), const shape& s, const wishes& w) const override {
    auto p = std::make_shared<problem<Design, fp64>>(make_problem_through<fp64>(through, design, s, w));
    reference::recurrent(p->design, p->x);
    return p;
  }
};

/// A visitor that adds what it sees to a list.
inline auto adding_to(case_list& list) {
  return [&list](const char* name, const auto& design) {
    list.push_back(std::make_unique<case_of<std::remove_cvref_t<decltype(design)>>>(name, design));
  };
}

}  // namespace sextant::test
