// SPDX-License-Identifier: Apache-2.0
/// @file  Which expert a token sees, on the CPU: routing, and the ways there and back.
#pragma once

#include <cmath>        // exp
#include <cstdint>      // int32_t
#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/cpu/row_vectors.hpp>
#include <sextant/blocks/moe.hpp>
#include <sextant/blocks/shapes.hpp>

namespace sextant::cpu::inline SEXTANT_CPU_ISA {

/// Sends every token to the expert of its largest logit, the first of several, as long as that has places left; tokens
/// take them in their order. A token whose logits hold a NaN has
/// the probability NaN, whichever expert it goes to.
template <block_backend On, class E>
status route_to_one(const On& on, std::type_identity_t<blocks::rows<const E>> logits, const blocks::moe_routes<E>& to) {
  using Real = blocks::accumulator_of<E>;
  if (logits.extent(0) != to.tokens || logits.extent(1) != to.experts)
    return {errc::shape, "route_to_one: a logit for each token and expert"};
  each_run(on, to.tokens, 64, [&](index_t first, index_t last, int) {
    for (index_t t = first; t < last; ++t) {
      index_t best = 0;
      for (index_t e = 1; e < to.experts; ++e)
        if (Real(logits(t, e)) > Real(logits(t, best))) best = e;
      Real sum = 0;
      for (index_t e = 0; e < to.experts; ++e) sum += std::exp(Real(logits(t, e)) - Real(logits(t, best)));
      to.chosen[t] = std::int32_t(best);
      to.probability[t] = 1 / sum;
    }
  });
  for (index_t e = 0; e < to.experts; ++e) to.taken[e] = 0;
  for (index_t i = 0; i < to.experts * to.capacity; ++i) to.token_at[i] = -1;
  for (index_t t = 0; t < to.tokens; ++t) {
    const index_t e = to.chosen[t];
    if (to.taken[e] >= to.capacity) {
      to.place_of[t] = -1;
    } else {
      const index_t place = e * to.capacity + to.taken[e]++;
      to.place_of[t] = std::int32_t(place);
      to.token_at[place] = std::int32_t(t);
    }
  }
  return {};
}

/// Places of an expert that hold a token.
template <block_backend On, class E>
index_t places_in_use(const On&, const blocks::moe_routes<E>& routes, index_t expert) {
  return routes.taken[expert];
}

/// Copies tokens to their places: x [n, C], y [experts capacity, C]. Places that nobody has are left as they are.
template <block_backend On, class E>
status send_to_experts(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::moe_routes<E>& routes,
                       blocks::rows<E> y) {
  if (x.extent(0) != routes.tokens || y.extent(0) != routes.experts * routes.capacity || x.extent(1) != y.extent(1))
    return {errc::shape, "send_to_experts: rows for tokens and places, of one length"};
  each_run(on, y.extent(0), 64, [&](index_t first, index_t last, int) {
    for (index_t place = first; place < last; ++place)
      if (const index_t t = routes.token_at[place]; t >= 0)
        for (index_t c = 0; c < y.extent(1); ++c) y(place, c) = x(t, c);
  });
  return {};
}

/// y_t = probability_t x at the token's place + plus_t; plus_t for a token without a place. plus may be left out, or y.
template <block_backend On, class E>
status bring_back(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::moe_routes<E>& routes,
                  std::type_identity_t<blocks::rows<const E>> plus, blocks::rows<E> y) {
  using Real = blocks::accumulator_of<E>;
  if (y.extent(0) != routes.tokens || x.extent(0) != routes.experts * routes.capacity || x.extent(1) != y.extent(1) ||
      !blocks::shapes::optional_fits(plus, y))
    return {errc::shape, "bring_back: rows for places and tokens, of one length; plus is of y's shape"};
  each_run(on, routes.tokens, 16, [&](index_t first, index_t last, int) {
    for (index_t t = first; t < last; ++t) {
      const index_t place = routes.place_of[t];
      detail::vectors_of<Real>(y.extent(1), [&](index_t c, auto whole, index_t count) {
        simd<Real> sum = plus ? detail::load_some<Real>(&plus(t, c), whole, count) : simd<Real>(Real(0));
        if (place >= 0)
          sum = fma(detail::load_some<Real>(&x(place, c), whole, count), simd<Real>(routes.probability[t]), sum);
        detail::store_some(sum, &y(t, c), whole, count);
      });
    }
  });
  return {};
}

}  // namespace sextant::cpu::inline SEXTANT_CPU_ISA
