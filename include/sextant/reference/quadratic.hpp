// SPDX-License-Identifier: Apache-2.0
/// @file  The masked matrix of weights, pair by pair: the second definition of every design.
#pragma once

#include <vector>  // vector

#include <sextant/reference/state_space.hpp>
#include <sextant/reference/token.hpp>

namespace sextant::reference {

/// y of a call as masked attention (arXiv 2405.16605; math of any gate F over keys n and channels c):
///   y_i[c] = scale (sum_{j<=i} sum_n q_i[n] k_j[n] D_ij[n,c] I_j[c] v_j[c]) / den_i + shortcut,
///   D_ij[n,c] = F_{j+1}[n,c] F_{j+2}[n,c] ... F_i[n,c] = exp(sum_{m=j+1..i} log F_m[n,c]),
///   den_i = 1,  sum_j sum_n q_i[n] k_j[n] D_ij[n] + eps  (D_ij = 1 where z is not decayed),
///           or abs_max's max(|scale sum_j sum_n q_i[n] k_j[n] D_ij I_j|, 1) + eps exp(m_i), without its stabiliser:
///           weights of any size, m_i being no more than the logarithm of the largest of 1 and the D_ij I_j.
/// The initial state enters as if a token before the first one had left it. Where the order is global, j runs over all
/// tokens. The final state is not written.
/// Every scalar type; cost O(B H T^2 K' V), memory O(T K' V); deterministic. The shapes are the caller's care.
template <class Design, class Precision>
void quadratic(const Design& design, const sequence_of<Design, Precision>& x) {
  using real = typename Precision::accumulator;
  using norm_type = typename Design::norm_type;
  using row = std::vector<real>;
  const tokens<Design, Precision> token{design, x};
  const index_t K = token.width(), V = token.values();
  constexpr bool global = std::is_same_v<typename Design::order_type, order::global>;
  constexpr bool normalises = detail::normalises<norm_type>, stabilises = detail::stabilises<Design>;
  const real scale = real(design.scale(token.keys()));

  // Everything that a token says, read once.
  struct reading {
    row q, k, q_plain, k_plain;  // [K], turned by the position and not
    row u;                       // [V], I (.) v
    std::vector<row> F;          // [K][V]
    row F_z;                     // [K], what z decays by
    real I_z;                    // what z's key is multiplied by
  };
  const auto read = [&](index_t n, index_t t, index_t h) {
    reading r{token.turned_query(n, t, h), token.turned_key(n, t, h), token.query(n, t, h), token.key(n, t, h),
              {}, {}, {}, real(1)};
    for (index_t v = 0; v < V; ++v) r.u.push_back(token.input(n, t, h, v) * token.value(n, t, h, v));
    for (index_t k = 0; k < K; ++k) {
      row F;
      for (index_t v = 0; v < V; ++v) F.push_back(token.forget(n, t, h, k, v));
      r.F.push_back(F);
      if constexpr (detail::normaliser_decays<norm_type>) r.F_z.push_back(token.forget(n, t, h, k, 0));
      else r.F_z.push_back(real(1));
    }
    if constexpr (stabilises) r.I_z = token.input(n, t, h, 0);
    return r;
  };

  for (index_t n = 0; n < token.sequences(); ++n)
    for (index_t h = 0; h < token.heads(); ++h) {
      const index_t T = token.length(n);
      std::vector<reading> of;
      for (index_t t = 0; t < T; ++t) of.push_back(read(n, t, h));
      real size_in = real(1);  // exp(m) of the initial state, which holds S exp(-m) and z exp(-m)
      if constexpr (stabilises)
        if (x.initial_state.m) size_in = math::exp(real(x.initial_state.m(n, h)));

      for (index_t i = 0; i < T; ++i) {
        const reading& query = of[std::size_t(i)];
        std::vector<row> D(std::size_t(K), row(std::size_t(V), real(1)));  // D_ij of the j at hand
        row D_z(std::size_t(K), real(1));
        row qS(std::size_t(V), real(0));
        real qz = real(0), largest = real(0);  // largest: exp(m_i)
        for (index_t j = global ? T - 1 : i; j >= 0; --j) {
          const reading& key = of[std::size_t(j)];
          for (std::size_t k = 0; k < std::size_t(K); ++k) {
            for (std::size_t v = 0; v < std::size_t(V); ++v) {
              qS[v] = qS[v] + query.q[k] * key.k[k] * D[k][v] * key.u[v];
              D[k][v] = key.F[k][v] * D[k][v];
            }
            qz = qz + query.q_plain[k] * key.k_plain[k] * D_z[k] * key.I_z;
            if constexpr (stabilises) largest = math::max(largest, D_z[k] * key.I_z);
            D_z[k] = key.F_z[k] * D_z[k];
          }
        }
        for (index_t k = 0; k < K; ++k) {
          const std::size_t a = std::size_t(k);
          for (index_t v = 0; v < V; ++v)
            if (x.initial_state.S) {
              const real S = size_in * real(x.initial_state.S(n, h, k, v));
              qS[std::size_t(v)] = qS[std::size_t(v)] + query.q[a] * D[a][std::size_t(v)] * S;
            }
          if constexpr (normalises)
            if (x.initial_state.z) qz = qz + query.q_plain[a] * D_z[a] * (size_in * real(x.initial_state.z(n, h, k)));
          if constexpr (stabilises) largest = math::max(largest, D_z[a] * size_in);
        }

        real divisor = real(1);
        if constexpr (stabilises)
          divisor = math::max(math::abs(scale * qz), real(1)) + real(design.norm.eps) * largest;
        else if constexpr (std::is_same_v<norm_type, norm::mean>) divisor = qz + real(double(T) * design.norm.eps);
        else if constexpr (normalises) divisor = qz + real(design.norm.eps);
        for (index_t v = 0; v < V; ++v) {
          const real y = scale * qS[std::size_t(v)] / divisor + token.shortcut(n, i, h, v);
          x.y(token.batch(n), token.place(n, i), h, v) = typename Precision::token(token.output(y, n, i, h, v));
        }
      }
    }
}

}  // namespace sextant::reference
