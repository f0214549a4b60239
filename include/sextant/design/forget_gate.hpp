// SPDX-License-Identifier: Apache-2.0
/// @file  Distinction 2, the forget gate: what multiplies the state before a token is added.
#pragma once

#include <sextant/design/discretisation.hpp>
#include <sextant/design/part.hpp>
#include <sextant/math/functions.hpp>

/// Forget gates F_t: S_t = F_t (.) S_{t-1} + ... They vary over nothing, heads, keys, channels, or keys and channels.
namespace sextant::forget {

/// F = 1: nothing is forgotten (linear attention).
struct one {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "one";
  static constexpr const char* formula = "F = 1";
  static constexpr bool vectorised = true;
  template <class Real> SEXTANT_FN constexpr Real operator()() const { return Real(1); }
  template <class Real> SEXTANT_FN constexpr Real log() const { return Real(0); }
};

/// F = exp(a_h), the same for every token: a [H] is a log decay; where it is absent, RetNet's log(1 - 2^(-5-h))
/// (Sun et al. 2023, arXiv 2307.08621).
struct constant {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "constant";
  static constexpr const char* formula = "F = exp(a_h), a_h = log(1 - 2^(-5-h)) if absent";
  static constexpr bool vectorised = true;
  static constexpr bool proportional = true;
  static constexpr per rate = per::head;
  template <class Real> SEXTANT_FN constexpr Real log(Real a) const { return a; }
  /// The rate of head h where the caller gives none.
  template <class Real> SEXTANT_FN static Real default_rate(index_t h) {
    Real gap = Real(1) / Real(32);
    for (index_t i = 0; i < h; ++i) gap /= Real(2);
    return math::log1p(-gap);
  }
};

/// F = exp(a_h delta), delta = softplus(dt + bias), per head (Mamba-2: Dao and Gu 2024, arXiv 2405.21060).
struct exponential {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "exponential";
  static constexpr const char* formula = "F = exp(a_h delta), delta = softplus(dt + bias)";
  static constexpr bool vectorised = true;
  static constexpr bool proportional = true;
  static constexpr per raw = per::head;
  static constexpr source reads = source::step;
  static constexpr per rate = per::head;
  template <class Real> SEXTANT_FN constexpr Real log(Real delta, Real a) const { return a * delta; }
};

/// F = exp(forget): the gate is given as a natural logarithm, per head (simple GLA) or per key (the kernels of GLA).
template <per Varies = per::head> struct log_decay {
  static_assert(Varies != per::nothing, "forget::log_decay reads a tensor: per head, key, channel, or key and channel");
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = Varies == per::head  ? "log_decay_head"
                                      : Varies == per::key ? "log_decay_key"
                                      : Varies == per::channel ? "log_decay_channel" : "log_decay_key_channel";
  static constexpr const char* formula = "F = exp(forget)";
  static constexpr bool vectorised = true;
  static constexpr per raw = Varies;
  template <class Real> SEXTANT_FN constexpr Real log(Real x) const { return x; }
};

/// F = sigmoid(forget)^(1/temperature), per key (GLA: Yang et al. 2024, arXiv 2312.06635, with temperature 16), or per
/// head (mLSTM's forget gate, temperature 1).
template <per Varies = per::key> struct log_sigmoid {
  static_assert(Varies != per::nothing,
                "forget::log_sigmoid reads a tensor: per head, key, channel, or key and channel");
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = Varies == per::head  ? "log_sigmoid_head"
                                      : Varies == per::key ? "log_sigmoid"
                                      : Varies == per::channel ? "log_sigmoid_channel" : "log_sigmoid_key_channel";
  static constexpr const char* formula = "F = exp(log_sigmoid(forget) / temperature)";
  static constexpr bool vectorised = true;
  static constexpr per raw = Varies;
  float temperature = 1;
  template <class Real> SEXTANT_FN constexpr Real log(Real x) const {
    return math::log_sigmoid(x) * (Real(1) / Real(temperature));
  }
};

/// F = exp(a_hvk delta_hv), delta = softplus(dt + bias): per key and channel (Mamba, S6: Gu and Dao 2023,
/// arXiv 2312.00752, and the paper's forget gate).
struct selective {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "selective";
  static constexpr const char* formula = "F = exp(a_hvk delta_hv), delta = softplus(dt + bias)";
  static constexpr bool vectorised = true;
  static constexpr bool proportional = true;
  static constexpr per raw = per::channel;
  static constexpr source reads = source::step;
  static constexpr per rate = per::key_channel;
  template <class Real> SEXTANT_FN constexpr Real log(Real delta, Real a) const { return a * delta; }
};

/// F = exp(-softplus(forget)) = sigmoid(-forget), per head (2Mamba's A-mask: arXiv 2602.17363).
struct softplus {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "softplus";
  static constexpr const char* formula = "F = exp(-softplus(forget))";
  static constexpr bool vectorised = true;
  static constexpr per raw = per::head;
  template <class Real> SEXTANT_FN constexpr Real log(Real x) const { return -math::softplus(x); }
};

/// A diagonal state space that is the same for every token, of complex numbers (S4D: Gu et al. 2022, arXiv 2206.11893):
///   x_t = F x_{t-1} + B v_t,  y_t = 2 Re(sum_m c_m x_t,m) + shortcut
/// per channel, F and B from a, b and delta = exp(log_dt) by the discretisation. Neighbouring numbers (2m, 2m + 1) of K are
/// the real and imaginary part of pair m, which stands for itself and its conjugate: so are a, b, c and S in memory.
/// It takes the place of keys and queries too: b and c [H, V, K] are parameters.
template <class Discretisation = discretisation::zoh> struct diagonal {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = Discretisation::name;
  static constexpr const char* formula = Discretisation::formula;
  static constexpr per rate = per::key_channel;
  static constexpr bool time_invariant = true;
  Discretisation rule{};
  template <class Real> SEXTANT_FN discretised<Real> operator()(const Real& delta, const complex<Real>& a) const {
    return rule(delta, a);
  }
};

}  // namespace sextant::forget
