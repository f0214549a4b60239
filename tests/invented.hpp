// SPDX-License-Identifier: Apache-2.0
/// @file  Parts that a user might invent: every granularity, value and logarithm, with numbers and without, with branches.
#pragma once

#include <sextant/design/presets.hpp>

namespace sextant::test::invented {

/// A value form that reads its own tensor per channel, for vectors too: I = x where x > 0, x / 8 elsewhere.
struct leaky_input {
  static constexpr part answers = part::input_gate;
  static constexpr const char* name = "leaky_input";
  static constexpr const char* formula = "I = x if x > 0, x / 8 elsewhere";
  static constexpr bool vectorised = true;
  static constexpr per raw = per::channel;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const {
    return math::select(x > Real(0), x, x * Real(0.125));
  }
};

/// A run-time number and nothing read: I = amount.
struct fixed_input {
  static constexpr part answers = part::input_gate;
  static constexpr const char* name = "fixed_input";
  static constexpr const char* formula = "I = amount";
  float amount = 0.75f;
  template <class Real> SEXTANT_FN constexpr Real operator()() const { return Real(amount); }
};

/// A value form per head with a branch, one number at a time: F = 1 / (1 + x^2) where x < 0, 1 / (1 + x / 4) elsewhere.
struct branching {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "branching";
  static constexpr const char* formula = "F = 1 / (1 + x^2) if x < 0, 1 / (1 + x / 4) elsewhere";
  static constexpr per raw = per::head;
  template <class Real> SEXTANT_FN Real operator()(Real x) const {
    if (x < Real(0)) return Real(1) / (Real(1) + x * x);
    return Real(1) / (Real(1) + x * Real(0.25));
  }
};

/// A run-time number and nothing read, as a value: F = kept.
struct fixed_forget {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "fixed_forget";
  static constexpr const char* formula = "F = kept";
  float kept = 0.875f;
  template <class Real> SEXTANT_FN constexpr Real operator()() const { return Real(kept); }
};

/// A logarithm per key with a run-time number: log F = -sharpness x^2.
struct gaussian {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "gaussian";
  static constexpr const char* formula = "F = exp(-sharpness x^2)";
  static constexpr bool vectorised = true;
  static constexpr per raw = per::key;
  float sharpness = 0.5f;
  template <class Real> SEXTANT_FN constexpr Real log(Real x) const { return -Real(sharpness) * x * x; }
};

/// A tensor per head and a rate per key: F = exp(a_k x^2), which varies over keys.
struct rated_keys {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "rated_keys";
  static constexpr const char* formula = "F = exp(a_k x^2)";
  static constexpr bool vectorised = true;
  static constexpr per raw = per::head;
  static constexpr per rate = per::key;
  template <class Real> SEXTANT_FN constexpr Real log(Real x, Real a) const { return a * x * x; }
};

/// The step size per head and a rate per key, as a value: F = 1 / (1 - a_k delta).
struct stepped_keys {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "stepped_keys";
  static constexpr const char* formula = "F = 1 / (1 - a_k delta)";
  static constexpr bool vectorised = true;
  static constexpr per raw = per::head;
  static constexpr source reads = source::step;
  static constexpr per rate = per::key;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real delta, Real a) const {
    return Real(1) / (Real(1) - a * delta);
  }
};

/// A tensor per key and a rate per channel, which together vary over both: F = sigmoid(x + a_v).
struct crossed {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "crossed";
  static constexpr const char* formula = "F = sigmoid(x_k + a_v)";
  static constexpr bool vectorised = true;
  static constexpr per raw = per::key;
  static constexpr per rate = per::channel;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x, Real a) const { return math::sigmoid(x + a); }
};

/// A tensor per channel, one number at a time, as a value: F = 0 where |x| < 0.1, else sigmoid(2 x).
struct cutting {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "cutting";
  static constexpr const char* formula = "F = 0 if |x| < 0.1, else sigmoid(2 x)";
  static constexpr per raw = per::channel;
  template <class Real> SEXTANT_FN Real operator()(Real x) const {
    if (math::abs(x) < Real(0.1)) return Real(0);
    return math::sigmoid(Real(2) * x);
  }
};

/// A tensor per key and channel, one number at a time: F = 1 / (1 + |x|).
struct dense {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "dense";
  static constexpr const char* formula = "F = 1 / (1 + |x|)";
  static constexpr per raw = per::key_channel;
  template <class Real> SEXTANT_FN Real operator()(Real x) const { return Real(1) / (Real(1) + math::abs(x)); }
};

/// A rate alone, per channel: F = exp(a_v), the same for every token.
struct channel_rates {
  static constexpr part answers = part::forget_gate;
  static constexpr const char* name = "channel_rates";
  static constexpr const char* formula = "F = exp(a_v)";
  static constexpr bool vectorised = true;
  static constexpr per rate = per::channel;
  template <class Real> SEXTANT_FN constexpr Real log(Real a) const { return a; }
};

/// A pointwise map with a run-time number: phi(x) = log(1 + exp(sharpness x)).
struct soft_map {
  static constexpr part answers = part::feature_map;
  static constexpr const char* name = "soft_map";
  static constexpr const char* formula = "phi(x) = softplus(sharpness x)";
  static constexpr bool vectorised = true;
  float sharpness = 2;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return math::softplus(Real(sharpness) * x); }
};

/// A pointwise map with a branch, one number at a time: phi(x) = x^2 where x > 0, -x / 2 elsewhere.
struct folded_map {
  static constexpr part answers = part::feature_map;
  static constexpr const char* name = "folded_map";
  static constexpr const char* formula = "phi(x) = x^2 if x > 0, -x / 2 elsewhere";
  template <class Real> SEXTANT_FN Real operator()(Real x) const {
    if (x > Real(0)) return x * x;
    return x * Real(-0.5);
  }
};

/// An expansion, with keys halved first: phi(x) = (1, x, x^2), 1 + 2 K keys.
struct taylor_map {
  static constexpr part answers = part::feature_map;
  static constexpr const char* name = "taylor_map";
  static constexpr const char* formula = "phi(x) = (1, x, x^2)";
  static constexpr index_t width(index_t K) { return 1 + 2 * K; }
  template <class Real> SEXTANT_FN void expand(const Real* x, index_t K, Real* phi) const {
    phi[0] = Real(1);
    for (index_t i = 0; i < K; ++i) phi[1 + i] = x[i], phi[1 + K + i] = x[i] * x[i];
  }
  template <class Real> SEXTANT_FN Real key_scale(index_t) const { return Real(0.5); }
};

/// A discretisation, Euler's explicit rule.
struct euler {
  static constexpr const char* name = "diagonal_euler";
  static constexpr const char* formula = "x <- (1 + delta a) x + delta b v";
  template <class Real> SEXTANT_FN discretised<Real> operator()(const Real& delta, const complex<Real>& a) const {
    return {complex<Real>{Real(1), Real(0)} + delta * a, complex<Real>{delta, Real(0)}};
  }
};

}  // namespace sextant::test::invented
