// SPDX-License-Identifier: Apache-2.0
/// @file  The recurrence, token by token: the definition of every design.
#pragma once

#include <cmath>   // cos, pow, sin
#include <vector>  // vector

#include <sextant/reference/state_space.hpp>
#include <sextant/reference/token.hpp>
#include <sextant/status.hpp>

namespace sextant::reference {

/// y and the final state of a call by the recurrence itself:
///   S_t = F_t (.) S_{t-1} + k_t^T (I_t (.) v_t),  z_t = F_t (.) z_{t-1} + k_t,  y_t = (scale q_t S_t) / den_t + shortcut
/// Every scalar type; cost O(B T H K' V) and an exp or more for each F and I that differ; deterministic. The shapes are the
/// caller's care.
template <class Design, class Precision>
void recurrent(const Design& design, const sequence_of<Design, Precision>& x) {
  using real = typename Precision::accumulator;
  using norm_type = typename Design::norm_type;
  const tokens<Design, Precision> token{design, x};
  const index_t K = token.width(), V = token.values();
  constexpr bool global = std::is_same_v<typename Design::order_type, order::global>;
  const real scale = real(design.scale(token.keys()));

  for (index_t n = 0; n < token.sequences(); ++n)
    for (index_t h = 0; h < token.heads(); ++h) {
      const index_t T = token.length(n);
      std::vector<std::vector<real>> S(std::size_t(K), std::vector<real>(std::size_t(V), real(0)));
      std::vector<real> z(std::size_t(K), real(0)), Iv(std::size_t(V), real(0)), qS(std::size_t(V), real(0));
      real m = real(0);
      for (index_t k = 0; k < K; ++k) {
        for (index_t v = 0; v < V; ++v)
          if (x.initial_state.S) S[std::size_t(k)][std::size_t(v)] = real(x.initial_state.S(n, h, k, v));
        if constexpr (detail::normalises<norm_type>)
          if (x.initial_state.z) z[std::size_t(k)] = real(x.initial_state.z(n, h, k));
      }
      if constexpr (detail::stabilises<Design>)
        if (x.initial_state.m) m = real(x.initial_state.m(n, h));

      const auto update = [&](index_t t) {
        const auto k_turned = token.turned_key(n, t, h), k_plain = token.key(n, t, h);
        real forgotten = real(1), entered = real(1);  // what abs_max's stabiliser makes of the two gates
        if constexpr (detail::stabilises<Design>) {
          const real log_f = token.log_forget(n, t, h), log_i = token.log_input(n, t, h);
          const real before = m;
          m = math::max(log_f + before, log_i);
          forgotten = math::exp(log_f + before - m);
          entered = math::exp(log_i - m);
        }
        for (index_t v = 0; v < V; ++v) {
          if constexpr (!detail::stabilises<Design>) entered = token.input(n, t, h, v);
          Iv[std::size_t(v)] = entered * token.value(n, t, h, v);
        }
        for (index_t k = 0; k < K; ++k) {
          const std::size_t i = std::size_t(k);
          for (index_t v = 0; v < V; ++v) {
            if constexpr (!detail::stabilises<Design>)
              if (v == 0 || token.forgets_by_channel) forgotten = token.forget(n, t, h, k, v);
            S[i][std::size_t(v)] = forgotten * S[i][std::size_t(v)] + k_turned[i] * Iv[std::size_t(v)];
          }
          if constexpr (detail::stabilises<Design>) z[i] = forgotten * z[i] + entered * k_plain[i];
          else if constexpr (detail::normaliser_decays<norm_type>) z[i] = token.forget(n, t, h, k, 0) * z[i] + k_plain[i];
          else z[i] = z[i] + k_plain[i];
        }
      };
      const auto read = [&](index_t t) {
        const auto q_turned = token.turned_query(n, t, h), q_plain = token.query(n, t, h);
        real qz = real(0), divisor = real(1);
        for (index_t k = 0; k < K; ++k) qz = qz + q_plain[std::size_t(k)] * z[std::size_t(k)];
        if constexpr (detail::stabilises<Design>)
          divisor = math::max(math::abs(scale * qz), math::exp(-m)) + real(design.norm.eps);
        else if constexpr (std::is_same_v<norm_type, norm::mean>) divisor = qz + real(double(T) * design.norm.eps);
        else if constexpr (detail::normalises<norm_type>) divisor = qz + real(design.norm.eps);
        for (real& sum : qS) sum = real(0);
        for (std::size_t k = 0; k < std::size_t(K); ++k)
          for (std::size_t v = 0; v < std::size_t(V); ++v) qS[v] = qS[v] + q_turned[k] * S[k][v];
        for (index_t v = 0; v < V; ++v) {
          const real y = scale * qS[std::size_t(v)] / divisor + token.shortcut(n, t, h, v);
          x.y(token.batch(n), token.place(n, t), h, v) = typename Precision::token(token.output(y, n, t, h, v));
        }
      };

      for (index_t t = 0; t < T; ++t) {
        update(t);
        if (!global) read(t);
      }
      if (global)
        for (index_t t = 0; t < T; ++t) read(t);

      for (index_t k = 0; k < K; ++k) {
        for (index_t v = 0; v < V; ++v)
          if (x.final_state.S) x.final_state.S(n, h, k, v) = typename Precision::state(S[std::size_t(k)][std::size_t(v)]);
        if constexpr (detail::normalises<norm_type>)
          if (x.final_state.z) x.final_state.z(n, h, k) = typename Precision::state(z[std::size_t(k)]);
      }
      if constexpr (detail::stabilises<Design>)
        if (x.final_state.m) x.final_state.m(n, h) = typename Precision::state(m);
    }
}

}  // namespace sextant::reference
