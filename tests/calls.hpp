// SPDX-License-Identifier: Apache-2.0
/// @file  The table of cases with their types forgotten: what a law needs of a design, compiled once for all laws.
/// What includes this links sextant_calls.
#pragma once

#include <memory>  // shared_ptr, unique_ptr
#include <string>  // string
#include <vector>  // vector

#include "cases.hpp"
#include "forms.hpp"

namespace sextant::test {

/// A call of some design in one precision: its numbers and its plan.
template <class Precision> struct call {
  using real = typename Precision::accumulator;
  shape size;
  tensors<Precision>* numbers = nullptr;
  cpu::plan<real> plan;
  status planned;

  virtual ~call() = default;
  /// The public verb on cpu::serial, in the form chosen for the design.
  virtual status forward() = 0;
};

/// A design of the table.
struct any_case {
  std::string name;
  shape everyday;
  wishes wish;
  const bool* runs = nullptr;  ///< which of the planned forms run it
  bool has_z = false, has_m = false, is_picture = false, is_local = false, turns = false;  // turns: pairs of keys

  virtual ~any_case() = default;
  virtual std::unique_ptr<call<fp32>> make(fp32, const shape& s, const wishes& w) const = 0;
  virtual std::unique_ptr<call<fp64>> make(fp64, const shape& s, const wishes& w) const = 0;
  virtual std::unique_ptr<call<bf16>> make(bf16, const shape& s, const wishes& w) const = 0;
  virtual std::unique_ptr<call<fp16>> make(fp16, const shape& s, const wishes& w) const = 0;
  /// The reference's answer in float64, on numbers that survive the rounding.
  virtual std::shared_ptr<tensors<fp64>> judge(float (*through)(float), const shape& s, const wishes& w) const = 0;

  /// The everyday call.
  std::unique_ptr<call<fp32>> make() const { return make(fp32{}, everyday, wish); }
};
using case_list = std::vector<std::unique_ptr<any_case>>;

/// The designs of the literature, of the ablation, and the invented ones.
const case_list& named_cases();
/// Those of the literature, each with every single switch the other way.
const case_list& flipped_attention_cases();
const case_list& flipped_state_space_cases();
const case_list& flipped_gated_cases();

/// The whole table.
template <class Visit> void each_case(const Visit& visit) {
  for (auto* list : {&named_cases, &flipped_attention_cases, &flipped_state_space_cases, &flipped_gated_cases})
    for (const auto& c : list()) visit(*c);
}

}  // namespace sextant::test
