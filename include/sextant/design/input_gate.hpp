// SPDX-License-Identifier: Apache-2.0
/// @file  Distinction 1, the input gate: what multiplies v before it enters the state.
#pragma once

#include <sextant/design/part.hpp>
#include <sextant/math/functions.hpp>

/// Input gates I_t: v enters the state as I_t (.) v_t. They vary over nothing, heads or channels.
namespace sextant::input {

/// I = 1: linear attention.
struct one {
  static constexpr part answers = part::input_gate;
  static constexpr const char* name = "one";
  static constexpr const char* formula = "I = 1";
  static constexpr bool vectorised = true;
  template <class Real> SEXTANT_FN constexpr Real operator()() const { return Real(1); }
  template <class Real> SEXTANT_FN constexpr Real log() const { return Real(0); }
};

/// I = delta = softplus(dt + bias), the step size of a discretised state space model (Mamba: Gu and Dao 2023).
/// per::head as in Mamba-2, per::channel as in Mamba-1.
template <per Varies = per::head> struct softplus {
  static_assert(Varies == per::head || Varies == per::channel, "input::softplus varies per head or per channel");
  static constexpr part answers = part::input_gate;
  static constexpr const char* name = Varies == per::head ? "softplus_head" : "softplus_channel";
  static constexpr const char* formula = "I = delta = softplus(dt + bias)";
  static constexpr bool vectorised = true;
  static constexpr per raw = Varies;
  static constexpr source reads = source::step;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real delta) const { return delta; }
};

/// I = sigmoid(input), per head (mLSTM with sigmoid input gates).
struct sigmoid {
  static constexpr part answers = part::input_gate;
  static constexpr const char* name = "sigmoid";
  static constexpr const char* formula = "I = sigmoid(input)";
  static constexpr bool vectorised = true;
  static constexpr per raw = per::head;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return math::sigmoid(x); }
  template <class Real> SEXTANT_FN constexpr Real log(Real x) const { return math::log_sigmoid(x); }
};

/// I = exp(input), per head (mLSTM: Beck et al. 2024, arXiv 2405.04517).
struct exponential {
  static constexpr part answers = part::input_gate;
  static constexpr const char* name = "exponential";
  static constexpr const char* formula = "I = exp(input)";
  static constexpr bool vectorised = true;
  static constexpr per raw = per::head;
  template <class Real> SEXTANT_FN constexpr Real log(Real x) const { return x; }
};

}  // namespace sextant::input
