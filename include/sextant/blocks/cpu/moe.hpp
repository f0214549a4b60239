// SPDX-License-Identifier: Apache-2.0
/// @file  Which expert a token sees, on the CPU: routing, and the ways there and back.
#pragma once

#include <cmath>        // exp
#include <cstdint>      // int32_t
#include <type_traits>  // type_identity_t

#include <sextant/blocks/cpu/items.hpp>
#include <sextant/blocks/cpu/linear.hpp>
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
  for (index_t e = 0; e <= to.experts; ++e) to.first[e] = 0;
  for (index_t t = 0; t < to.tokens; ++t) {
    std::int32_t& taken = to.first[to.chosen[t] + 1];
    to.place_of[t] = taken < to.capacity ? taken++ : -1;
  }
  for (index_t e = 0; e < to.experts; ++e) to.first[e + 1] += to.first[e];
  for (index_t t = 0; t < to.tokens; ++t) {
    if (to.place_of[t] < 0) continue;
    to.place_of[t] += to.first[to.chosen[t]];
    to.token_at[to.place_of[t]] = std::int32_t(t);
  }
  return {};
}

/// y = x W^T at an expert's places with its matrix of w [experts, outputs, inputs]; x [places, inputs], y [places, outputs].
/// Places that nobody has are left as they are.
template <block_backend On, class E, class Weights>
status linear_of_places(const On& on, std::type_identity_t<blocks::rows<const E>> x,
                        const blocks::moe_routes<E>& routes, const Weights& w, blocks::rows<E> y,
                        blocks::activation act = blocks::activation::none) {
  if (const status fits = blocks::detail::fit_experts<E>(x, routes.places, w, y, routes); !fits) return fits;
  const auto places = [](const auto& of, index_t first, index_t count) {
    auto some = of;
    some = {of.data() + first * of.stride(0), {count, of.extent(1)}, {of.stride(0), 1}};
    return some;
  };
  status done;
  for (index_t e = 0; e < routes.experts && done; ++e) {
    const index_t first = routes.first[e], count = routes.first[e + 1] - first;
    done = linear(on, places(x, first, count), blocks::layer_of_expert<E>(w, e), places(y, first, count),
                  blocks::after_linear<E>{.act = act});
  }
  return done;
}

/// y = act(x W^T) likewise, of tokens x [n, inputs], which are copied to their places in `placed` [places, inputs] first.
template <block_backend On, class E, class Weights>
status linear_of_tokens(const On& on, std::type_identity_t<blocks::rows<const E>> x,
                        const blocks::moe_routes<E>& routes, const Weights& w, blocks::activation act,
                        blocks::rows<E> placed, blocks::rows<E> y) {
  if (const status fits = blocks::detail::fit_experts<E>(x, routes.tokens, w, y, routes); !fits) return fits;
  if (placed.extent(0) != routes.places || placed.extent(1) != x.extent(1))
    return {errc::shape, "moe: rows for places, as long as the tokens"};
  each_run(on, routes.first[routes.experts], 64, [&](index_t first, index_t last, int) {
    for (index_t place = first; place < last; ++place)
      for (index_t c = 0; c < x.extent(1); ++c) placed(place, c) = x(routes.token_at[place], c);
  });
  return linear_of_places(on, blocks::rows<const E>(placed), routes, w, y, act);
}

/// y_t = probability_t x at the token's place + plus_t; plus_t for a token without a place. x [places, C]. plus may be
/// left out, or y.
template <block_backend On, class E>
status bring_back(const On& on, std::type_identity_t<blocks::rows<const E>> x, const blocks::moe_routes<E>& routes,
                  std::type_identity_t<blocks::rows<const E>> plus, blocks::rows<E> y) {
  using Real = blocks::accumulator_of<E>;
  if (y.extent(0) != routes.tokens || x.extent(0) != routes.places || x.extent(1) != y.extent(1) ||
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
