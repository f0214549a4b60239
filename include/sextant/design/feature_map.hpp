// SPDX-License-Identifier: Apache-2.0
/// @file  The feature map of queries and keys: pointwise, or an expansion to more keys.
#pragma once

#include <sextant/design/part.hpp>
#include <sextant/math/functions.hpp>

namespace sextant {

namespace detail {
template <class M> concept pointwise_map = component<M> && requires(const M m, double x) { m(x); };
template <class M>
concept expanding_map = component<M> && requires(const M m, const double* x, index_t K, double* phi) {
  requires std::is_convertible_v<decltype(M::width(K)), index_t>;
  m.expand(x, K, phi);
};
}  // namespace detail

/// A feature map phi is either pointwise, phi(x)_n = m(x_n), or an expansion of K numbers to width(K):
///
///     static constexpr index_t width(index_t K);                    // keys of the state
///     template <class Real> void expand(const Real* x, index_t K, Real* phi) const;
///
/// Either may scale the keys alone before the map: `template <class Real> Real key_scale(index_t K) const`.
/// An expansion may say what it does to products, phi(q).phi(k) as a function of q.k, so that a form that computes
/// scores needs no expanded rows for them: `template <class Real> Real product(Real dot) const`; and what its number
/// `at` alone is, so that many threads of a GPU share its work: `template <class Real> Real element(const Real* x,
/// index_t K, index_t at) const`.
template <class M> concept feature_map = detail::pointwise_map<M> || detail::expanding_map<M>;

/// The number of keys of the state for q and k of K numbers.
template <class M> SEXTANT_FN constexpr index_t state_width(index_t K) {
  if constexpr (detail::expanding_map<M>) return M::width(K);
  else return K;
}
/// What the keys alone are multiplied by before the map: 1 unless the map says otherwise.
template <class Real, class M> SEXTANT_FN constexpr Real key_scale(const M& m, index_t K) {
  if constexpr (requires { m.template key_scale<Real>(K); }) return m.template key_scale<Real>(K);
  else return (void)m, (void)K, Real(1);
}

}  // namespace sextant

/// Feature maps phi, applied to q and k.
namespace sextant::map {

/// phi(x) = x.
struct identity {
  static constexpr part answers = part::feature_map;
  static constexpr const char* name = "identity";
  static constexpr const char* formula = "phi(x) = x";
  static constexpr bool vectorised = true;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const { return x; }
};

/// phi(x) = elu(x) + 1 = x + 1 for x > 0, exp(x) otherwise (Katharopoulos et al. 2020).
struct elu_plus_one {
  static constexpr part answers = part::feature_map;
  static constexpr const char* name = "elu_plus_one";
  static constexpr const char* formula = "phi(x) = elu(x) + 1";
  static constexpr bool vectorised = true;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const {
    return math::select(x > Real(0), x + Real(1), math::exp(x));
  }
};

/// phi(x) = max(x, 0).
struct relu {
  static constexpr part answers = part::feature_map;
  static constexpr const char* name = "relu";
  static constexpr const char* formula = "phi(x) = max(x, 0)";
  static constexpr bool vectorised = true;
  template <class Real> SEXTANT_FN constexpr Real operator()(Real x) const {
    return math::select(x < Real(0), Real(0), x);
  }
};

/// phi(x)_(i,j) = x_i x_j (sqrt 2 unless i = j), i <= j, row by row: phi(q).phi(k) = (q.k)^2, K (K + 1) / 2 keys
/// (2Mamba's second-order state, arXiv 2602.17363).
struct squared {
  static constexpr part answers = part::feature_map;
  static constexpr const char* name = "squared";
  static constexpr const char* formula = "phi(x)_(i<=j) = x_i x_j (sqrt 2 if i < j): phi(q).phi(k) = (q.k)^2";
  bool scale_keys = false;  ///< multiply k by K^-0.5 first, as 2Mamba does
  static constexpr index_t width(index_t K) { return K * (K + 1) / 2; }
  template <class Real> SEXTANT_FN void expand(const Real* x, index_t K, Real* phi) const {
    const Real root_two = math::sqrt(Real(2));
    for (index_t i = 0; i < K; ++i) {
      *phi++ = x[i] * x[i];
      for (index_t j = i + 1; j < K; ++j) *phi++ = root_two * x[i] * x[j];
    }
  }
  /// Number `at` of phi alone: row i begins at i K - i (i - 1) / 2.
  template <class Real> SEXTANT_FN Real element(const Real* x, index_t K, index_t at) const {
    index_t i = 0, left = at;
    for (; left >= K - i; ++i) left -= K - i;
    return left == 0 ? x[i] * x[i] : math::sqrt(Real(2)) * x[i] * x[i + left];
  }
  template <class Real> SEXTANT_FN constexpr Real product(Real dot) const { return dot * dot; }
  template <class Real> SEXTANT_FN Real key_scale(index_t K) const {
    return Real(scale_keys && K > 0 ? 1 / math::sqrt(double(K)) : 1);
  }
};

}  // namespace sextant::map
